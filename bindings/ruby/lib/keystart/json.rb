# frozen_string_literal: true

module Keystart
  # Parses JSON by RFC 8259 and contract 6.4 and nothing more; it does not write any.
  #
  # Ruby's json library accepts comments, NaN and more, and what it accepts differs between its versions; strscan takes
  # longer to load than all of this. So it goes over the bytes by itself.
  class Json
    # Says nothing about the text, which may be a secret.
    class Invalid < StandardError
      def initialize = super("not JSON by RFC 8259")
    end

    DEEPEST = 64
    # The smallest whole number that a double rounds to infinity, and the largest fraction it rounds to zero.
    INFINITE = (1 << 1024) - (1 << 970)
    NOTHING = Rational(1, 1 << 1075)

    SPACE = [0x20, 0x09, 0x0A, 0x0D].freeze
    QUOTE = 0x22
    BACKSLASH = 0x5C
    NUMBER = /\G-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/n
    # What ends a run of plain characters in a string: its end, an escape, or what must not be there.
    NOT_PLAIN = /["\\\x00-\x1F]/n
    ESCAPES = { '"' => '"', "\\" => "\\", "/" => "/", "b" => "\b", "f" => "\f", "n" => "\n", "r" => "\r",
                "t" => "\t" }.freeze
    HIGH_SURROGATES = (0xD800..0xDBFF)
    LOW_SURROGATES = (0xDC00..0xDFFF)

    # The value, new with each call, or Invalid.
    def self.parse(bytes)
      raise Invalid unless bytes.dup.force_encoding(Encoding::UTF_8).valid_encoding?

      new(bytes.b).document
    end

    # `text` is tagged as binary, so that a place in it is found at once.
    def initialize(text)
      @text = text
      @at = 0
    end

    def document
      skip_space
      value = value(0)
      skip_space
      raise Invalid unless @at == @text.bytesize

      value
    end

    private

    def value(depth)
      if take?(QUOTE) then string
      elsif take?(0x7B) then object(depth + 1)
      elsif take?(0x5B) then array(depth + 1)
      elsif (token = NUMBER.match(@text, @at)) then number(token)
      elsif word?("true") then true
      elsif word?("false") then false
      elsif word?("null") then nil
      else
        raise Invalid
      end
    end

    def object(depth)
      raise Invalid if depth > DEEPEST

      members = {}
      skip_space
      return members if take?(0x7D)

      loop do
        name = take?(QUOTE) ? string.freeze : raise(Invalid)
        skip_space
        take?(0x3A) or raise Invalid
        skip_space
        members[name] = value(depth)
        return members unless another?(0x7D)
      end
    end

    def array(depth)
      raise Invalid if depth > DEEPEST

      elements = []
      skip_space
      return elements if take?(0x5D)

      loop do
        elements << value(depth)
        return elements unless another?(0x5D)
      end
    end

    # Goes over a comma to what must follow it, or over the end.
    def another?(closing)
      skip_space
      return false if take?(closing)

      take?(0x2C) or raise Invalid
      skip_space
      true
    end

    def skip_space
      while (byte = @text.getbyte(@at)) && byte <= 0x20
        SPACE.include?(byte) or raise Invalid
        @at += 1
      end
    end

    def take?(byte)
      return false unless @text.getbyte(@at) == byte

      @at += 1
      true
    end

    def word?(word)
      return false unless @text.byteslice(@at, word.length) == word

      @at += word.length
      true
    end

    # What follows an opening quotation mark, up to and with the closing one.
    def string
      stop = @text.index('"', @at) or raise Invalid
      text = @text.byteslice(@at, stop - @at)
      return escaped_string if text.match?(NOT_PLAIN)

      @at = stop + 1
      text.force_encoding(Encoding::UTF_8)
    end

    def escaped_string
      text = "".b
      loop do
        stop = @text.index(NOT_PLAIN, @at) or raise Invalid
        text << @text.byteslice(@at, stop - @at)
        @at = stop
        return text.force_encoding(Encoding::UTF_8) if take?(QUOTE)

        take?(BACKSLASH) or raise Invalid
        text << escape
      end
    end

    # What follows a backslash, as bytes.
    def escape
      letter = @text[@at]
      @at += 1
      letter == "u" ? character : ESCAPES[letter] || raise(Invalid)
    end

    def character
      unit = code_unit
      raise Invalid if LOW_SURROGATES.cover?(unit)

      if HIGH_SURROGATES.cover?(unit)
        low = word?("\\u") ? code_unit : raise(Invalid)
        raise Invalid unless LOW_SURROGATES.cover?(low)

        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
      end
      [unit].pack("U").b
    end

    def code_unit
      digits = @text.byteslice(@at, 4)
      raise Invalid unless digits.match?(/\A[0-9A-Fa-f]{4}\z/)

      @at += 4
      digits.hex
    end

    def number(token)
      text, fraction, exponent = token.to_a
      @at += text.length
      return float(text, exponent) if fraction || exponent
      # 309 digits and a sign; a longer one is not worked out.
      raise Invalid if text.length > 310

      whole = Integer(text, 10)
      raise Invalid if whole.abs >= INFINITE

      whole
    end

    # Under -w, Float() prints a number that is too large or too small, a piece of a secret, to stderr. So only
    # what surely fits is handed over unseen.
    def float(text, exponent)
      return Float(text) if text.length < 100 && (exponent.nil? || exponent.count("0-9") < 3)

      size = exact_size(text)
      raise Invalid if size >= INFINITE
      return Float(text.start_with?("-") ? "-0" : "0") if size <= NOTHING

      Float(text)
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
