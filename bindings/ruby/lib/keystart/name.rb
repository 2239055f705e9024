# frozen_string_literal: true

module Keystart
  # Checks the names of secrets (contract §2) and finds the nearest ones. It does not know which exist.
  module Name
    SEGMENT = /[A-Za-z0-9_][A-Za-z0-9_.-]*/
    DEEPEST = 8 # limits.toml: name.segments
    PATTERN = %r{\A#{SEGMENT}(?:/#{SEGMENT}){0,#{DEEPEST - 1}}\z}
    LONGEST = 255 # limits.toml: name.bytes
    OFFERED = 3 # limits.toml: name.offered

    module_function

    # Returns the name as an ASCII-compatible String, or raises InvalidName.
    def check(name)
      raise Errors.name_not_text unless String === name

      text = Text.utf8(name)
      raise Errors.invalid_name(name) unless text && valid?(text)

      text
    end

    def valid?(text) = text.ascii_only? && text.bytesize <= LONGEST && PATTERN.match?(text)

    # Returns the folders that a name lies in, the longest first.
    def folders(name)
      segments = name.split("/")
      (segments.length - 1).downto(1).map { |count| segments.first(count).join("/") }
    end

    # Returns at most three names near one that does not exist (contract 6.5.6).
    def nearest(name, names)
      most = [2, name.length / 3].max
      places = places(name)
      near = names.filter_map do |other|
        distance = distance(name, places, other, most)
        [distance, other] if distance <= most
      end
      near.min(OFFERED).map(&:last)
    end

    # Returns the set of positions of each byte of a name, as the bits of an Integer.
    def places(name)
      name.each_byte.with_index.each_with_object(Hash.new(0)) { |(byte, at), places| places[byte] |= 1 << at }
    end

    # Returns Levenshtein's distance. A result above `most` means "too far" and is not exact.
    #
    # It computes a column of the table at once, as two sets of rows: where the column is one more,
    # or one less, than the row above (Myers 1999, in the form of Hyyrö 2003). So it takes one step
    # for each byte of `to`, instead of up to 255.
    def distance(from, places, to, most)
      return most + 1 if (from.length - to.length).abs > most

      all = (1 << from.length) - 1
      last = 1 << (from.length - 1)
      more = all
      less = 0
      distance = from.length
      to.each_byte.with_index(1) do |byte, count|
        same = places[byte]
        straight = (((same & more) + more) ^ more) | same | less
        more_across = less | (all & ~(straight | more))
        less_across = more & straight
        distance += 1 if more_across.anybits?(last)
        distance -= 1 if less_across.anybits?(last)
        return most + 1 if distance - (to.length - count) > most

        more_across = (more_across << 1) | 1
        less_across <<= 1
        more = (less_across | ~(straight | more_across)) & all
        less = more_across & straight & all
      end
      distance
    end
    private_class_method :distance, :places
  end
  private_constant :Name
end
