# frozen_string_literal: true

require "support"
require "open3"

# Versions of Ruby's json library differ in what they accept. Next to one that accepts everything,
# the reader must refuse the same texts as next to the installed one.
class LenientJsonTest < KeystartTest
  CASES = File.expand_path("../../../contract/cases/json.json", __dir__)
  # Runs in a separate process, because the change cannot be undone.
  PROGRAM = <<~RUBY
    require "json"

    module Lenient
      def self.accept = [{ "accepted" => "whatever it was" }]
      %i[parse parse! load unsafe_load].each do |name|
        define_method(name) { |*arguments, **options| super(*arguments, **options) rescue Lenient.accept }
      end
    end
    [JSON.singleton_class, JSON::Parser.singleton_class, JSON::Parser].each { |one| one.prepend(Lenient) }

    require "keystart"
    client = Keystart::Client.new(timeout: 0)
    answers = client.names.to_h do |name|
      JSON.parse(client.bytes(name))
      [name, [client.json(name), "value"].last]
    rescue Keystart::Error => e
      [name, e.code]
    end
    puts answers.to_a.flatten
  RUBY

  def test_it_decides_by_itself_what_is_json
    cases = JSON.parse(File.read(CASES), max_nesting: 0)["cases"].select { |one| one["store"].key?("secrets") }
    @store.publish(1, cases.to_h { |one| [one["id"], content(one["store"]["secrets"]["db"])] })
    expected = cases.to_h { |one| [one["id"], one["expect"].fetch("error", { "code" => "value" })["code"]] }
    assert_operator expected.values.count("secret_not_json"), :>, 50
    lib = File.expand_path("../lib", __dir__)
    said, status = Open3.capture2e({ "KEYSTART_DIR" => @store.root }, RbConfig.ruby, "-I", lib, stdin_data: PROGRAM)
    assert status.success?, said
    assert_equal expected, said.lines(chomp: true).each_slice(2).to_h
  end

  private

  # Returns the bytes that a case describes.
  def content(described)
    return described unless described.is_a?(Hash)
    return described["base64"].unpack1("m") if described.key?("base64")

    described.fetch("text") * described.fetch("repeat", 1)
  end
end
