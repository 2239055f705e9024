# frozen_string_literal: true

require "support"
require "keystart/testing"
require "open3"

# sig/ lists and describes everything: editors show that.
class SignatureTest < KeystartTest
  HERE = File.expand_path("..", __dir__)
  CLASSES = Keystart.constants.map { |name| Keystart.const_get(name) }.grep(Module).freeze
  SINGLETONS = [Keystart, Keystart::Testing].freeze

  def setup
    super
    @rbs = Gem::Specification.find_all_by_name("rbs").first or skip "the gem rbs is not installed"
    require "rbs"
  end

  def test_the_signatures_are_valid
    said, status = Open3.capture2e(RbConfig.ruby, @rbs.bin_file("rbs"), "-I", File.join(HERE, "sig"), "validate",
                                   "--silent")
    assert status.success?, said
  end

  def test_each_public_method_has_its_signature_and_each_signature_its_method
    CLASSES.each do |one|
      own = one.public_instance_methods - (Class === one ? one.superclass.public_instance_methods : [])
      declared = declared(signatures.build_instance(name_of(one))).keys - [:initialize]
      assert_equal [[], []], [own - declared, declared - one.public_instance_methods], one.name
    end
    SINGLETONS.each do |one|
      assert_equal one.singleton_methods.sort, declared(signatures.build_singleton(name_of(one))).keys.sort, one.name
    end
  end

  def test_everything_is_described
    entries = CLASSES.map { |one| environment.class_decls.fetch(name_of(one)).decls.map { |entry| entry.decl.comment } }
    assert_equal entries.length, entries.count { |comments| described?(comments) }
    definitions = CLASSES.map { |one| signatures.build_instance(name_of(one)) } +
                  SINGLETONS.map { |one| signatures.build_singleton(name_of(one)) }
    methods = definitions.flat_map { |definition| declared(definition).except(:initialize).to_a }
    assert_operator methods.length, :>, 40
    assert_empty(methods.reject { |_, method| described?(method.comments) }.map(&:first))
  end

  # rbs checks the arguments and results of the module's functions and of Secret's methods.
  def test_what_comes_out_is_of_the_types_that_are_said
    @store.publish(1, { "db" => '{"port": 5432, "hosts": ["a", null, 1.5, true]}', "tls/cert" => "c" })
    env = { "RBS_TEST_TARGET" => "Keystart,Keystart::*", "RBS_TEST_OPT" => "-I #{HERE}/sig", "RBS_TEST_RAISE" => "1",
            "RBS_TEST_LOGLEVEL" => "error", "KEYSTART_DIR" => @store.root }
    said, status = Open3.capture2e(env, RbConfig.ruby, "-I", "#{HERE}/lib", "-r", "rbs/test/setup", "-e", USE)
    assert_equal ["RBS::Test::Tester::TypeError\n", true], [said, status.success?]
  end

  USE = <<~'RUBY'
    require "keystart"
    %i[get bytes json path info].each { |call| Keystart.public_send(call, "db") }
    Keystart.names
    Keystart.names("tls")
    Keystart.snapshot.snapshot
    secret = Keystart.secret("db")
    %i[name reveal reveal_bytes info to_s inspect instance_variables].each { |call| secret.public_send(call) }
    begin
      Keystart.get("nothing")
    rescue Keystart::SecretNotFound => e
      [e.code, e.secret]
    end
    begin
      Keystart.get(7)
    rescue Exception => e
      puts e.class # so something is checked
    end
  RUBY

  private

  def environment
    @environment ||= begin
      loader = RBS::EnvironmentLoader.new
      loader.add(path: Pathname(HERE) / "sig")
      RBS::Environment.from_loader(loader).resolve_type_names
    end
  end

  def signatures = @signatures ||= RBS::DefinitionBuilder.new(env: environment)

  def name_of(one) = RBS::Factory.new.type_name(one.name).absolute!

  # The methods that sig/ itself declares, by name.
  def declared(definition)
    definition.methods.select do |_, method|
      method.public? && method.defs.any? { |one| one.implemented_in.to_s.start_with?("::Keystart") }
    end
  end

  def described?(comments) = comments.compact.any? { |comment| comment.string.length > 3 }
end
