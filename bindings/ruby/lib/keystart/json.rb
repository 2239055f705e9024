# frozen_string_literal: true

module Keystart
  # Parses JSON by RFC 8259 and contract 6.4 and nothing more. It does not write any.
  #
  # Ruby's json library accepts comments, NaN and more, and its versions differ in what they accept.
  # strscan takes longer to load than all of this. So this class parses the bytes itself.
  class Json
    # Its message says nothing about the text, which may be a secret.
    class ParseError < StandardError
      def initialize = super("not JSON by RFC 8259")
    end

    DEEPEST = 64 # limits.toml: json.depth
    # The smallest whole number that a double rounds to infinity, and the largest fraction it rounds to zero.
    INFINITE = (1 << 1024) - (1 << 970)
    NOTHING = Rational(1, 1 << 1075)

    SPACE = [0x20, 0x09, 0x0A, 0x0D].freeze
    QUOTE = 0x22
    BACKSLASH = 0x5C
    NUMBER = /\G-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/n
    # Ends a run of plain characters in a string: its end, an escape, or a forbidden byte.
    NOT_PLAIN = /["\\\x00-\x1F]/n
    ESCAPES = { '"' => '"', "\\" => "\\", "/" => "/", "b" => "\b", "f" => "\f", "n" => "\n", "r" => "\r",
                "t" => "\t" }.freeze
    HIGH_SURROGATES = (0xD800..0xDBFF)
    LOW_SURROGATES = (0xDC00..0xDFFF)

    # Returns the value, new at each call, or raises ParseError.
    def self.parse(bytes)
      raise ParseError unless bytes.dup.force_encoding(Encoding::UTF_8).valid_encoding?

      new(bytes.b).document
    end

    # `text` is tagged as binary, so that a position in it is found at once.
    def initialize(text)
      @text = text
      @at = 0
    end

    def document
      skip_space
      value = value(0)
      skip_space
      raise ParseError unless @at == @text.bytesize

      value
    end

    private

    def value(depth)
      case @text.getbyte(@at)
      when QUOTE then string
      when 0x7B then object(depth + 1)
      when 0x5B then array(depth + 1)
      when 0x74 then word("true", true)
      when 0x66 then word("false", false)
      when 0x6E then word("null", nil)
      else number(NUMBER.match(@text, @at) || raise(ParseError))
      end
    end

    def object(depth)
      raise ParseError if depth > DEEPEST

      members = {}
      more = first?(0x7D)
      while more
        raise ParseError unless @text.getbyte(@at) == QUOTE

        name = string.freeze
        skip_space
        raise ParseError unless take?(0x3A)

        skip_space
        members[name] = value(depth)
        more = another?(0x7D)
      end
      members
    end

    def array(depth)
      raise ParseError if depth > DEEPEST

      elements = []
      more = first?(0x5D)
      while more
        elements << value(depth)
        more = another?(0x5D)
      end
      elements
    end

    # Steps over the opening of an object or array, to its first item, or over its end.
    def first?(closing)
      @at += 1
      skip_space
      !take?(closing)
    end

    # Steps over a comma to the next item, or over the end.
    def another?(closing)
      skip_space
      return false if take?(closing)
      raise ParseError unless take?(0x2C)

      skip_space
      true
    end

    def skip_space
      while (byte = @text.getbyte(@at)) && byte <= 0x20
        raise ParseError unless SPACE.include?(byte)

        @at += 1
      end
    end

    def take?(byte)
      return false unless @text.getbyte(@at) == byte

      @at += 1
      true
    end

    def word(word, value)
      raise ParseError unless @text.byteslice(@at, word.length) == word

      @at += word.length
      value
    end

    # Returns a string, from its opening quotation mark to the closing one.
    def string
      @at += 1
      stop = @text.index('"', @at) or raise ParseError
      text = @text.byteslice(@at, stop - @at)
      return escaped_string if text.match?(NOT_PLAIN)

      @at = stop + 1
      text.force_encoding(Encoding::UTF_8)
    end

    def escaped_string
      text = "".b
      loop do
        stop = @text.index(NOT_PLAIN, @at) or raise ParseError
        text << @text.byteslice(@at, stop - @at)
        @at = stop
        return text.force_encoding(Encoding::UTF_8) if take?(QUOTE)

        raise ParseError unless take?(BACKSLASH)

        text << escape
      end
    end

    # Returns the bytes of an escape, after its backslash.
    def escape
      letter = @text[@at]
      @at += 1
      letter == "u" ? character : ESCAPES[letter] || raise(ParseError)
    end

    def character
      unit = code_unit
      raise ParseError if LOW_SURROGATES.cover?(unit)

      if HIGH_SURROGATES.cover?(unit)
        word("\\u", nil)
        low = code_unit
        raise ParseError unless LOW_SURROGATES.cover?(low)

        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
      end
      [unit].pack("U").b
    end

    def code_unit
      digits = @text.byteslice(@at, 4)
      raise ParseError unless digits.match?(/\A[0-9A-Fa-f]{4}\z/)

      @at += 4
      digits.hex
    end

    def number(token)
      text, fraction, exponent = token.to_a
      @at += text.length
      return float(text, exponent) if fraction || exponent
      # 309 digits and a sign; a longer number is not computed.
      raise ParseError if text.length > 310

      whole = Integer(text, 10)
      raise ParseError if whole.abs >= INFINITE

      whole
    end

    # Under -w, Float() prints a number that is too large or too small to stderr, and that may be a
    # piece of a secret. So only numbers that surely fit are passed on unchecked.
    def float(text, exponent)
      return Float(text) if text.length < 100 && (exponent.nil? || exponent.count("0-9") < 3)

      size = exact_size(text)
      raise ParseError if size >= INFINITE
      return Float(text.start_with?("-") ? "-0" : "0") if size <= NOTHING

      Float(text)
    end

    # Returns the number without its sign as a Rational. It returns 0 or INFINITE, without computing
    # a power of ten, if the number is far outside a double's range.
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
