# frozen_string_literal: true

require "support"
require "minitest/mock"
require "open3"
require "timeout"

# The quick way through a store returns what the strict one returns, or nothing.
class QuickTest < KeystartTest
  Quick = Keystart.const_get(:Quick)
  StrictClient = Keystart.const_get(:StrictClient)
  SECRETS = { "db" => '{"user": "a"}', "mtls/key" => "line\nline", "bytes" => "\xFF".b, "empty" => "" }.freeze
  NAMES = [*SECRETS.keys, "mtls", "source", "none", "../state.json", ""].freeze
  # Pieces that make a manifest wrong, or only look so.
  PIECES = [
    '{ } [ ] " , : - 0 9 .5 e9 1e999 null true {} [] \\ \ud800 \u0064b é / _ "db" "path" "id":1, "x":1, "size":0,',
    '"__proto__":{}, "secrets":{}, "unavailable":"{", "max_stale":1, "env":{}, "writer":{"a": "source":{} "id":"i",',
    '"path":"secrets/source","size":0, "format":"keystart.manifest/2", "provider":null,'
  ].flat_map(&:split).push(" ", "\n", "\t", "\f", "\0", "9" * 120, "a/" * 9, "n" * 256).freeze
  VALUES = ["null", "0", "-1", "1.5", '""', '"{"', "[]", '["a"]', "[1]", "{}", '{"id":"i","provider":"p"}', "9e999",
            "true", '{"path":"secrets/source","size":0,"id":"i","provider":"p"}'].freeze
  # As the extension writes it.
  WRITTEN = <<~JSON
    {
      "format": "keystart.manifest/1",
      "generation": 1,
      "published_at": "2026-11-23T09:20:00.187Z",
      "writer": {"name": "keystart-extension", "version": "0.1.0"},
      "secrets": {
        "db": {"path": "secrets/db", "size": 13, "encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.180Z", "refresh_after": null, "source": {"field":null,"id":"prod/db","provider":"secretsmanager","region":"eu-west-1","version_id":"1","version_stages":["AWSCURRENT","a"]}},
        "mtls/key": {"path": "secrets/mtls/key", "size": 9, "encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.180Z", "refresh_after": "2026-11-23T10:20:00.180Z", "source": {"id":"key","provider":"ssm"}},
        "bytes": {"path": "secrets/bytes", "size": 1, "encoding": "binary", "fetched_at": "2026-11-23T09:20:00.180Z", "refresh_after": null, "source": {"provider": "ssm", "id": "b"}},
        "empty": {"path": "secrets/empty", "size": 0, "encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.180Z", "refresh_after": null, "source": {"id":"e","provider":"ssm","version_stages":[]}}
      },
      "unavailable": {
      }
    }
  JSON

  def setup
    super
    @store.publish(1, SECRETS)
    @manifest = "#{@store.root}/generations/1/manifest.json"
  end

  def test_it_answers_for_each_value_of_a_sound_store
    assert_equal SECRETS.length, compare("as a test lays it")
    File.write(@manifest, WRITTEN)
    assert_equal SECRETS.length, compare("as the extension writes it")
    @store.publish(2, {})
    assert_equal 0, compare("empty")
  end

  def test_a_manifest_that_is_not_valid_is_not_read_quickly
    [[/\n\z/, "\f"], [": {\n", ":\v{\n"], ["ion\": 1", "ion\": 2"], ["0.1.0", "\xFF"], ["0.1.0", "\n"],
     ["0.1.0", '\\x'], ["empty", "n" * 256], ["empty", "n#{"/n" * 8}"], ["empty", ".n"],
     ["size\": 0", "size\": 1048577"], ["size\": 13", "size\": 013"], [",\n    \"empty", "\n    \"empty"],
     ["]}}\n", "]}},\n"], ['"provider":"ssm"', '"other":"ssm"'],
     ['"id":"e"', '"id":"e","id":null']].each do |part, wrong|
      File.write(@manifest, WRITTEN.gsub(part) { wrong })
      assert_equal 0, compare(wrong), wrong
      assert_fails(Keystart::ManifestInvalid) { StrictClient.new(@store.root, 0).names }
    end
  end

  def test_only_an_entry_has_a_size
    File.write(@manifest, WRITTEN.sub('"id":"e"', '"path":"secrets/db","size":5,"id":"e"'))
    assert_equal 0, compare("a source with a path and a size")
  end

  def test_a_manifest_that_was_changed_anywhere_is_read_as_by_all_steps_or_not
    random = Random.new(20_261_129)
    answered = 0
    [File.read(@manifest), WRITTEN].product((1..500).to_a) do |sound, _|
      text = sound.dup
      random.rand(1..3).times do
        text[random.rand(text.length), random.rand(2) * random.rand(12)] = PIECES.sample(random:)
      end
      File.write(@manifest, text)
      answered += 1 if compare(text).positive?
    end
    assert_includes 20..500, answered
  end

  def test_a_manifest_whose_members_were_replaced_is_read_as_by_all_steps_or_not
    random = Random.new(7)
    [File.read(@manifest), WRITTEN].each do |sound|
      sound.to_enum(:scan, %r{"[\w/]+": ?}).map { Regexp.last_match }.each do |found|
        before = found.pre_match
        member = found[0]
        after = found.post_match
        VALUES.sample(4, random:).each do |value|
          [[before, member, value, ",", member, after],
           [before, member, after.sub(/\A(?:"[^"]*"|[\w.-]+|\{[^{}]*\}|\[[^\]]*\])/) { value }],
           [before, member[random.rand(member.length)..], after]].map(&:join).each do |text|
            File.write(@manifest, text)
            compare(text)
          end
        end
      end
    end
  end

  def test_files_and_folders_that_are_not_as_they_should_be_are_not_read_quickly
    move = ->(from, to, link) { File.rename(from, to) && File.symlink(link, from) }
    [
      ->(root) { File.chmod(0o777, root) },
      ->(root) { move.call(root, "#{root}-real", "#{root}-real") },
      ->(root) { move.call("#{root}/generations", "#{root}/elsewhere", "elsewhere") },
      ->(root) { move.call("#{root}/generations/1", "#{root}/generations/2", "2") },
      ->(root) { move.call("#{root}/current/manifest.json", "#{root}/m", "../../m") },
      ->(root) { File.truncate("#{root}/current/manifest.json", 10) },
      ->(root) { File.write("#{root}/current/manifest.json", " " * 1_048_576, mode: "a") },
      ->(root) { File.delete("#{root}/current") },
      ->(root) { FileUtils.rm_r("#{root}/generations") },
      ->(root) { File.delete("#{root}/current") && File.symlink("generations/01", "#{root}/current") },
      ->(root) { File.delete("#{root}/current") && File.symlink("generations/\xFF", "#{root}/current") }
    ].each { |change| assert_equal 0, after(change), change.inspect }
    assert_equal SECRETS.length - 1, after(lambda do |root|
      move.call("#{root}/current/secrets/mtls", "#{root}/mtls", "../../../mtls")
    end)
  end

  def test_a_value_whose_file_is_not_as_it_should_be_is_not_read_quickly
    [
      ->(file) { File.rename(file, "#{file}-real") && File.symlink("#{file}-real", file) },
      ->(file) { File.write(file, "x", mode: "a") },
      ->(file) { File.truncate(file, 1) },
      ->(file) { File.delete(file) },
      ->(file) { File.delete(file) && FileUtils.mkdir(file) },
      ->(file) { File.delete(file) && File.mkfifo(file) }
    ].each do |change|
      assert_equal SECRETS.length - 1, after(->(root) { change.call("#{root}/current/secrets/db") }), change.inspect
    end
  end

  def test_bytes_that_were_read_while_the_generation_went_away_are_not_returned
    %w[manifest.json secrets/db].each do |path|
      quick = Quick.open(@store.root, 0)
      refute_nil quick.value("empty") if path == "secrets/db"
      opened = File.method(:open)
      collect = lambda do |file, *rest, &block|
        opened.call(file, *rest, &block).tap do
          File.rename("#{@store.root}/generations/1", "#{@store.root}/old") if file.end_with?(path)
        end
      end
      File.stub(:open, collect) { assert_nil quick.value("db") }
      File.rename("#{@store.root}/old", "#{@store.root}/generations/1")
    end
  end

  def test_a_name_that_changes_while_it_is_read_is_the_one_that_was_requested
    name = +"db"
    readlink = File.method(:readlink)
    change = ->(path) { readlink.call(path).tap { name.replace("empty") } }
    assert_equal(SECRETS["db"], File.stub(:readlink, change) { @client.get(name) })
  end

  def test_a_client_that_has_read_quickly_knows_that_the_store_was_removed
    assert_equal SECRETS["db"], @client.get("db")
    FileUtils.rm_r(@store.root)
    assert_includes assert_fails(Keystart::NotReady) { @client.get("db") }.message, "was removed"
  end

  def test_a_client_that_reads_by_all_steps_keeps_no_value_that_it_read_quickly
    @client.get("db")
    quick = @client.instance_variable_get(:@quick)
    refute_nil quick.known
    @client.names
    assert_nil quick.known
  end

  def test_options_that_need_a_check_are_not_taken_quickly
    [[@store.root, nil], [@store.root, 1], [@store.root, 0.5], [nil, nil]].each { |good| refute_nil Quick.open(*good) }
    [["x", 0], ["/x/", 0], ["/", 0], ["", 0], ["/é", 0], ["/a\n", 0], ["/a".encode("UTF-16LE"), 0], [:x, 0],
     ["慡".encode("UTF-16LE"), 0], [BasicObject.new, 0], [nil, -1], [nil, 1_000_000], [nil, Float::NAN], [nil, "1"],
     [nil, BasicObject.new]].each { |root, timeout| assert_nil Quick.open(root, timeout) }
    ENV["KEYSTART_TIMEOUT_MS"] = "5"
    assert_nil Quick.open(@store.root, nil)
  ensure
    ENV.delete("KEYSTART_TIMEOUT_MS")
  end

  def test_a_read_of_a_sound_store_loads_two_files_more
    said = run_alone('Keystart.get("db"); Keystart.bytes("bytes"); puts $LOADED_FEATURES.grep(/keystart/)')
    assert_equal %w[client.rb keystart.rb quick.rb], said.lines(chomp: true).map { |file| File.basename(file) }.sort
  end

  def test_a_signal_handler_loads_what_it_needs
    fails = 'begin; c.get("none"); rescue Keystart::Error => e; e.code; end'
    ['Keystart.json("db").fetch("user")', fails].each do |read|
      said = run_alone("c = Keystart::Client.new; Keystart.get('db'); got = Queue.new\n" \
                       "trap('USR1') { got << begin; #{read}; end }; Process.kill('USR1', Process.pid); puts got.pop")
      assert_includes %W[a\n secret_not_found\n], said
    end
  end

  def test_a_signal_handler_loads_what_a_client_that_reads_by_all_steps_has_not_loaded
    failed = ->(read) { "begin; #{read}; rescue Keystart::Error => e; e.code; end" }
    { failed.call('c.get("none")') => "secret_not_found", failed.call("c.get(1)") => "invalid_name",
      failed.call('s.get("none")') => "secret_not_found", failed.call("v.reveal") => "secret_not_text",
      failed.call('Keystart::Client.new(root: "")') => "invalid_option", 'c.info("db")["size"]' => "13",
      failed.call("c.refresh") => "refresh_unavailable", failed.call('c.tls("mtls")') => "secret_not_found",
      'c.attempt("db") { 1 }' => "1", 'Keystart.get("empty").length' => "0" }.each do |read, answer|
      said = run_alone("c = Keystart::Client.new; s = c.snapshot; v = c.secret('bytes'); got = Queue.new\n" \
                       "trap('USR1') { got << begin; #{read}; rescue ThreadError => e; e.message; end }\n" \
                       "Process.kill('USR1', Process.pid); puts got.pop")
      assert_equal "#{answer}\n", said, read
    end
  end

  def test_a_signal_handler_names_a_class_of_errors_that_nothing_has_named_yet
    errors = "(Keystart.constants - %i[Client Secret Snapshot VERSION]).map { |name| Keystart.const_get(name) }"
    { 'raise "x" rescue Keystart::NotReady === $!' => "false", "Keystart::NotReady::CODE" => "not_ready",
      'Keystart::SecretStale.new("x").code' => "secret_stale",
      "#{errors}.count { |error| error < Keystart::Error }" => "21" }.each do |names, answer|
      said = run_alone("got = Queue.new\n" \
                       "trap('USR1') { got << begin; #{names}; rescue ThreadError => e; e.message; end }\n" \
                       "Process.kill('USR1', Process.pid); puts got.pop")
      assert_equal "#{answer}\n", said, names
    end
  end

  def test_a_class_of_the_caller_has_the_code_of_its_base_before_the_first_error_and_afterwards
    said = run_alone("class Late < Keystart::NotReady; end; class Other < Keystart::Error; end\n" \
                     "puts [Other, Late, Other, Keystart::Error].map { |one| one.new.code rescue $!.class }")
    assert_equal "NameError\nnot_ready\nNameError\nNameError\n", said
  end

  def test_a_read_at_exit_and_one_after_a_timeout_report_as_always
    FileUtils.rm("#{@store.root}/current")
    said = run_alone(<<~RUBY)
      require "timeout"
      client = Keystart::Client.new(timeout: 0.3)
      at_exit { client.get("db") rescue puts $!.code }
      begin; Timeout.timeout(0.1) { client.get("db") }; rescue Timeout::Error => e; puts e.class; end
      begin; client.get("db"); rescue Keystart::NotReady => e; puts e.code; end
    RUBY
    assert_equal "Timeout::Error\nnot_ready\nnot_ready\n", said
  end

  def test_a_read_reports_as_always_after_a_thread_was_killed_while_it_loaded_the_reader
    %w[reader generation store errors missing].each do |file|
      said = run_alone(<<~RUBY)
        $VERBOSE = nil # Ruby warns of constants of the first half
        read = -> { Keystart::Client.new.get("none") rescue $!.code }
        killed = Thread.new do
          mine = Thread.current
          TracePoint.new(:line) { |at| mine.kill if at.path.end_with?("/#{file}.rb") && Thread.current == mine && at.lineno > 12 }.enable
          read.call
        end
        puts killed.value.inspect, read.call
      RUBY
      assert_equal "nil\nsecret_not_found\n", said, file
    end
  end

  def test_a_signal_handler_begins_again_although_another_thread_has_loaded_the_rest
    said = run_alone("Keystart.const_get(:StrictClient); loading = Keystart.const_get(:Loading); " \
                     "loading::LATER.each { |name| Keystart.const_get(name) }; " \
                     "p 2.times.map { loading.load_rest? }")
    assert_equal "[true, false]\n", said
  end

  def test_threads_load_the_rest_at_once
    said = run_alone(<<~RUBY)
      go = Queue.new
      reads = [-> { Keystart.json("db") }, -> { Keystart.names }, -> { Keystart.info("db") },
               -> { Keystart.secret("db").reveal }, -> { Keystart.get("none") rescue $!.code }]
      threads = Array.new(30) { |at| Thread.new { go.pop && reads[at % 5].call } }
      30.times { go << true }
      puts threads.map(&:value).uniq.length
    RUBY
    assert_equal "5\n", said
  end

  def test_no_file_is_required_that_a_constant_loads
    said = run_alone("names = [*Keystart.constants, :StrictClient, :Errors, :Json, :Missing, :Options]\n" \
                     "files = names.filter_map { |name| Keystart.autoload?(name) }.uniq\n" \
                     "Keystart.names\n" \
                     "puts files + %i[Age Attempt Freshness Refresh Tls].map { |name| Keystart.autoload?(name) }")
    loaded = said.lines(chomp: true).map { |file| "#{file}.rb" }
    assert_equal 12, loaded.length
    Dir.glob(File.expand_path("../lib/**/*.rb", __dir__)) do |file|
      required = File.read(file).scan(/require_relative "(.*?)"/).flatten
      required.map! { |path| File.expand_path("#{path}.rb", File.dirname(file)) }
      assert_empty required & loaded, file
    end
  end

  def test_a_large_manifest_is_read_in_one_go
    @store.publish(3, (1..4_000).to_h { |number| ["folder/secret-#{number}", number.to_s] })
    assert_operator File.size("#{@store.root}/current/manifest.json"), :>, 700_000
    assert_equal "4000", Quick.open(@store.root, 0).value("folder/secret-4000")
  end

  private

  # Asks both ways for all values. Returns how many the quick one returned.
  def compare(what)
    quick = Quick.open(@store.root, 0)
    strict = StrictClient.new(@store.root, 0)
    NAMES.count do |name|
      value = quick.value(name) or next
      assert_equal strict.bytes(name), value.b, "#{name}: #{what}"
      assert_equal Encoding::UTF_8, value.encoding
    end
  end

  # Returns how many values a store has after a change, by the quick way.
  def after(change)
    Dir.mktmpdir do |folder|
      @store = LaidStore.new(folder)
      @store.publish(1, SECRETS)
      change.call(@store.root)
      compare(change.inspect)
    end
  end

  def run_alone(program)
    said, status = Open3.capture2e({ "KEYSTART_DIR" => @store.root }, RbConfig.ruby, "-w", "-I",
                                   File.expand_path("../lib", __dir__), "-rkeystart", "-e", program)
    assert status.success?, said
    said
  end
end
