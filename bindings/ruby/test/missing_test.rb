# frozen_string_literal: true

require "support"

# The nearest names (contract 6.5.6): the same ones as from the whole table, for less work.
class MissingTest < KeystartTest
  MISSING = Keystart.const_get(:Missing)

  # Counts the bytes that the code looks at.
  class CountedName < String
    attr_reader :looks

    def each_byte
      return super unless block_given?

      super do |byte|
        @looks = @looks.to_i + 1
        yield byte
      end
    end

    # Enumerator calls the method above by this name.
    def looks! = looks.to_i
  end

  def test_the_nearest_names_are_those_of_the_plain_algorithm
    random = Random.new(1)
    found = 0
    1500.times do |round|
      most = [4, 12, 40][round % 3]
      asked = word(random, most)
      names = Array.new(random.rand(9)) { word(random, most) }.uniq
      nearest = MISSING.nearest(asked, names)
      assert_equal plain_nearest(asked, names), nearest, "#{asked} #{names}"
      found += nearest.length
    end
    assert_operator found, :>, 1000
  end

  def test_the_distance_is_right_up_to_the_longest_names
    random = Random.new(2)
    60.times do
      asked = "a#{Array.new(254) { "ab/"[random.rand(3)] }.join}"
      # Changes some characters, so that some names are near and some are not.
      other = asked.dup
      random.rand(120).times { other[random.rand(other.length)] = %w[a b x].sample(random:) }
      assert_equal plain_nearest(asked, [other]), MISSING.nearest(asked, [other])
    end
  end

  def test_long_names_cost_a_step_for_each_byte
    asked = "ab/" * 80
    long = CountedName.new("ba_" * 80)
    MISSING.nearest(asked, [long])
    assert_includes 1..240, long.looks!
    MISSING.nearest(asked, [short = CountedName.new("a" * 159)])
    assert_equal 0, short.looks!, "its length alone says that it is too far"
    MISSING.nearest("abcdefghi", [other = CountedName.new("xxxxxxxxx")])
    assert_operator other.looks!, :<, 9, "what is too far ends the work"
  end

  private

  def word(random, most) = Array.new(1 + random.rand(most)) { "ab/"[random.rand(3)] }.join

  def plain_nearest(asked, names)
    most = [2, asked.length / 3].max
    near = names.map { |name| [plain_distance(asked, name), name] }.select { |distance, _| distance <= most }
    near.min(3).map(&:last)
  end

  def plain_distance(from, to)
    row = (0..to.length).to_a
    from.each_char.with_index(1) do |left, line|
      above = row
      row = [line]
      to.each_char.with_index do |right, at|
        row << [row[at] + 1, above[at + 1] + 1, above[at] + (left == right ? 0 : 1)].min
      end
    end
    row.last
  end
end
