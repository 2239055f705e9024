# frozen_string_literal: true

module Keystart
  # Converts Strings to UTF-8, and shows text from outside so that it cannot harm a log. It knows no names.
  module Text
    # A surrogate encoded as a character, which UTF-8 does not allow.
    SURROGATE = /\xED[\xA0-\xBF][\x80-\xBF]/n
    REPLACEMENT = "\u{FFFD}".b.freeze
    SHOWN = 64 # limits.toml: quoted.bytes

    module_function

    # Returns the text tagged as UTF-8 (its bytes may still be invalid), or nil if it cannot be converted.
    def utf8(string)
      plain = plain(string)
      case plain.encoding
      when Encoding::UTF_8 then plain
      # Under LANG=C, Ruby tags values of ENV and ARGV like this, whatever their bytes are.
      when Encoding::US_ASCII, Encoding::BINARY then plain.force_encoding(Encoding::UTF_8)
      else plain.encode(Encoding::UTF_8)
      end
    rescue EncodingError
      nil
    end

    # Returns a copy as a plain String: a derived class may have replaced any method, and another
    # thread may change the original.
    def plain(string) = String.new(string)

    # Returns {quoted} of contract 8.3.
    def quoted(string)
      bytes = (utf8(string) || plain(string)).b.gsub(SURROGATE, REPLACEMENT)
      shown = bytes.byteslice(0, SHOWN).gsub(/[^\x20-\x7E]|["\\]/n) { |byte| format('\x%02x', byte.ord) }
      %("#{shown}#{"..." if bytes.bytesize > SHOWN}")
    end
  end
  private_constant :Text
end
