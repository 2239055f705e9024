# frozen_string_literal: true

require "support"
require "open3"

class JsonTest < Minitest::Test
  Json = Keystart.const_get(:Json)

  ACCEPTED = {
    "null" => nil, " true\r\n\t" => true, "false" => false, '""' => "", "0" => 0, "-0" => 0, "-1" => -1,
    "12345678901234567890123" => 12_345_678_901_234_567_890_123, "1e3" => 1000.0, "1E+2" => 100.0,
    "1.5e-1" => 0.15, "0e999999999999" => 0.0, "1e-999999999999" => 0.0, "2e-324" => 0.0,
    "3e-324" => 4.94065645841246544e-324, "1.7976931348623157e308" => Float::MAX,
    "0.#{"0" * 400}1e401" => 1.0, "#{"1" * 5}#{"0" * 200}e-200" => 11_111.0,
    "[]" => [], "[ ]" => [], "{}" => {}, "{ }" => {}, "[1 , [2], {}]" => [1, [2], {}],
    '{"a" : 1, "b":{"c":[null]}}' => { "a" => 1, "b" => { "c" => [nil] } },
    '{"a":1,"a":2}' => { "a" => 2 }, '{"":1,"__proto__":2}' => { "" => 1, "__proto__" => 2 },
    '"\"\\\\\/\b\f\n\r\t"' => "\"\\/\b\f\n\r\t", '"\u0041\u00e9\u20AC\u0000"' => "Aé€\0",
    '"\ud83d\ude00"' => "😀", '"\uFFFF\ud7ff\ue000"' => "\u{FFFF}\u{D7FF}\u{E000}",
    "\"é😀\u007F\u2028\"" => "é😀\u007F\u2028",
    "[\"\u{FEFF}\"]" => ["\u{FEFF}"], "#{"[" * 64}#{"]" * 64}" => Array.new(63).inject([]) { |inner, _| [inner] }
  }.freeze

  # Ruby's json library accepts comments and some of the numbers.
  REFUSED = [
    "", " ", "\u{FEFF}1", "1 2", "1,", "nul", "nulll", "True", "NaN", "Infinity", "-Infinity", "-", "+1", "01", "-01",
    ".5", "1.", "1.e1", "1e", "1e+", "0x10", "1_000", "١", "1e309", "-1e309", "1.7976931348623159e308",
    "1e999999999999999999999", "9" * 309, "1#{"0" * 1000}", "'a'", "\"a", "\"\n\"", "\"\t\"", "\"\0\"", '"\x41"',
    '"\a"', '"\u12"', '"\u12g4"', '"\U0041"', '"\ud800"', '"\ud800\u0041"', '"\ud800\ud800"',
    '"\udc00"', '"\ude00\ud83d"',
    '{"\ud800":1}', '{"a":"\ud800","a":1}', '"\\', "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{,}", '{"a"}',
    '{"a":}', '{"a":1,}', '{"a" 1}', "{a:1}", "{1:1}", '{"a":1', "[1}", "/* c */ 1", "1 // c", "# c\n1", "[1]\0",
    "\v1", "\f1", "1\u00a0", "1\u2028", "\"\xFF\"", "\"\xED\xA0\x80\"", "\"\xC0\x80\"", "\xEF\xBB",
    "#{"[" * 65}#{"]" * 65}",
    "#{'{"a":' * 65}1#{"}" * 65}", "[" * 100_000
  ].freeze

  def test_what_rfc_8259_allows_is_parsed
    ACCEPTED.each do |text, value|
      parsed = Json.parse(text.b)
      value.nil? ? assert_nil(parsed) : assert_equal([value, value.class], [parsed, parsed.class], text[0, 40].inspect)
    end
  end

  def test_everything_else_is_refused
    REFUSED.each { |text| assert_raises(Json::ParseError, text[0, 40].inspect) { Json.parse(text.b) } }
  end

  def test_both_parsers_agree_on_what_the_json_library_writes
    random = Random.new(20_261_123)
    300.times do
      value = random_value(random, 4)
      assert_equal [value], [Json.parse(JSON.generate(value).b)]
    end
  end

  def test_strings_are_utf_8_and_can_be_changed
    parsed = Json.parse('{"a":"\u00e9x","b":"plain"}'.b)
    assert_equal [Encoding::UTF_8] * 4, (parsed.keys + parsed.values).map(&:encoding)
    assert_equal "plain!", parsed["b"] << "!"
  end

  def test_the_exception_says_nothing_about_the_text
    text = "canary-#{SecureRandom.hex(8)}"
    raised = assert_raises(Json::ParseError) { Json.parse("{\"#{text}") }
    refute_includes raised.full_message, text
  end

  def test_numbers_out_of_range_are_not_printed_as_warnings
    program = 'require "keystart"; json = Keystart.const_get(:Json); ' \
              "%w[1e999 1e-999 -1e400].each { |number| json.parse(number) rescue 0 }"
    _, errors, status = Open3.capture3(RbConfig.ruby, "-w", "-I", File.expand_path("../lib", __dir__), "-e", program)
    assert_equal ["", true], [errors, status.success?]
  end

  private

  def random_value(random, depth)
    case random.rand(depth.positive? ? 8 : 6)
    when 0 then nil
    when 1 then random.rand(2).zero?
    when 2 then random.rand(10**random.rand(1..30)) - 5
    when 3 then (random.rand - 0.5) * 10.0**random.rand(-300..300)
    when 4, 5 then Array.new(random.rand(6)) do
                     random.rand(2).zero? ? random.rand(0xD7FF) : random.rand(128)
                   end.pack("U*")
    when 6 then Array.new(random.rand(4)) { random_value(random, depth - 1) }
    else Array.new(random.rand(4)) { |n| ["k#{n}", random_value(random, depth - 1)] }.to_h
    end
  end
end
