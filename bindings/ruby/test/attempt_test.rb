# frozen_string_literal: true

require "support"
require "open3"
require "socket"
require "timeout"

# Logins that survive a rotation: what the cases of the contract cannot ask. The writer here says yes to everything.
class AttemptTest < KeystartTest
  FORMAT = "keystart.control/1"

  class DriverError < StandardError
    def code = "28P01"
  end

  def setup
    super
    @store.publish(1, { "db" => "old" })
    @store.publish(2, { "db" => "pending" })
    @store.point_to(1)
    @client = Keystart::Client.new(root: @store.root, timeout: 5)
    @requests = Queue.new
    @open = []
  end

  # Answers like a writer, with the members that `answer` returns. Leaves the connections open.
  def listening(answer = method(:pending_next))
    server = UNIXServer.new(File.join(@store.root, "control.sock"))
    thread = Thread.new { loop { serve(server.accept, answer) } }
    yield
  ensure
    thread.kill.join
    server.close
    @open.each(&:close)
    File.unlink(File.join(@store.root, "control.sock"))
  end

  def serve(socket, answer)
    @open << socket
    line = socket.gets or return
    request = JSON.parse(line).except("format")
    @requests << request
    socket.puts(JSON.generate({ format: FORMAT, ok: true, failures: {} }.merge(answer.call(request))))
  rescue Errno::EPIPE
    nil # a reader that does not wait for the answer to its report
  end

  def pending_next(request)
    return {} unless request["op"] == "try"

    { generation: 1, candidate: request["generation"] && 2 }
  end

  def requests = Array.new(@requests.size) { @requests.pop }

  def operations = requests.map { |request| request["op"] }

  def wait_until
    1000.times { yield ? return : sleep(0.005) }
    flunk "it never became true"
  end

  def log_in(secrets, *passwords)
    password = secrets.get("db")
    raise DriverError, "no" unless passwords.include?(password)

    password
  end

  def test_a_login_that_the_server_refuses_is_tried_with_the_pending_version
    listening do
      found = @client.attempt("db", rejected: DriverError) { |secrets| log_in(secrets, "pending") }
      assert_equal "pending", found
    end
    assert_equal [{ "op" => "try", "name" => "db", "generation" => nil },
                  { "op" => "rejected", "locked" => false, "name" => "db", "generation" => 1 },
                  { "op" => "try", "name" => "db", "generation" => 1 },
                  { "op" => "accepted", "name" => "db", "generation" => 2 }], requests
  end

  def test_the_function_of_the_module_logs_in_with_the_default_client
    ENV["KEYSTART_DIR"] = @store.root
    listening { assert_equal "old", Keystart.attempt("db") { |secrets| secrets.get("db") } }
  ensure
    ENV.delete("KEYSTART_DIR")
    Keystart.instance_variable_set(:@client, nil)
  end

  def test_the_error_of_the_published_version_is_raised_and_lists_the_others_without_a_message
    value = canary
    raised = nil
    listening do
      raised = assert_raises(DriverError) do
        @client.attempt("db", rejected: DriverError) do |secrets|
          raise DriverError, secrets.get("db") == "old" ? "the first" : value
        end
      end
      wait_until { @requests.size == 6 } # the last report is not waited for
    end
    assert_equal ["the first", DriverError, nil], [raised.message, raised.class, raised.cause]
    login = { "generation" => 2, "stage" => nil, "version_id" => nil, "class" => "AttemptTest::DriverError",
              "code" => "28P01" }
    assert_equal [login, login], raised.attempts
    line = "Keystart: the server also rejected a login with generation 2: AttemptTest::DriverError 28P01"
    assert raised.detailed_message.end_with?("\n#{line}\n#{line}"), raised.detailed_message
    refute_includes raised.full_message, value
    assert_equal %w[try rejected] * 3, operations
    assert_equal raised.class, Marshal.load(Marshal.dump(raised)).class
  end

  def test_an_error_that_is_frozen_is_raised_as_it_is
    error = DriverError.new("no").freeze
    listening do
      raised = assert_raises(FrozenError, DriverError) do
        @client.attempt("db", rejected: DriverError) { |secrets| secrets.get("db") && raise(error) }
      end
      refute_respond_to raised, :attempts
    end
  end

  def test_a_block_that_swallows_the_rejection_has_logged_in
    listening do
      assert_equal "nothing", (@client.attempt("db", rejected: DriverError) do |secrets|
        log_in(secrets, "pending")
      rescue DriverError
        "nothing"
      end)
    end
    assert_equal %w[try accepted], operations
  end

  def test_another_error_passes_through_at_once_and_nothing_is_reported
    error = IOError.new("refused")
    listening do
      raised = assert_raises(IOError) { @client.attempt("db") { |secrets| secrets.get("db") && raise(error) } }
      assert_same error, raised
      assert_raises(Interrupt) { @client.attempt("db") { raise Interrupt } }
      assert_equal(7, catch(:out) { @client.attempt("db") { throw :out, 7 } })
    end
    assert_equal %w[try try try], operations
  end

  def test_nothing_is_reported_of_a_block_that_reads_nothing_of_the_name
    @store.publish(3, { "db/user" => "me", "db/password" => "x", "dbx" => "" })
    listening(->(_) { {} }) do
      @client.attempt("db") { |secrets| [secrets.get("dbx"), secrets.names, secrets.info("db/user")] }
      assert_raises(DriverError) { @client.attempt("db", rejected: DriverError) { raise DriverError } }
      assert_equal %w[try try], operations
      [->(secrets) { secrets.get("db/user") }, ->(secrets) { secrets.bytes("db/user") },
       ->(secrets) { secrets.secret("db/password").reveal }, ->(secrets) { secrets.snapshot.path("db/user") }]
        .each { |read| @client.attempt("db", &read) }
    end
    assert_equal %w[try accepted] * 4, operations
  end

  def test_a_snapshot_that_expires_in_the_block_is_taken_again
    turns = [1, 2].each
    listening(->(request) { request["op"] == "try" ? { generation: turns.next } : {} }) do
      runs = 0
      found = @client.attempt("db") do |secrets|
        @store.collect(1) if (runs += 1) == 1
        secrets.get("db")
      end
      assert_equal [2, "pending"], [runs, found]
    end
    assert_equal %w[try try accepted], operations
  end

  def test_without_an_extension_there_is_one_login_and_its_error_passes_through
    assert_equal("old", @client.attempt("db") { |secrets| secrets.get("db") })
    runs = 0
    assert_raises(DriverError) do
      @client.attempt("db", rejected: DriverError) do |secrets|
        runs += 1
        log_in(secrets)
      end
    end
    assert_equal 1, runs
  end

  def test_each_wrong_argument_is_refused_before_the_block_runs
    block = ->(_) { flunk "it ran" }
    listening do
      assert_raises(Keystart::InvalidName) { @client.attempt("../db", &block) }
      assert_raises(Keystart::SecretNotFound) { @client.attempt("dbx", &block) }
      [-1, Float::NAN, Float::INFINITY, 1_000_000, true, "2", BasicObject.new].each do |budget|
        assert_raises(Keystart::InvalidOption) { @client.attempt("db", budget:, &block) }
      end
      [7, "DriverError", {}, [], [DriverError, 7], :code].each do |rejected|
        assert_raises(ArgumentError) { @client.attempt("db", rejected:, &block) }
      end
      assert_raises(ArgumentError) { @client.attempt("db") }
      assert_raises(ArgumentError) { @client.attempt("db", budgetMs: 5, &block) }
    end
    assert_empty requests
  end

  def test_a_budget_of_0_logs_in_once_and_asks_nothing_and_the_outcome_is_reported
    listening do
      assert_equal("old", @client.attempt("db", budget: 0) { |secrets| secrets.get("db") })
      assert_raises(DriverError) do
        @client.attempt("db", budget: 0, rejected: DriverError) do |secrets|
          log_in(secrets)
        end
      end
      wait_until { @requests.size == 2 }
    end
    assert_equal %w[accepted rejected], operations
  end

  def test_a_call_whose_budget_is_shorter_than_the_wait_ends_at_once
    listening(->(_) { { retry_after_ms: 60_000 } }) do
      assert_fails(Keystart::LoginRefused, 'The server refused the logins with "db", and the next one is allowed in ' \
                                           "60000 ms. The log of the extension lists the versions that it tried. " \
                                           "Make the secret and the server agree, then try again.") do
        @client.attempt("db") { flunk "it ran" }
      end
    end
  end

  def test_classes_say_what_a_rejection_is_also_in_a_cause_and_so_does_a_proc
    listening do
      [[IOError, DriverError], Exception.new.singleton_class.superclass, ->(error) { error.cause }].each do |rejected|
        used = []
        assert_raises(RuntimeError) do
          @client.attempt("db", rejected:) do |secrets|
            used << secrets.get("db")
            log_in(secrets)
          rescue DriverError
            raise "the pool failed"
          end
        end
        assert_equal %w[old pending pending], used
      end
    end
  end

  def test_what_the_caller_handles_already_is_not_a_rejection
    listening do
      raise DriverError, "of an earlier login"
    rescue DriverError
      runs = 0
      assert_raises(IOError) do
        @client.attempt("db", rejected: DriverError) do |secrets|
          runs += 1
          secrets.get("db")
          raise IOError, "no route"
        end
      end
      assert_equal 1, runs
    end
  end

  def test_a_locked_account_ends_the_call_and_the_writer_hears_of_it
    listening do
      [:locked, "locked"].each do |answer|
        assert_raises(DriverError) { @client.attempt("db", rejected: ->(_) { answer }) { |secrets| log_in(secrets) } }
      end
      wait_until { @requests.size == 4 }
    end
    assert_equal [nil, true, nil, true], (requests.map { |request| request["locked"] })
  end

  def test_the_connection_of_the_question_stays_open_while_the_block_runs_and_no_longer
    closed = ->(socket) { socket.wait_readable(0) && socket.eof? }
    listening do
      @client.attempt("db") do |secrets|
        refute closed.call(@open.first)
        secrets.get("db")
      end
      assert closed.call(@open.first)
      assert_raises(Timeout::Error) { Timeout.timeout(0.2) { @client.attempt("db") { sleep } } }
      assert closed.call(@open.last)
    end
  end

  def test_threads_log_in_at_once_and_a_child_does_too
    listening do
      threads = Array.new(32) do
        Thread.new { @client.attempt("db", rejected: DriverError) { |secrets| log_in(secrets, "pending") } }
      end
      assert_equal ["pending"] * 32, threads.map(&:value)
      found = in_child { @client.attempt("db", rejected: DriverError) { |secrets| log_in(secrets, "pending") } }
      assert_equal "pending", found
    end
  end

  def test_a_client_that_is_frozen_logs_in
    listening { assert_equal("old", @client.freeze.attempt("db") { |secrets| secrets.get("db") }) }
    assert_equal "old", @client.get("db")
  end

  def test_only_a_login_loads_sockets_and_only_one_that_fails_the_table
    script = <<~'RUBY'
      require "keystart"
      loaded = -> { $LOADED_FEATURES.grep(/\/(socket|keystart\/(control|attempt|rejections))\.(so|rb)\z/).length }
      Keystart.get("db")
      puts loaded.call
      Keystart.attempt("db") { |secrets| secrets.get("db") }
      puts loaded.call
      Keystart.attempt("db") { |secrets| secrets.get("db") && raise(IOError) } rescue puts loaded.call
    RUBY
    listening do
      said, = Open3.capture2e({ "KEYSTART_DIR" => @store.root }, RbConfig.ruby, "--disable=gems",
                              "-I#{File.expand_path("../lib", __dir__)}", "-e", script)
      counts = said.split.map(&:to_i)
      assert_equal 0, counts[0]
      assert_operator counts[1], :>=, 3
      assert_equal counts[1] + 1, counts[2], said
    end
  end

  def test_a_snapshot_has_no_attempt
    refute_respond_to @client.snapshot, :attempt
  end
end
