# frozen_string_literal: true

require "support"

# Values of other types, and objects that pretend: contract 8.5 for each method and each option.
class HostileTest < KeystartTest
  CALLS = %i[get bytes json info names path secret tls].freeze

  # Claims to be a String, and refuses every other question.
  class Pretender
    def self.===(_) = true

    def is_a?(_) = true
    alias kind_of? is_a?
    alias instance_of? is_a?

    def class = String

    def respond_to?(*) = true

    def method_missing(name, *) = raise("#{name} was called")

    def respond_to_missing?(*) = true
  end

  # A String whose own methods all lie. Its bytes are what counts.
  class Liar < String
    %i[to_s to_str encode b dup bytes bytesize length size encoding ascii_only? valid_encoding? force_encoding
       start_with? include? empty? sub gsub match? == eql? hash -@ +@ inspect scrub unpack1 each_byte]
      .each { |name| define_method(name) { |*| raise "#{name} was called" } }
  end

  def test_hostile_values_are_refused_in_the_words_of_the_contract
    @store.publish(1, { "db" => "x" })
    not_text = [true, false, 7, 2**70, 1.5, :db, [], ["db"], {}, "db".method(:to_s), Object.new, BasicObject.new,
                Pretender.new, Class.new, 1i, Float::NAN]
    not_text.each do |value|
      [@client, @client.snapshot].product(CALLS) do |reader, call|
        raised = assert_fails(Keystart::InvalidName) { reader.public_send(call, value) }
        assert_equal "The name of a secret must be a string.", raised.message
      end
      assert_match(/\AThe root must be a path: text in UTF-8/,
                   assert_fails(Keystart::InvalidOption) { Keystart::Client.new(root: value) }.message)
    end
    [true, "1", :one, [], {}, Object.new, BasicObject.new, Pretender.new, 1i, Float::NAN].each do |value|
      assert_fails(Keystart::InvalidOption) { Keystart::Client.new(timeout: value) }
    end
  end

  def test_a_derived_string_counts_as_what_it_holds
    @store.publish(1, { "db" => "x" })
    assert_equal(%w[x x], %i[get bytes].map { |call| @client.public_send(call, Liar.new("db")) })
    assert_empty @client.names(Liar.new("db"))
    assert_equal "db", @client.secret(Liar.new("db")).name
    assert_instance_of String, @client.secret(Liar.new("db")).name
    assert_equal 1, @client.info(Liar.new("db"))["size"]
    assert_equal "#{@store.root}/current/secrets/db", @client.path(Liar.new("db"))
    assert_equal ["db"], Keystart::Client.new(root: Liar.new(@store.root), timeout: 0).names
    raised = assert_fails(Keystart::InvalidName) { @client.get(Liar.new("../x")) }
    assert raised.message.start_with?('"../x" is not a valid secret name.')
    assert_fails(Keystart::SecretNotFound) { @client.get(Liar.new("dc")) }
    assert_fails(Keystart::InvalidName) { @client.tls(Liar.new("a/b/c/d/e/f/g/h")) }
  end

  def test_a_name_that_changes_while_it_is_read_is_the_one_that_was_checked
    @store.publish(1, { "db" => "x" })
    name = +"db"
    store = strict_files(@client)
    store.define_singleton_method(:current) { super().tap { name.replace("../../lock") } }
    assert_equal "x", @client.get(name)
  end

  def test_what_a_hash_makes_up_is_not_an_option
    made_up = Hash.new { |_, _| raise "a default was asked for" }
    client = in_environment("KEYSTART_DIR" => @store.root) { Keystart::Client.new(**made_up) }
    assert_equal %(#<Keystart::Client root="#{@store.root}">), client.inspect
    @store.publish(1, { "__proto__" => "x" })
    assert_fails(Keystart::SecretNotFound) { @client.get("default") }
    assert_fails(Keystart::SecretNotFound) { @client.info("to_s") }
  end

  def test_an_option_that_does_not_exist_is_refused
    error = assert_raises(ArgumentError) { Keystart::Client.new(timeout_ms: 5) }
    assert_equal "unknown keyword: :timeout_ms", error.message
  end

  private

  def in_environment(variables)
    before = variables.to_h { |name, _| [name, ENV.fetch(name, nil)] }
    ENV.update(variables)
    yield
  ensure
    ENV.update(before)
  end
end
