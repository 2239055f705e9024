# frozen_string_literal: true

require "strscan"

module Keystart
  # Parses JSON by RFC 8259 and contract 6.4 and nothing more; it does not write any.
  #
  # Ruby's json library accepts comments, NaN and more, and what it accepts differs between its versions.
  class Json
    # Says nothing about the text, which may be a secret.
    class Invalid < StandardError
      def initialize = super("not JSON by RFC 8259")
    end

    DEEPEST = 64
    # The smallest whole number that a double rounds to infinity, and the largest fraction it rounds to zero.
    INFINITE = (1 << 1024) - (1 << 970)
    NOTHING = Rational(1, 1 << 1075)

    SPACE = /[ \t\r\n]*/
    COMMA = /[ \t\r\n]*,[ \t\r\n]*/
    COLON = /[ \t\r\n]*:[ \t\r\n]*/
    OBJECT = /\{[ \t\r\n]*/
    OBJECT_END = /[ \t\r\n]*\}/
    ARRAY = /\[[ \t\r\n]*/
    ARRAY_END = /[ \t\r\n]*\]/
    NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
    PLAIN = /[^"\\\x00-\x1F]*/
    ESCAPE = %r{\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})}
    LOW_SURROGATE = /\\u[dD][c-fC-F][0-9A-Fa-f]{2}/
    ESCAPES = { '\\"' => '"', "\\\\" => "\\", "\\/" => "/", '\\b' => "\b", '\\f' => "\f", '\\n' => "\n",
                '\\r' => "\r", '\\t' => "\t" }.freeze

    # The value, new with each call, or Invalid.
    def self.parse(bytes)
      text = bytes.dup.force_encoding(Encoding::UTF_8)
      raise Invalid unless text.valid_encoding?

      new(text).document
    end

    def initialize(text)
      @scanner = StringScanner.new(text)
    end

    def document
      @scanner.skip(SPACE)
      value = value(0)
      @scanner.skip(SPACE)
      raise Invalid unless @scanner.eos?

      value
    end

    private

    def value(depth)
      if @scanner.skip(/"/) then string
      elsif @scanner.skip(OBJECT) then object(depth + 1)
      elsif @scanner.skip(ARRAY) then array(depth + 1)
      elsif (token = @scanner.scan(NUMBER)) then number(token)
      elsif @scanner.skip(/true/) then true
      elsif @scanner.skip(/false/) then false
      elsif @scanner.skip(/null/) then nil
      else
        raise Invalid
      end
    end

    def object(depth)
      raise Invalid if depth > DEEPEST

      members = {}
      return members if @scanner.skip(OBJECT_END)

      loop do
        name = @scanner.skip(/"/) ? string.freeze : raise(Invalid)
        @scanner.skip(COLON) or raise Invalid
        members[name] = value(depth)
        return members if @scanner.skip(OBJECT_END)

        @scanner.skip(COMMA) or raise Invalid
      end
    end

    def array(depth)
      raise Invalid if depth > DEEPEST

      elements = []
      return elements if @scanner.skip(ARRAY_END)

      loop do
        elements << value(depth)
        return elements if @scanner.skip(ARRAY_END)

        @scanner.skip(COMMA) or raise Invalid
      end
    end

    # What follows an opening quotation mark, up to and with the closing one.
    def string
      text = @scanner.scan(PLAIN)
      until @scanner.skip(/"/)
        escape = @scanner.scan(ESCAPE) or raise Invalid
        text << (ESCAPES[escape] || character(escape)) << @scanner.scan(PLAIN)
      end
      text
    end

    def character(escape)
      unit = escape[2..].hex
      case unit
      when 0xD800..0xDBFF
        low = @scanner.scan(LOW_SURROGATE) or raise Invalid
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low[2..].hex - 0xDC00)
      when 0xDC00..0xDFFF
        raise Invalid
      end
      [unit].pack("U")
    end

    def number(token)
      return float(token) if @scanner[1] || @scanner[2]
      # 309 digits and a sign; a longer one is not worked out.
      raise Invalid if token.length > 310

      whole = Integer(token, 10)
      raise Invalid if whole.abs >= INFINITE

      whole
    end

    # Under -w, Float() prints a number that is too large or too small, a piece of a secret, to stderr. So only
    # what surely fits is handed over unseen.
    def float(token)
      return Float(token) if token.length < 100 && (@scanner[2].nil? || @scanner[2].count("0-9") < 3)

      size = exact_size(token)
      raise Invalid if size >= INFINITE
      return Float(token.start_with?("-") ? "-0" : "0") if size <= NOTHING

      Float(token)
    end

    # The number without its sign as a Rational; 0 or INFINITE, without a power of ten worked out, when it is
    # far out of a double's range.
    def exact_size(token)
      mantissa, exponent = token.delete_prefix("-").downcase.split("e")
      whole, fraction = mantissa.split(".")
      digits = "#{whole}#{fraction}"
      first = digits.index(/[1-9]/) or return 0
      exponent = exponent.to_i
      magnitude = whole.length - 1 - first + exponent
      return INFINITE if magnitude > 308
      return 0 if magnitude < -324

      digits.to_i * 10r**(exponent - fraction.to_s.length)
    end
  end
  private_constant :Json
end
