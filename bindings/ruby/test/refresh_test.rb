# frozen_string_literal: true

require "support"
require "open3"
require "socket"

# A request to refresh blocks no other thread and leaves nothing open. The cases of the contract hold its answers.
class RefreshTest < KeystartTest
  DONE = %({"format": "keystart.control/1", "ok": true, "failures": {}}\n)

  def setup
    super
    @store.publish(1, { "db" => "old" })
    @client = Keystart::Client.new(root: @store.root, timeout: 5)
  end

  # Answers each request with what the block returns, while the second block runs. Returns the requests.
  def listening(answer)
    requests = Queue.new
    server = UNIXServer.new(File.join(@store.root, "control.sock"))
    thread = Thread.new do
      loop do
        socket = server.accept
        requests << socket.gets
        socket.write(answer.call)
        socket.close
      end
    end
    yield
    Array.new(requests.size) { requests.pop }
  ensure
    thread.kill.join
    server.close
  end

  def test_a_refresh_lets_other_threads_run_and_the_next_read_sees_what_is_new
    publish = lambda do
      sleep 0.02
      @store.publish(2, { "db" => "newer", "other" => "" })
      DONE
    end
    asked = listening(publish) { assert_equal ["db"], @client.refresh("db", "tls") } # the server is a thread
    assert_equal "newer", @client.get("db")
    assert_equal [%({"format": "keystart.control/1", "op": "refresh", "names": ["db", "tls"]}\n)], asked
  end

  def test_threads_refresh_at_once
    asked = listening(-> { DONE }) do
      assert_equal [[]] * 32, Array.new(32) { Thread.new { @client.refresh } }.map(&:value)
    end
    assert_equal 32, asked.length
  end

  def test_the_function_of_the_module_asks_for_the_default_client
    ENV["KEYSTART_DIR"] = @store.root
    listening(-> { DONE }) { assert_empty Keystart.refresh("db") }
  ensure
    ENV.delete("KEYSTART_DIR")
    Keystart.instance_variable_set(:@client, nil)
  end

  def test_no_descriptor_stays_open_whatever_the_answer_is
    GC.disable
    answers = [DONE, "no\n", "", "half"].cycle
    listening(-> { answers.next }) do
      before = Dir.children("/dev/fd").length
      20.times do
        @client.refresh
      rescue Keystart::RefreshUnavailable
        nil
      end
      assert_operator Dir.children("/dev/fd").length - before, :<=, 1 # the server may hold its last one
    end
  ensure
    GC.enable
  end

  def test_only_a_refresh_loads_sockets
    script = <<~'RUBY'
      require "keystart"
      loaded = -> { $LOADED_FEATURES.grep(/\/(socket|keystart\/(control|refresh|failures))\.(so|rb)\z/).length }
      Keystart.get("db")
      before = loaded.call
      Keystart.refresh
      puts [before, loaded.call].inspect
    RUBY
    listening(-> { DONE }) do
      said, = Open3.capture2e({ "KEYSTART_DIR" => @store.root }, RbConfig.ruby, "--disable=gems",
                              "-I#{File.expand_path("../lib", __dir__)}", "-e", script)
      before, after = JSON.parse(said)
      assert_equal 0, before
      assert_operator after, :>=, 4
    end
  end

  def test_a_snapshot_has_no_refresh
    refute_respond_to @client.snapshot, :refresh
  end
end
