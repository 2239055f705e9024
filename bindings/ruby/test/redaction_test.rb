# frozen_string_literal: true

require "support"
require "erb"
require "irb"
require "pp"
require "psych"

class RedactionTest < KeystartTest
  def setup
    super
    @canary = canary
    @store.publish(1, { "db" => "{\"#{@canary}", "bin" => "\xFF#{@canary}".b,
                        "tls/cert" => @canary, "tls/key" => @canary })
    @secret = @client.secret("db")
    @snapshot = @client.snapshot
    [@client, @snapshot].each { |reader| reader.get("db") }
  end

  def test_a_secret_says_that_it_is_redacted
    shown = '<Secret "db" (redacted)>'
    assert_equal [shown] * 6, [@secret.inspect, @secret.to_s, "#{@secret}", @secret.pretty_inspect.chomp,
                               format("%s", @secret), format("%p", @secret)]
    assert_equal [shown], JSON.parse(JSON.generate([@secret]))
    assert_equal shown, JSON.parse(@secret.to_json)
  end

  def test_a_client_shows_its_root_only
    assert_equal %(#<Keystart::Client root="#{@store.root}">), @client.inspect
    assert_equal %(#<Keystart::Snapshot generation=1 root="#{@store.root}">), @snapshot.inspect
  end

  def test_nothing_that_prints_objects_prints_a_value
    holders.each do |holder|
      shown = [holder.inspect, holder.to_s, [holder].pretty_inspect, JSON.generate({ "x" => holder }), holder.to_json,
               ERB.new("<%= holder %>").result_with_hash(holder:), irb(holder), Array(holder).join,
               (holder.no_such_method rescue $!.full_message), (Integer(holder) rescue $!.full_message),
               ("" + holder rescue $!.full_message),
               (holder.dup.freeze.instance_variable_set(:@x, 1) rescue $!.full_message)]
      shown.each { |text| refute_includes text, @canary }
    end
  end

  def test_a_walk_over_the_variables_of_a_secret_finds_nothing
    assert_empty @secret.instance_variables
    held = %i[@name @generation].map { |name| @secret.instance_variable_get(name) }
    refute_includes held.inspect, @canary
  end

  def test_nothing_that_holds_secrets_is_serialized
    holders.each do |holder|
      assert_includes assert_raises(TypeError) { Marshal.dump(holder) }.message, "not serialized"
      assert_includes assert_raises(TypeError) { Psych.dump(holder) }.message, "not serialized"
    end
  end

  def test_no_error_holds_a_value
    mistakes = [-> { @client.json("db") }, -> { @client.get("bin") }, -> { @client.secret("bin").reveal },
                -> { @client.tls("tls") }, -> { @client.get("dbx") }, -> { corrupt_read }]
    mistakes.each do |mistake|
      raised = assert_raises(StandardError, &mistake)
      until raised.nil?
        held = raised.instance_variables.map { |name| raised.instance_variable_get(name) }
        [raised.message, raised.full_message, raised.inspect, held.inspect, Marshal.dump(raised)].each do |text|
          refute_includes text.b, @canary
        end
        raised = raised.cause
      end
    end
  end

  def test_a_string_that_was_given_does_not_show_itself_by_being_frozen
    [@client.get("db"), @client.bytes("db"), @secret.reveal, @secret.reveal_bytes].each { |value| refute value.frozen? }
  end

  private

  def holders = [@secret, @client, @snapshot]

  def irb(object) = IRB::Inspector::INSPECTORS.fetch(:pp).inspect_value(object)

  def corrupt_read
    File.write(File.join(@store.root, "generations/1/secrets/db"), "longer #{@canary}#{@canary}")
    Keystart::Client.new(root: @store.root, timeout: 0).get("db")
  end
end
