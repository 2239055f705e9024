# frozen_string_literal: true

require "support"
require "open3"
require "rubygems/package"

class PackageTest < KeystartTest
  HERE = File.expand_path("..", __dir__)
  RUBY = [RbConfig.ruby, "-w", "-I", File.join(HERE, "lib")].freeze
  ERRORS = Keystart::Error.subclasses.freeze

  def test_what_can_be_seen_from_outside_is_what_is_promised
    # In a separate process: keystart/testing, which other tests load, adds to them.
    said, = Open3.capture2e(*RUBY, "-e", 'require "keystart"; puts Keystart.constants')
    classes = ERRORS.map { |error| error.name.delete_prefix("Keystart::") }
    assert_equal %w[Client Error Secret Snapshot VERSION], (said.split - classes).sort
    calls = %i[bytes get info json names path secret snapshot tls]
    of_clients = [*calls, :attempt, :refresh].sort
    readers = [Keystart::Client, Keystart::Snapshot].map do |reader|
      (reader.public_instance_methods - Object.instance_methods - %i[marshal_dump encode_with]).sort
    end
    assert_equal [of_clients, of_clients, calls], [Keystart.singleton_methods.sort, *readers]
  end

  def test_each_code_has_its_class
    codes = ERRORS.map { |error| error.name.delete_prefix("Keystart::").gsub(/(?<!^)[A-Z]/) { |letter| "_#{letter}" } }
    assert_operator codes.length, :>, 10
    assert_equal codes.map(&:downcase), (ERRORS.map { |error| error.new("x").code })
  end

  def test_the_readers_signatures_fit_what_the_methods_take
    { get: [%i[req name]], names: [%i[opt prefix]], snapshot: [], tls: [%i[req prefix]] }.each do |name, parameters|
      [Keystart.method(name), Keystart::Client.instance_method(name),
       Keystart::Snapshot.instance_method(name)].each do |one|
        assert_equal parameters, one.parameters
      end
    end
  end

  def test_requiring_it_loads_nothing_else
    program = 'before = $LOADED_FEATURES.dup; require "keystart"; puts $LOADED_FEATURES - before'
    said, status = Open3.capture2e(*RUBY, "--disable-gems", "-e", program)
    assert status.success?, said
    refute_empty said
    assert_empty said.lines(chomp: true).reject { |file| file.start_with?(File.join(HERE, "lib/")) }
  end

  def test_no_file_brings_a_warning
    Dir[File.join(HERE, "{lib,test}/**/*.rb")].each do |file|
      said, status = Open3.capture2e(*RUBY, "-c", file)
      assert_equal ["Syntax OK\n", true], [said, status.success?], file
    end
  end

  def test_the_gem_holds_the_reader_and_nothing_else
    gem = File.join(@folder, "keystart.gem")
    said, status = Open3.capture2e(Gem.ruby, "-S", "gem", "build", "keystart.gemspec", "-o", gem, chdir: HERE)
    assert status.success?, said
    package = Gem::Package.new(gem)
    sources = Dir.glob("{lib/**/*.rb,sig/*.rbs}", base: HERE)
    assert_equal (sources + %w[LICENSE README.md]).sort, package.contents.sort
    assert_empty package.spec.dependencies
    assert_equal Keystart::VERSION, package.spec.version.to_s
  end

  def test_the_example_in_the_readme_runs_as_it_stands
    database = { user: "me" }
    @store.publish(1,
                   { "stripe/key" => canary, "db" => JSON.generate(database), "keytab" => "\0\n".b, "tls/cert" => "c" })
    answer = run_example(readme("ruby").first, "p handler(event: {}, context: nil)")
    assert_equal "<Secret \"stripe/key\" (redacted)> fetched at 2026-11-23T09:20:00.180Z\n" \
                 "#{{ user: "me", key_length: canary.length }.inspect}\n", answer
  end

  def test_the_errors_example_in_the_readme_runs_as_it_stands
    @store.publish(1, { "db" => "x" })
    assert_includes run_example("require 'keystart'", readme("ruby")[1]), 'There is no secret "feature-flags"'
  end

  def test_the_login_in_the_readme_reads_user_and_password
    password = canary
    @store.publish(1, { "db" => JSON.generate(username: "orders", password:) })
    File.write(File.join(@folder, "pg.rb"), "module PG; def self.connect(**options) = options; end")
    answer = run_example("$LOAD_PATH.unshift(#{@folder.dump})", readme("ruby")[2],
                         "p CONNECTION == { user: 'orders', password: Keystart.json('db')['password'] }")
    assert_equal "true\n", answer
  end

  def test_the_test_in_the_readme_passes_as_it_stands
    handler, _, _, test = readme("ruby")
    File.write(File.join(@folder, "handler.rb"), handler)
    File.write(File.join(@folder, "handler_test.rb"), test)
    said, status = Open3.capture2e(*RUBY, File.join(@folder, "handler_test.rb"))
    assert_equal [true, true], [status.success?, said.include?("1 runs, 3 assertions, 0 failures")], said
  end

  private

  def readme(language) = File.read(File.join(HERE, "README.md")).scan(/^```#{language}\n(.*?)^```$/m).flatten

  def run_example(*parts)
    said, status = Open3.capture2e({ "KEYSTART_DIR" => @store.root, "KEYSTART_TIMEOUT_MS" => "0" }, *RUBY,
                                   stdin_data: parts.join("\n"))
    assert status.success?, said
    said
  end
end
