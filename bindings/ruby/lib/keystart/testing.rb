# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
require "keystart"
require_relative "state"
Keystart.const_get(:StrictClient) # loads reader.rb

module Keystart
  # Publishes stores in temporary folders, so that tests run a function unchanged, without Lambda or
  # an extension. `require "keystart"` does not load it.
  #
  #   class OrdersTest < Minitest::Test
  #     include Keystart::Testing
  #
  #     def test_the_new_password_is_used_at_once
  #       store = store({ "db" => "old" })
  #       assert_equal "old", handler(event: {}, context: nil)
  #       store.publish({ "db" => "new" })
  #       assert_equal "new", handler(event: {}, context: nil)
  #     end
  #   end
  #
  # Without Minitest, `Keystart::Testing.store({ "db" => "x" }) { |store| … }` does the same for the
  # length of its block.
  #
  # Meanwhile KEYSTART_DIR and the default client are those of the whole process. That suits tests
  # that run one after the other, and workers that are processes. Threads that each open a store
  # (minitest's parallelize_me!) would read each other's. In such tests, pass
  # `Keystart::Client.new(root: store.root)` to the tested code. Values read before, and a client
  # made before, do not change: if a file reads when it is loaded, load it after this call.
  module Testing
    # Publishes for the length of the block, which gets the TestStore. Arguments and errors are
    # those of TestStore#publish.
    def self.store(secrets = {}, unavailable: {})
      one = TestStore.new
      begin
        one.publish(secrets, unavailable:)
        one.enter
        yield one
      ensure
        one.close
      end
    end

    # Publishes until the test ends (Minitest); with a block, for its length. Arguments and errors
    # are those of TestStore#publish.
    def store(secrets = {}, unavailable: {}, &block)
      return Testing.store(secrets, unavailable:, &block) if block

      one = TestStore.new
      (@keystart_stores ||= []) << one
      one.publish(secrets, unavailable:)
      one.enter
      one
    end

    # Minitest calls it after every test, even a failed one.
    def after_teardown
      (@keystart_stores || []).reverse_each(&:close)
      super
    end
  end

  # A store in a temporary folder and its writer. It follows contract §5 as far as one process that
  # trusts its folder needs: it takes no lock, and overwrites nothing that it removes.
  class TestStore
    # How long, in seconds, a generation stays after it ceased to be current, and how many do.
    KEPT = 60 # limits.toml: retention.seconds
    MOST_KEPT = 32 # limits.toml: retention.former
    private_constant :KEPT, :MOST_KEPT

    # The absolute path of the store. KEYSTART_DIR holds it meanwhile.
    attr_reader :root

    # @private
    def initialize
      @folder = Dir.mktmpdir("keystart-testing-")
      @root = "#{@folder}/store"
      @last = 0
      @published = nil
      @former = []
      make_folder "generations"
      write "lock", ""
    end

    # Publishes a whole new set of secrets, as a rotation does, and returns the number of its generation.
    #
    # A name is a String or a Symbol. A String is stored as text, one in ASCII-8BIT as bytes,
    # everything else as JSON. `unavailable` lists optional entries that could not be fetched, with
    # the reason by name. After `fail` or `stop` it publishes as a restarted extension does. Raises
    # InvalidName, NameConflict or ValueTooLarge, and JSON::GeneratorError for what is not JSON.
    def publish(secrets, unavailable: {})
      secrets = by_name(secrets)
      unavailable = by_name(unavailable)
      values = secrets.to_h { |name, value| [name, bytes(name, value)] }
      check_conflicts(values.keys.sort, unavailable.keys)

      # (4), the numbers are those of contract §5
      number = @last += 1
      making = "generations/.new-#{number}"
      make_folder "#{making}/secrets"
      values.each { |name, value| write "#{making}/secrets/#{name}", value }
      write "#{making}/manifest.json", JSON.generate(manifest(number, values, unavailable))
      # (5)
      rename making, "generations/#{number}"
      # (6)
      File.symlink("generations/#{number}", "#{@root}/.current-#{number}")
      rename ".current-#{number}", "current"
      # (7)
      write_state "ready"
      # (8)
      at = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @former << [@published, at] if @published
      @former = @former.select { |_, ceased_at| at - ceased_at < KEPT }.last(MOST_KEPT)
      collect [number, *@former.map(&:first)]
      @published = number
    end

    # Ends like an extension that could not fetch: reads raise PrefetchFailed with this message.
    def fail(message) = finish("failed", message)

    # Removes every secret, as at the end of the environment: reads raise NotReady.
    def stop = finish("stopped", nil)

    # @private
    def enter
      @before = [ENV.fetch("KEYSTART_DIR", nil), Keystart.instance_variable_get(:@client)]
      point_to @root, nil
    end

    # @private
    def close
      point_to(*@before) if @before
      # The test may have removed the folder above it.
      FileUtils.rm_r(@folder) if File.exist?(@folder)
    end

    private

    def point_to(variable, client)
      ENV["KEYSTART_DIR"] = variable
      Keystart.instance_variable_set(:@client, client)
    end

    # Returns the pairs by checked names. A Symbol names a secret as a String does.
    def by_name(pairs)
      named = pairs.map { |name, value| [Name.check(Symbol === name ? name.name : name), value] }
      twice = named.map(&:first).tally.select { |_, count| count > 1 }
      raise Errors.name_conflict(twice.keys.map { |name| Errors.name_twice(name) }.join) unless twice.empty?

      named.to_h
    end

    def bytes(name, value)
      value = JSON.generate(value) unless String === value
      value = value.encode(Encoding::UTF_8) unless value.encoding == Encoding::BINARY
      raise Errors.value_too_large(name, value.bytesize) if value.bytesize > Manifest::LONGEST_VALUE

      value
    end

    # Checks contract 2.4 and 5.9.
    def check_conflicts(secrets, unavailable)
      twice = (unavailable & secrets).map { |name| Errors.name_twice(name) }
      nested = secrets.flat_map do |name|
        (Name.folders(name) & secrets).map { |folder| Errors.name_is_folder(folder, name) }
      end
      raise Errors.name_conflict((twice + nested).join) unless (twice + nested).empty?
    end

    def manifest(number, values, unavailable)
      { format: Manifest::FORMAT, generation: number, published_at: now,
        writer: { name: "keystart-testing", version: VERSION },
        secrets: values.to_h { |name, value| [name, entry(name, value)] },
        unavailable: unavailable.transform_values { |message| { code: "Unavailable", message: } } }
    end

    def entry(name, value)
      { path: "secrets/#{name}", size: value.bytesize,
        encoding: value.encoding == Encoding::BINARY ? "binary" : "utf-8",
        fetched_at: now, refresh_after: nil, source: { provider: "test", id: name } }
    end

    def finish(state, message)
      File.unlink("#{@root}/current") if @published
      write_state state, message
      collect []
      @former = []
      @published = nil
    end

    def write_state(state, message = nil)
      write ".state.json", JSON.generate(format: State::FORMAT, state:, generation: @last, pid: Process.pid, at: now,
                                         message:, failures: {})
      rename ".state.json", "state.json"
    end

    # Renames a generation before removing it, so that readers find it whole or not at all.
    def collect(kept)
      (Dir.children("#{@root}/generations") - kept.map(&:to_s)).each do |number|
        rename "generations/#{number}", "generations/.old-#{number}"
        FileUtils.rm_r("#{@root}/generations/.old-#{number}")
      end
    end

    def now = Time.now.utc.strftime("%Y-%m-%dT%H:%M:%S.%LZ")

    def make_folder(path)
      FileUtils.mkdir_p("#{@root}/#{path}", mode: 0o700)
    end

    def write(path, bytes)
      make_folder File.dirname(path)
      File.open("#{@root}/#{path}", File::WRONLY | File::CREAT | File::EXCL | File::BINARY, 0o600) do |file|
        file.write(bytes)
      end
    end

    def rename(from, to) = File.rename("#{@root}/#{from}", "#{@root}/#{to}")
  end

  # Codes that only a writer has (contract §8), generated from contract/errors.toml: errors
  # Two secrets have the same name, or one name is the folder of the other.
  class NameConflict < Error
    CODE = "name_conflict"
  end

  # A value has more bytes than can be stored.
  class ValueTooLarge < Error
    CODE = "value_too_large"
  end

  # Makes the errors, each with its message of contract 8.4.
  module Errors
    module_function

    def name_twice(name)
      "\n  - \"#{name}\" is there twice"
    end

    def name_is_folder(folder, name)
      "\n  - \"#{folder}\" is the folder of \"#{name}\""
    end

    def name_conflict(conflicts)
      text = "These secrets cannot be in one store:#{conflicts}\nGive one of each pair another " \
             "name."
      NameConflict.new(text)
    end

    def value_too_large(name, size)
      text = "The secret \"#{name}\" has #{size} bytes, and 1048576 is the most that can be " \
             "stored. Make it smaller, or split it."
      ValueTooLarge.new(text)
    end
  end
  # end of generated
end
