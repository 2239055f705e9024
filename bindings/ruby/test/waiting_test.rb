# frozen_string_literal: true

require "support"

class WaitingTest < KeystartTest
  PATIENT = 60

  def test_a_read_waits_until_another_process_publishes
    @store.state("starting")
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    read, = reading_while(client) { in_child { @store.publish(1, { "db" => "x" }) && "" } }
    assert_equal "x", read
  end

  def test_a_read_stops_waiting_when_the_extension_gives_up
    @store.state("starting")
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    failed = { "db" => { "code" => "AccessDenied", "message" => "no" } }
    _, raised = reading_while(client) { in_child { @store.state("failed", message: "sorry", failures: failed) && "" } }
    assert_equal "The extension could not publish the secrets: sorry\n  - \"db\": AccessDenied: no", raised.message
  end

  def test_a_read_stops_waiting_when_the_root_vanishes
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    _, raised = reading_while(client) { FileUtils.mv(@store.root, File.join(@folder, "away")) }
    assert_instance_of Keystart::NotAttached, raised
  end

  def test_a_removed_store_is_waited_for_once_and_then_reported_at_once
    @store.publish(1, { "db" => "x" })
    away = File.join(@folder, "away")
    removals = { -> { File.rename(@store.root, away) } => -> { File.rename(away, @store.root) },
                 -> { %w[current state.json].each { |name| File.delete(File.join(@store.root, name)) } } =>
                   -> { @store.publish(1, { "db" => "x" }) } }
    [PATIENT, 0.5, 0].product(removals.to_a) do |timeout, (remove, bring_back)|
      client = Keystart::Client.new(root: @store.root, timeout:)
      assert_equal "x", client.get("db")
      2.times do
        remove.call
        waited = slept { assert_removed { client.get("db") } }
        assert_in_delta [timeout, 1].min, waited, 1e-6
        assert_equal 0, slept { assert_all_removed(client) }
        bring_back.call
        assert_equal "x", client.get("db")
      end
    end
  end

  def test_a_removed_store_that_begins_again_is_waited_for_as_ever
    @store.publish(1, { "db" => "old" })
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    assert_equal "old", client.get("db")
    FileUtils.rm_r(@store.root)
    pauses = 0
    with_sleep(lambda do |_|
      pauses += 1
      FileUtils.mkdir_p(@store.root, mode: 0o700) if pauses == 2
      @store.state("starting") if pauses == 3
      @store.publish(1, { "db" => "new" }) if pauses == 500
    end) { assert_equal "new", client.get("db"), "of the same number, and another store" }
    assert_equal 500, pauses
  end

  def test_a_read_that_waits_looks_for_current_after_each_eighth_of_its_time
    @store.state("starting")
    at = 0
    pauses = []
    with_sleep(lambda do |seconds|
      pauses << (seconds / (at / 8).clamp(0.001, 0.02))
      at += seconds
      @store.publish(1, { "db" => at.to_s }) if at >= 0.07 && !File.exist?("#{@store.root}/current")
    end) { assert_operator Keystart::Client.new(root: @store.root, timeout: PATIENT).get("db").to_f, :==, at }
    assert_operator at, :<, 0.08
    assert_operator pauses.max, :<=, 1 + 1e-9
  end

  def test_a_read_that_waits_looks_at_the_state_rarely
    at = 0
    looks = []
    @store.state("starting")
    read = Keystart.const_get(:Files).instance_method(:read)
    Keystart.const_get(:Files).define_method(:read) do |*arguments|
      looks << (at * 1000).round
      read.bind_call(self, *arguments)
    end
    client = Keystart::Client.new(root: @store.root, timeout: 0.4)
    with_sleep(->(seconds) { at += seconds }) { assert_raises(Keystart::NotReady) { client.get("db") } }
    assert_equal [0, 1, 3, 7, 15, 31, 63, 127, 227, 327, 400], looks
  ensure
    Keystart.const_get(:Files).define_method(:read, read)
  end

  def test_a_forked_child_knows_that_its_parent_has_read
    @store.publish(1, { "db" => "x" })
    assert_equal "x", @client.get("db")
    FileUtils.rm_r(@store.root)
    said = in_child do
      @client.get("db")
    rescue Keystart::Error => e
      e.message
    end
    assert_equal removed, said
  end

  def test_a_snapshot_waits_as_a_read_does
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    snapshot, = reading_while(client, :snapshot) { @store.publish(7, { "db" => "x" }) }
    assert_equal "x", snapshot.get("db")
  end

  def test_the_last_word_of_the_extension_is_in_the_message_when_the_time_is_over
    @store.state("starting", message: "still fetching db")
    raised = assert_fails(Keystart::NotReady) { Keystart::Client.new(root: @store.root, timeout: 0.03).get("db") }
    assert_equal "The store at #{@store.root} was not ready after 30 ms. The extension says: still fetching db",
                 raised.message
  end

  def test_a_client_that_read_waits_again_for_the_next_writer
    @store.publish(1, { "db" => "old" })
    client = Keystart::Client.new(root: @store.root, timeout: PATIENT)
    assert_equal "old", client.get("db")
    File.delete(File.join(@store.root, "current"))
    read, = reading_while(client) { @store.publish(2, { "db" => "new" }) }
    assert_equal "new", read
  end

  def test_a_manifest_that_was_overwritten_while_it_was_read_is_thrown_away
    @store.publish(1, { "db" => "old" })
    laid = @store
    strict_files(@client).define_singleton_method(:read) do |path, most|
      bytes = super(path, most)
      next bytes unless path == "generations/1/manifest.json"

      laid.publish(2, { "db" => "new" })
      laid.collect(1)
      "\0" * bytes.bytesize
    end
    assert_equal "new", @client.get("db")
  end

  def test_a_target_that_never_comes_to_rest_ends_with_not_ready
    @store.publish(1, { "db" => "x" })
    [0, 0.05].each do |timeout|
      client = Keystart::Client.new(root: @store.root, timeout:)
      # Each look at `current` finds another target, whose generation is already collected.
      looks = 1
      strict_files(client).define_singleton_method(:current) { "generations/#{looks += 1}" }
      assert_fails(Keystart::NotReady, "The store at #{@store.root} changes faster than it can be read. Try again " \
                                       "with a longer timeout.") { client.get("db") }
      assert_equal 2 * 101, looks - 1 if timeout.zero?
    end
  end

  def test_bytes_that_were_read_while_the_generation_went_away_are_thrown_away
    @store.publish(1, { "db" => "good" })
    client = Keystart::Client.new(root: @store.root, timeout: 0)
    client.names
    laid = @store
    reads = strict_files(client)
    original = reads.method(:read)
    reads.define_singleton_method(:read) do |path, most|
      bytes = original.call(path, most)
      next bytes unless path == "generations/1/secrets/db"

      # What a writer does between the read and the look at the folder.
      laid.publish(2, { "db" => "next" })
      laid.collect(1)
      "\0\0\0\0".b
    end
    assert_equal "next", client.get("db")
  end

  private

  def removed
    "The store at #{@store.root} was removed while this process ran. Keep #{@store.root} when you clear /tmp. The " \
      'secrets come back with the next execution environment; on your own machine, run "keystart pull".'
  end

  def assert_removed(&) = assert_fails(Keystart::NotReady, removed, &)

  def assert_all_removed(client)
    %i[get bytes json info path secret tls].each { |call| assert_removed { client.public_send(call, "db") } }
    %i[names snapshot].each { |call| assert_removed { client.public_send(call) } }
  end

  # Returns how long the block would have slept, by a clock that only sleeping moves.
  def slept(&)
    total = 0
    with_sleep(->(seconds) { total += seconds }, &)
    total
  end

  def with_sleep(sleep, &)
    now = 0
    patience = Keystart.const_get(:Patience)
    originals = %i[sleep_for now].to_h { |name| [name, patience.instance_method(name)] }
    patience.define_method(:sleep_for) { |seconds| sleep.call(seconds).then { now += seconds } }
    patience.define_method(:now) { now }
    yield
  ensure
    originals.each do |name, original|
      patience.define_method(name, original)
      patience.send(:private, name)
    end
  end

  # Returns what a thread got from the client, and what it raised, while the block ran after the
  # thread began to wait.
  def reading_while(client, call = :get)
    waiting = Queue.new
    store = strict_files(client)
    original = store.method(:current)
    store.define_singleton_method(:current) do
      original.call.tap { |target| waiting << true if Errno::ENOENT === target }
    end
    reader = Thread.new do
      [call == :get ? client.get("db") : client.public_send(call), nil]
    rescue Keystart::Error => e
      [nil, e]
    end
    2.times { waiting.pop }
    yield
    reader.value
  end
end
