# frozen_string_literal: true

require "support"
require "bigdecimal"
require "pathname"

class OptionsTest < KeystartTest
  ROOT = "The root must be a path: text in UTF-8 without NUL bytes, and not empty. Give an absolute path, or leave " \
         "it out to use KEYSTART_DIR or /tmp/keystart."
  TIMEOUT = "The timeout must be a number from 0 to 999999999 milliseconds. Give 0 to not wait at all."

  def test_a_root_that_is_not_text_is_an_invalid_option
    ["", "a\0b", "/\u{FFFD}", 1, :root, [], true, false, Object.new, BasicObject.new, Pathname("/tmp"), "/\xFF",
     "/\x00\xD8".dup.force_encoding("UTF-16LE"), "/\xFF".b].each do |root|
      assert_fails(Keystart::InvalidOption, ROOT) { Keystart::Client.new(root:) }
    end
  end

  def test_a_timeout_that_is_not_a_number_in_range_is_an_invalid_option
    [-1, -0.0006, 1_000_000, 999_999.9996, Float::NAN, Float::INFINITY, -Float::INFINITY, 10**400, 1e308, "1", :one,
     true, false, [], Complex(1, 1), BigDecimal("NaN"), Object.new, BasicObject.new].each do |timeout|
      assert_fails(Keystart::InvalidOption, TIMEOUT) { Keystart::Client.new(timeout:) }
    end
  end

  def test_a_timeout_is_rounded_to_the_nearest_millisecond
    { 0 => 0, -0.0005 => 0, 0.0004 => 0, 0.0005 => 1, 0.0015 => 2, Rational(1, 400) => 3, BigDecimal("0.0045") => 5 }
      .each { |seconds, milliseconds| assert_equal milliseconds, waited(seconds), seconds.inspect }
  end

  def test_the_root_of_the_environment_is_bytes_whatever_the_locale
    named = File.join(@folder, "h\u00e9")
    FileUtils.mkdir(named, mode: 0o700)
    File.rename(@store.root, File.join(named, "store"))
    program = 'begin; Keystart.get("db"); rescue Keystart::NotReady => e; $stdout.write(e.message); end'
    said = IO.popen({ "LC_ALL" => "C", "KEYSTART_DIR" => "#{named}/store", "KEYSTART_TIMEOUT_MS" => "0" },
                    [RbConfig.ruby, "-I", File.expand_path("../lib", __dir__), "-rkeystart", "-e", program], &:read)
    assert_includes said.force_encoding("UTF-8"), "The store at #{named}/store was not ready after 0 ms."
  end

  def test_a_root_of_the_environment_that_is_not_utf_8_is_refused
    ["/tmp/\xFF".b, "/tmp/\u{FFFD}", "a\xED\xA0\x80".b].product(%w[C C.UTF-8]) do |root, locale|
      program = 'begin; Keystart.get("db"); rescue Keystart::InvalidOption => e; $stdout.write(e.message); end'
      said = IO.popen({ "LC_ALL" => locale, "KEYSTART_DIR" => root },
                      [RbConfig.ruby, "-I", File.expand_path("../lib", __dir__), "-rkeystart", "-e", program], &:read)
      assert_equal "KEYSTART_DIR must be a path in UTF-8. Correct or unset it.", said
    end
  end

  def test_a_working_folder_that_is_not_utf_8_takes_an_absolute_root
    said = in_child do
      odd = "#{@folder}/\xFF".b
      Dir.mkdir(odd)
      Dir.chdir(odd)
      Keystart::Client.new(root: "store")
    rescue Keystart::InvalidOption => e
      e.message
    end
    assert_equal ROOT, said
  end

  def test_a_working_folder_that_was_removed_is_an_invalid_option
    said = in_child do
      Dir.chdir(@store.root)
      FileUtils.rm_r(@store.root)
      Keystart::Client.new(root: "store")
    rescue Keystart::InvalidOption => e
      e.message
    end
    assert_equal ROOT, said
  end

  private

  def waited(seconds)
    client = Keystart::Client.new(root: @store.root, timeout: seconds)
    assert_fails(Keystart::NotReady) { client.names }.message[/after (\d+) ms/, 1].to_i
  end
end
