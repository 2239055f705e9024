# frozen_string_literal: true

# A store on disk as the contract lays it out, for tests. The writer's own tests check that the
# writer lays it out so.

require "fileutils"
require "json"
require "minitest/autorun"
require "securerandom"
require "tmpdir"

require "keystart"
Keystart.const_get(:StrictClient) # loads reader.rb, whose parts are tested too

class LaidStore
  attr_reader :root

  def initialize(folder)
    @root = File.join(folder, "store")
    FileUtils.mkdir_p(File.join(@root, "generations"), mode: 0o700)
    File.chmod(0o700, @root)
  end

  def publish(number, secrets, unavailable: {}, entry: {})
    secrets.each { |name, bytes| write("generations/#{number}/secrets/#{name}", bytes) }
    entries = secrets.to_h { |name, bytes| [name, entry_of(name, bytes).merge(entry)] }
    manifest = { format: "keystart.manifest/1", generation: number, published_at: "2026-11-23T09:20:00.187Z",
                 writer: { name: "test", version: "0" }, secrets: entries, unavailable: }
    write("generations/#{number}/manifest.json", JSON.generate(manifest))
    point_to(number)
    state("ready")
  end

  def state(state, message: nil, failures: {})
    write("state.json", JSON.generate(format: "keystart.state/1", state:, generation: 0, pid: 1,
                                      at: "2026-11-23T09:20:00.123Z", message:, failures:))
  end

  def point_to(number)
    File.symlink("generations/#{number}", File.join(@root, ".current-#{number}"))
    File.rename(File.join(@root, ".current-#{number}"), File.join(@root, "current"))
  end

  def collect(number)
    # Renames first, so that readers find it whole or not at all (contract §5, step 8).
    old = File.join(@root, "generations", ".old-#{number}")
    File.rename(File.join(@root, "generations", number.to_s), old)
    FileUtils.rm_r(old)
  end

  def write(path, bytes)
    file = File.join(@root, path)
    FileUtils.mkdir_p(File.dirname(file))
    File.binwrite("#{file}.new", bytes)
    File.rename("#{file}.new", file)
  end

  private

  def entry_of(name, bytes)
    { path: "secrets/#{name}", size: bytes.bytesize, encoding: "utf-8", fetched_at: "2026-11-23T09:20:00.180Z",
      refresh_after: nil, source: { provider: "test", id: name, stages: ["AWSCURRENT"] } }
  end
end

class KeystartTest < Minitest::Test
  def setup
    @folder = Dir.mktmpdir("keystart-ruby-")
    @store = LaidStore.new(@folder)
    @client = Keystart::Client.new(root: @store.root, timeout: 0)
  end

  def teardown
    FileUtils.rm_r(@folder)
  end

  # Without verbose, Minitest does not print the reason.
  def skip(reason)
    warn "#{name} is skipped: #{reason}"
    super
  end

  # Returns text that occurs only in the secret it was put into.
  def canary = "canary-#{SecureRandom.hex(16)}"

  def assert_fails(error, message = nil, &)
    raised = assert_raises(error, &)
    assert_equal message, raised.message if message
    raised
  end

  # Returns what makes the system calls of a client, which reads everything by all steps from then on.
  def strict_files(client) = client.send(:strict).store.files

  # Forks, runs the block in the child, and returns its result as a String.
  def in_child
    reader, writer = IO.pipe
    pid = fork do
      reader.close
      writer.write(yield)
      writer.close
    ensure
      # Not exit: the child would run the tests registered at exit.
      exit!
    end
    writer.close
    reader.read
  ensure
    reader.close
    Process.wait(pid)
  end
end
