# frozen_string_literal: true

require "support"

class ProcessTest < KeystartTest
  def teardown
    ENV.delete("KEYSTART_DIR")
    Keystart.instance_variable_set(:@client, nil)
    super
  end

  def test_threads_see_whole_sets_while_sets_are_published
    publish = ->(number) { @store.publish(number, { "a" => number.to_s, "b" => "#{number}b" }) }
    publish.call(1)
    client = Keystart::Client.new(root: @store.root, timeout: 60)
    done = false
    readers = Array.new(4) { Thread.new { pairs = []; pairs << pair(client) until done; pairs << pair(client) } }
    (2..60).each { |number| publish.call(number); @store.collect(number - 2) if number > 2 }
    done = true
    readers.flat_map(&:value).each { |a, b| assert_equal "#{a}b", b }
    assert_equal %w[60 60b], pair(client)
  end

  def test_threads_share_one_default_client
    @store.publish(1, { "db" => "x" })
    ENV["KEYSTART_DIR"] = @store.root
    clients = Array.new(8) { Thread.new { Keystart.send(:client) } }.map(&:value)
    assert_equal 1, clients.uniq.length
  end

  def test_the_functions_of_the_module_answer_as_a_client_does
    @store.publish(1, { "db" => "{}", "tls/key" => "k" })
    ENV["KEYSTART_DIR"] = @store.root
    assert_equal ["{}", "{}".b, {}, "#{@store.root}/current/secrets/db"],
                 [Keystart.get("db"), Keystart.bytes("db"), Keystart.json("db"), Keystart.path("db")]
    assert_equal [%w[db tls/key], %w[tls/key]], [Keystart.names, Keystart.names("tls")]
    assert_equal [2, "{}", "{}"],
                 [Keystart.info("db")["size"], Keystart.secret("db").reveal, Keystart.snapshot.get("db")]
    assert_fails(Keystart::SecretNotFound) { Keystart.tls("tls") }
  end

  def test_the_default_client_is_made_once_and_a_failure_to_make_it_is_not_kept
    ENV["KEYSTART_TIMEOUT_MS"] = "soon"
    assert_fails(Keystart::InvalidOption) { Keystart.names }
    ENV["KEYSTART_TIMEOUT_MS"] = "0"
    @store.publish(1, { "db" => "x" })
    ENV["KEYSTART_DIR"] = @store.root
    assert_equal ["db"], Keystart.names
    ENV["KEYSTART_DIR"] = "/nowhere"
    assert_equal ["db"], Keystart.names
  ensure
    ENV.delete("KEYSTART_TIMEOUT_MS")
  end

  def test_a_child_reads_on_what_its_parent_read_and_sees_what_is_new
    @store.publish(1, { "a" => "1", "b" => "2" })
    @client.get("a")
    assert_equal "12", in_child { @client.get("a") + @client.get("b") }
    @store.publish(2, { "a" => "3", "b" => "4" })
    assert_equal "34", in_child { @client.get("a") + @client.get("b") }
  end

  def test_a_child_forked_while_the_default_client_is_being_made_makes_its_own
    @store.publish(1, { "db" => "x" })
    ENV["KEYSTART_DIR"] = @store.root
    held = Queue.new
    release = Queue.new
    holder = Thread.new { Keystart.instance_variable_get(:@lock).synchronize { held << true; release.pop } }
    held.pop
    assert_equal "x", in_child { Keystart.get("db") }
  ensure
    release << true
    holder.join
  end

  def test_a_signal_handler_can_read
    @store.publish(1, { "db" => "x" })
    got = Queue.new
    before = trap("USR1") { got << @client.get("db") }
    Process.kill("USR1", Process.pid)
    assert_equal "x", got.pop
  ensure
    trap("USR1", before)
  end

  private

  def pair(client)
    snapshot = client.snapshot
    [snapshot.get("a"), snapshot.get("b")]
  rescue Keystart::SnapshotExpired
    retry
  end
end
