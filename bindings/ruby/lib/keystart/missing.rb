# frozen_string_literal: true

module Keystart
  # Says why a manifest has no such secret (contract 6.5.6). The first read of one that is missing loads it.
  module Missing
    OFFERED = 3 # limits.toml: name.offered

    module_function

    # Returns the error for a name that is not among the `names` of a manifest. `failure` is what Manifest#failure
    # returned for it.
    def error(name, names, failure)
      return Errors.secret_unavailable(name, *failure) if failure

      below = names.select { |other| other.start_with?("#{name}/") }.sort
      return Errors.secret_is_folder(name, members(*below)) if below.any?

      Errors.secret_not_found(name, hint(nearest(name, names)))
    end

    # Returns a list of what a folder holds.
    def members(first, second = nil, third = nil, *more)
      return Errors.members_of_more(first, second, third, more.length) if more.any?
      return Errors.members_of_three(first, second, third) if third

      second ? Errors.members_of_two(first, second) : Errors.members_of_one(first)
    end

    # Returns a hint with the nearest names, if any.
    def hint(nearest)
      case nearest.length
      when 0 then ""
      when 1 then Errors.hint_of_one(*nearest)
      when 2 then Errors.hint_of_two(*nearest)
      else Errors.hint_of_three(*nearest)
      end
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
  private_constant :Missing
end
