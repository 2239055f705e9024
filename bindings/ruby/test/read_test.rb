# frozen_string_literal: true

require "support"
require "minitest/mock"

class ReadTest < KeystartTest
  def test_text_is_utf_8_and_bytes_are_binary
    @store.publish(1, { "db" => "h\u00e9" })
    assert_equal ["h\u00e9", Encoding::UTF_8], [@client.get("db"), @client.get("db").encoding]
    assert_equal ["h\xC3\xA9".b, Encoding::BINARY], [@client.bytes("db"), @client.bytes("db").encoding]
  end

  def test_callers_can_change_what_they_got_and_nobody_else_sees_it
    @store.publish(1, { "db" => '{"user":"me","hosts":["a"]}' })
    [@client, @client.snapshot].each do |reader|
      reader.get("db") << "x"
      reader.bytes("db").clear
      reader.json("db")["user"] << "x"
      reader.json("db")["hosts"].clear
      reader.names.each(&:clear).clear
      reader.info("db")["source"]["stages"].clear
      reader.info("db")["path"] << "x"
      reader.secret("db").reveal.clear
      reader.secret("db").reveal_bytes.clear
      assert_equal '{"user":"me","hosts":["a"]}', reader.get("db")
      assert_equal({ "user" => "me", "hosts" => ["a"] }, reader.json("db"))
      assert_equal ["db"], reader.names
      assert_equal ["secrets/db", ["AWSCURRENT"]], [reader.info("db")["path"], reader.info("db")["source"]["stages"]]
    end
  end

  def test_changing_the_name_afterwards_changes_nothing
    @store.publish(1, { "db" => "x" })
    name = +"db"
    secret = @client.secret(name)
    name << "2"
    assert_equal %w[db x x], [secret.name, secret.reveal, @client.get("db")]
  end

  def test_a_new_generation_is_seen_at_the_next_read
    @store.publish(1, { "db" => "old" })
    assert_equal "old", @client.get("db")
    @store.publish(2, { "db" => "new" })
    assert_equal "new", @client.get("db")
  end

  def test_a_read_value_needs_no_file_any_more_while_its_generation_is_current
    @store.publish(1, { "db" => "x" })
    @client.get("db")
    File.delete(File.join(@store.root, "generations/1/secrets/db"))
    assert_equal "x", @client.get("db")
  end

  def test_a_failure_is_not_remembered
    @store.publish(1, { "db" => "x" })
    file = File.join(@store.root, "generations/1/secrets/db")
    File.rename(file, "#{file}.away")
    assert_fails(Keystart::SecretCorrupt) { @client.get("db") }
    File.rename("#{file}.away", file)
    assert_equal "x", @client.get("db")
  end

  def test_names_in_other_encodings_are_the_same_names
    @store.publish(1, { "db" => "x" })
    assert_equal %w[x x x], %w[UTF-16LE ISO-8859-1 ASCII-8BIT].map { |encoding| @client.get("db".encode(encoding)) }
  end

  def test_no_name_makes_an_exception_of_ruby_come_out
    @store.publish(1, { "db" => "x" })
    [nil, 1, :db, [], {}, Object.new, BasicObject.new, 1.0].each do |name|
      raised = assert_fails(Keystart::InvalidName, "The name of a secret must be a string.") { @client.get(name) }
      assert_equal ["invalid_name", nil], [raised.code, raised.secret]
    end
    ["", "d\0b", "\xFF", "\xFF".b, "\xE9".dup.force_encoding("US-ASCII"), "é".encode("UTF-16BE"), "db\n",
     "\x00\xD8".dup.force_encoding("UTF-16LE"), "+AGE-".dup.force_encoding("UTF-7")].each do |name|
      %i[get bytes json path names info secret tls].each do |call|
        assert_fails(Keystart::InvalidName) { @client.public_send(call, name) }
      end
    end
  end

  def test_no_prefix_that_is_too_long_for_tls_makes_another_exception_come_out
    @store.publish(1, { "db" => "x" })
    raised = assert_fails(Keystart::InvalidName) { @client.tls("a/a/a/a/a/a/a/a") }
    assert_match(%r{\A"a/a/a/a/a/a/a/a/cert" is not}, raised.message)
  end

  def test_the_nearest_names_are_offered
    @store.publish(1, { "db" => "x", "dc" => "x", "da" => "x", "de" => "x", "other" => "x" })
    raised = assert_fails(Keystart::SecretNotFound) { @client.get("dx") }
    assert_includes raised.message, 'Did you mean "da", "db" or "dc"?'
    assert_equal "dx", raised.secret
  end

  def test_a_secret_is_stale_once_its_time_has_come
    later = (Time.now.utc + 3600).strftime("%Y-%m-%dT%H:%M:%S.%LZ")
    @store.publish(1, { "db" => "x" }, entry: { refresh_after: later })
    refute @client.info("db")["stale"]
    @store.publish(2, { "db" => "x" }, entry: { refresh_after: "2001-01-01T00:00:00.000Z" })
    assert @client.info("db")["stale"]
  end

  def test_a_secret_object_reads_its_bytes_when_it_is_made
    @store.publish(1, { "db" => "x\xFF" })
    secret = @client.secret("db")
    @store.publish(2, { "db" => "y" })
    @store.collect(1)
    assert_equal "x\xFF".b, secret.reveal_bytes
    assert_equal 2, secret.info["size"]
    assert_equal "db", assert_fails(Keystart::SecretNotText) { secret.reveal }.secret
  end

  def test_a_socket_is_not_a_regular_file_by_the_error_of_linux_and_by_that_of_macos
    @store.publish(1, { "db" => "x" })
    [Errno::ENXIO, Errno::EOPNOTSUPP].each do |error|
      File.stub(:open, ->(*) { raise error }) do
        message = assert_raises(Keystart::ManifestInvalid) { Keystart::Client.new(root: @store.root).names }.message
        assert_includes message, "manifest.json is not a regular file"
      end
    end
  end

  def test_a_warm_read_is_one_system_call
    skip "strace is not installed" unless system("command -v strace >/dev/null")
    @store.publish(1, { "db" => "x" })
    trace = File.join(@folder, "trace")
    # GC.start makes room on Ruby's heap, which otherwise grows by a mapping wherever its last page happens to end.
    program = 'c = Keystart::Client.new(root: ARGV[0]); c.get("db"); GC.start; File.lstat("/begin") rescue 0; ' \
              '50.times { c.get("db") }; File.lstat("/end") rescue 0'
    # Not -f: Ruby's timer thread makes calls too.
    assert system("strace", "-o", trace, RbConfig.ruby, "--disable-gems", "-I", File.expand_path("../lib", __dir__),
                  "-rkeystart", "-e", "GC.disable; #{program}", @store.root)
    calls = File.readlines(trace).drop_while { |line| !line.include?('"/begin"') }.drop(1)
                .take_while { |line| !line.include?('"/end"') }
    assert_equal [%{readlink("#{@store.root}/current"}] * 50, calls.map { |line| line[/\A\w+\("[^"]*"/] }
  end
end
