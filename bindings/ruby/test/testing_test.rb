# frozen_string_literal: true

require "support"
require "keystart/testing"
require "open3"

# keystart/testing, as people use it to test their own function.
class TestingTest < Minitest::Test
  include Keystart::Testing

  def setup
    @variables = ENV.to_h.slice("KEYSTART_DIR", "KEYSTART_TIMEOUT_MS", "TMPDIR")
    @variables.each_key { |name| ENV.delete(name) }
  end

  def teardown
    ENV.delete("KEYSTART_DIR")
    ENV.update(@variables)
    # Otherwise the tests of other files would use the client of a removed store.
    Keystart.instance_variable_set(:@client, nil)
    super
  end

  def test_the_default_client_reads_what_was_published
    config = { "pool" => [1, 2], "größe" => nil }
    store({ "db" => "word", "keytab" => "\xFF\0".b, "config" => config, "port" => 5432,
            "wide" => "é".encode("UTF-16LE") })
    assert_equal ["word", "\xFF\0".b, config, "5432", "é"],
                 [Keystart.get("db"), Keystart.bytes("keytab"), Keystart.json("config"), Keystart.get("port"),
                  Keystart.get("wide")]
    assert_equal %w[utf-8 utf-8 binary utf-8 utf-8], Keystart.names.map { |name| Keystart.info(name)["encoding"] }
  end

  def test_a_symbol_names_a_secret_as_a_string_does
    store = store({ db: "word", "tls/cert": "c" }, unavailable: { flags: "Nobody has them." })
    assert_equal [%w[db tls/cert], "word"], [Keystart.names, Keystart.get("db")]
    assert_raises(Keystart::SecretUnavailable) { Keystart.get("flags") }
    error = assert_raises(Keystart::NameConflict) { store.publish({ db: "x", "db" => "y" }) }
    assert_includes error.message, '"db"'
    assert_raises(Keystart::InvalidName) { store.publish({ "not a name": "x" }) }
  end

  def test_a_client_without_arguments_reads_it_too_and_so_does_a_process
    store = store({ "db" => "word" })
    assert_equal "#{store.root}/current/secrets/db", Keystart::Client.new.path("db")
    assert_equal "word", ruby('require "keystart"; print Keystart.get("db")')
  end

  def test_after_the_block_all_is_as_before
    ENV["KEYSTART_DIR"] = "/nonexistent"
    roots = []
    Keystart::Testing.store({ "db" => "outer" }) do |outer|
      roots << outer.root
      Keystart.get("db")
      assert_raises(ZeroDivisionError) do
        store({ "db" => "inner" }) { |inner| roots << inner.root; Keystart.get("db") == "inner" and 1 / 0 }
      end
      assert_equal ["outer", outer.root], [Keystart.get("db"), ENV.fetch("KEYSTART_DIR")]
    end
    assert_equal "/nonexistent", ENV.fetch("KEYSTART_DIR")
    assert_raises(Keystart::NotAttached) { Keystart.get("db") }
    assert_equal [2, []], [roots.uniq.length, roots.select { |root| File.exist?(File.dirname(root)) }]
  end

  def test_the_block_returns_its_value
    assert_equal "word", Keystart::Testing.store({ "db" => "word" }) { Keystart.get("db") }
    refute ENV.key?("KEYSTART_DIR")
  end

  def test_a_store_of_a_test_is_closed_after_it
    test = Class.new(Minitest::Test) do
      include Keystart::Testing

      attr_reader :roots

      def setup = @roots = [store({ "db" => "x" }), store({ "db" => "y" })].map(&:root)

      def test_it = assert_equal(["y", roots.last], [Keystart.get("db"), ENV.fetch("KEYSTART_DIR")])
    end
    ran = test.new("test_it")
    Minitest::Runnable.runnables.delete(test)
    ran.run
    assert_empty ran.failures
    assert_equal [nil, []], [ENV.fetch("KEYSTART_DIR", nil), ran.roots.select { |root| File.exist?(root) }]
  end

  def test_a_rotation_is_seen_by_the_next_read_and_not_by_a_snapshot
    store = store({ "db" => "old", "gone" => "x" })
    snapshot = Keystart.snapshot
    assert_equal 2, store.publish({ "db" => "new" })
    assert_equal [%w[new old], ["db"]], [[Keystart.get("db"), snapshot.get("db")], Keystart.names]
    # 32 former generations stay, as with the real writer.
    31.times { store.publish({ "db" => "newer" }) }
    assert_equal "x", snapshot.get("gone")
    other = Keystart.snapshot
    33.times { store.publish({ "db" => "newest" }) }
    assert_raises(Keystart::SnapshotExpired) { other.get("db") }
  end

  def test_an_entry_is_unavailable_for_the_reason_given
    store({ "db" => "x" }, unavailable: { "flags" => "Nobody has them." })
    error = assert_raises(Keystart::SecretUnavailable) { Keystart.get("flags/new-checkout") }
    assert_match(/: Unavailable: Nobody has them\.\z/, error.message)
  end

  def test_a_prefetch_that_failed_is_reported_until_the_next_publish
    store = store({ "db" => "x" })
    store.fail("Access denied.")
    assert_match(/Access denied\./, assert_raises(Keystart::PrefetchFailed) { Keystart.get("db") }.message)
    assert_equal [2, "y"], [store.publish({ "db" => "y" }), Keystart.get("db")]
  end

  def test_a_store_that_was_stopped_is_reported_until_the_next_publish
    store = store({ "db" => "x" })
    store.stop
    assert_match(/was stopped/, assert_raises(Keystart::NotReady) { Keystart.get("db") }.message)
    store.stop
    store.fail("Again.")
    store.publish({ "db" => "y" })
    assert_equal "y", Keystart.get("db")
  end

  WRONG = {
    { "../db" => "x" } => [Keystart::InvalidName, %r{\A"\.\./db" is not a valid secret name\.}],
    { 7 => "x" } => [Keystart::InvalidName, /\AThe name of a secret must be a string\.\z/],
    { "db/user" => "y", "db" => "x" } => [Keystart::NameConflict, %r{\n  - "db" is the folder of "db/user"\n}],
    { "db" => "x" * 1_048_577 } => [Keystart::ValueTooLarge, /\AThe secret "db" has 1048577 bytes, /],
    { "db" => Float::NAN } => [JSON::GeneratorError, /NaN/]
  }.freeze

  def test_what_cannot_be_published_is_reported_and_changes_nothing
    Dir.mktmpdir do |folder|
      ENV["TMPDIR"] = folder
      Keystart::Testing.store({ "db" => "kept" }) do |store|
        WRONG.each do |secrets, (kind, message)|
          assert_match message, assert_raises(kind) { Keystart::Testing.store(secrets) { flunk } }.message
          assert_match message, assert_raises(kind) { store.publish(secrets) }.message
          assert_equal ["kept", store.root], [Keystart.get("db"), ENV.fetch("KEYSTART_DIR")]
          assert_equal 1, Dir.children(folder).length
        end
      end
    ensure
      ENV.delete("TMPDIR")
    end
  end

  def test_the_temporary_folder_may_lie_below_a_link
    # As /tmp and the folders of TMPDIR do on macOS.
    Dir.mktmpdir do |folder|
      Dir.mkdir("#{folder}/real")
      File.symlink("real", ENV["TMPDIR"] = "#{folder}/link")
      Keystart::Testing.store({ "db" => "old", "tls/key" => "key" }) do |store|
        assert_equal "#{folder}/link", File.dirname(store.root, 2)
        snapshot = Keystart.snapshot
        store.publish({ "db" => "new" })
        assert_equal %w[new key new], [Keystart.get("db"), snapshot.get("tls/key"), File.read(Keystart.path("db"))]
        store.stop
      end
      assert_empty Dir.children("#{folder}/real")
    ensure
      ENV.delete("TMPDIR")
    end
  end

  def test_a_name_is_listed_once
    error = assert_raises(Keystart::NameConflict) { store({ "db" => "x" }, unavailable: { "db" => "no" }) }
    assert_equal ["name_conflict", true], [error.code, error.message.include?(%(\n  - "db" is there twice\n))]
  end

  def test_the_reader_does_not_load_it
    assert_equal "[]", ruby('require "keystart"; print $LOADED_FEATURES.grep(%r{keystart/testing})')
  end

  private

  def ruby(program)
    said, status = Open3.capture2e(RbConfig.ruby, "-w", "-I", File.expand_path("../lib", __dir__), "-e", program)
    assert status.success?, said
    said
  end
end
