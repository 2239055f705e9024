# frozen_string_literal: true

require "support"

class SnapshotTest < KeystartTest
  def setup
    super
    @store.publish(1, { "cert" => "cert 1", "key" => "key 1" })
    @snapshot = @client.snapshot
  end

  def test_values_belong_together_over_a_publish
    assert_equal "cert 1", @snapshot.get("cert")
    @store.publish(2, { "cert" => "cert 2", "key" => "key 2" })
    assert_equal ["key 1", "key 2"], [@snapshot.get("key"), @client.get("key")]
  end

  def test_it_expires_for_values_that_were_not_read_before
    assert_equal "cert 1", @snapshot.get("cert")
    @store.publish(2, { "cert" => "cert 2", "key" => "key 2" })
    @store.collect(1)
    assert_equal "cert 1", @snapshot.get("cert")
    raised = assert_fails(Keystart::SnapshotExpired, "The snapshot of generation 1 has expired because the store " \
                                                     "moved on. Take a new snapshot.") { @snapshot.get("key") }
    assert_equal %w[snapshot_expired key], [raised.code, raised.secret]
    assert_equal "key 2", @client.snapshot.get("key")
  end

  def test_it_expires_when_the_whole_store_is_gone
    FileUtils.rm_r(@store.root)
    assert_fails(Keystart::SnapshotExpired) { @snapshot.get("key") }
    FileUtils.mkdir(@store.root)
  end

  def test_a_missing_file_is_damage_while_the_generation_is_there
    File.delete(File.join(@store.root, "generations/1/secrets/key"))
    @store.publish(2, { "key" => "key 2" })
    raised = assert_fails(Keystart::SecretCorrupt) { @snapshot.get("key") }
    assert_equal 'The secret "key" is damaged in generation 1: its file is missing. Start the extension again.',
                 raised.message
  end

  def test_its_facts_stay_when_its_files_are_gone
    @store.collect(1)
    assert_equal [%w[cert key], 6], [@snapshot.names, @snapshot.info("cert")["size"]]
    assert_equal "#{@store.root}/generations/1/secrets/key", @snapshot.path("key")
  end

  def test_its_snapshot_is_itself
    assert_same @snapshot, @snapshot.snapshot
  end
end
