# frozen_string_literal: true

module Keystart
  # Checks the names of secrets (contract §2) and finds the nearest ones; it does not know which exist.
  module Name
    SEGMENT = /[A-Za-z0-9_][A-Za-z0-9_.-]*/
    PATTERN = %r{\A#{SEGMENT}(?:/#{SEGMENT}){0,7}\z}
    LONGEST = 255
    OFFERED = 3

    module_function

    # The name as an ASCII-compatible String, or InvalidName.
    def check(name)
      raise InvalidName.not_text unless String === name

      text = name.ascii_only? ? name : Text.utf8(name)
      raise InvalidName.of(name) unless text && valid?(text)

      text
    end

    def valid?(text) = text.ascii_only? && text.bytesize <= LONGEST && PATTERN.match?(text)

    # The folders a name lies in, the longest first.
    def folders(name)
      segments = name.split("/")
      (segments.length - 1).downto(1).map { |count| segments.first(count).join("/") }
    end

    # At most three names near to one that does not exist (contract 6.5.6).
    def nearest(name, names)
      most = [2, name.length / 3].max
      near = names.filter_map do |other|
        distance = distance(name, other, most)
        [distance, other] if distance <= most
      end
      near.min(OFFERED).map(&:last)
    end

    # Levenshtein's distance; anything above `most` stands for "too far" and is not worked out.
    def distance(from, to, most)
      return most + 1 if (from.length - to.length).abs > most

      targets = to.bytes
      row = (0..targets.length).to_a
      from.each_byte.with_index(1) do |byte, count|
        row = next_row(row, byte, targets, count)
        return most + 1 if row.min > most
      end
      row.last
    end

    def next_row(row, byte, targets, count)
      left = count
      targets.each_with_index.with_object([count]) do |(target, at), following|
        left = [left + 1, row[at + 1] + 1, row[at] + (byte == target ? 0 : 1)].min
        following << left
      end
    end
    private_class_method :distance, :next_row
  end
  private_constant :Name
end
