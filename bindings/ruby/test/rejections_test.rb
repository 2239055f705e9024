# frozen_string_literal: true

require "support"
require "json"
require "keystart/rejections"

# Errors that drivers raised on real servers are recognised, and so are the sentences of PostgreSQL's languages.
class RejectionsTest < Minitest::Test
  Rejections = Keystart.const_get(:Rejections)
  CONTRACT = File.expand_path("../../../contract", __dir__)
  RULES = JSON.parse(File.read("#{CONTRACT}/rejections.json"))
  CASES = JSON.parse(File.read("#{CONTRACT}/cases/rejections/ruby.json"))["cases"]
  SENTENCES = RULES["servers"]["postgresql"]["words"].flat_map do |word|
    [word["text"], *word["translations"]&.values&.flatten]
  end
  BEGUN = 'connection to server at "127.0.0.1", port 5432 failed: FATAL:  '

  # Makes an error of classes with the same names, which carries the same.
  def rebuilt(data)
    error = named(data["classes"]).allocate
    error.define_singleton_method(:message) { data["message"] }
    data.fetch("methods", {}).each do |name, value|
      value = value["code"] ? Struct.new(:code).new(value["code"]) : value.transform_keys(&:to_sym) if Hash === value
      error.define_singleton_method(name) { value }
    end
    data["cause"] ? caused(error, rebuilt(data["cause"])) : error
  end

  # Returns the first class of a list, each below the next. It makes those that no library has defined.
  def named(names)
    names.reverse.inject(StandardError) do |parent, name|
      outside, _, last = name.rpartition("::")
      within = outside.split("::").inject(Object) { |found, part| constant(found, part) { Module.new } }
      found = constant(within, last) { Class.new(parent) }
      Class === found ? found : parent
    end
  end

  def constant(within, name)
    within.const_defined?(name, false) ? within.const_get(name, false) : within.const_set(name, yield)
  end

  def caused(error, cause)
    raise error, cause: cause
  rescue error.class => e
    e
  end

  def bad(text) = rebuilt("classes" => %w[PG::ConnectionBad PG::Error], "message" => text)
  def refused = bad("#{BEGUN}#{format(SENTENCES.first, "app")}\n")
  def locked = rebuilt("classes" => %w[Mysql2::Error], "message" => "locked", "methods" => { "error_number" => 4151 })

  CASES.each do |data|
    define_method("test_#{data["id"]}") do
      verdict = Rejections.classify(rebuilt(data["error"]))
      data["verdict"] ? assert_equal(data["verdict"].to_sym, verdict) : assert_nil(verdict)
    end
  end

  def test_each_recorded_rule_has_a_case_that_it_decides
    decided = CASES.select { |each| each["verdict"] }.flat_map { |each| names(each["error"]) }
    rules = RULES["drivers"]["ruby"].reject { |each| each["seen"] == "read" }
    assert_empty(rules.select { |each| (each["class"] & decided).empty? }.map { |each| each["driver"] })
  end

  def names(error) = error["classes"] + (error["cause"] ? names(error["cause"]) : [])

  def test_a_sentence_counts_at_the_end_of_a_line_only
    SENTENCES.each do |sentence|
      text = sentence.sub("%s", "app")
      assert_equal :rejected, Rejections.classify(bad("#{BEGUN}#{text}\n")), text
      assert_equal :rejected, Rejections.classify(bad("#{BEGUN}#{text}\n".b)), text
      assert_nil Rejections.classify(bad("#{BEGUN}#{text} and more")), text unless sentence.end_with?("%s")
      assert_nil Rejections.classify(bad("#{BEGUN}not #{text}")), text
    end
  end

  # Newer versions of the driver keep the code; all of them end with what the server said.
  def test_a_login_that_mongodb_refused
    {
      [18, "Authentication failed. (18: AuthenticationFailed)"] => :rejected,
      [nil, "Authentication failed. (18: AuthenticationFailed)"] => :rejected,
      [8000, "bad auth : authentication failed (8000: AtlasError)"] => :rejected,
      [nil, "bad auth : Authentication failed. (8000: AtlasError)"] => :rejected,
      [8000, "connection limit exceeded (8000: AtlasError)"] => nil,
      [13, "not authorized (13: Unauthorized)"] => nil
    }.each do |(code, said), verdict|
      message = "User app is not authorized to access admin (auth source: admin): #{said}"
      classes = %w[Mongo::Auth::Unauthorized Mongo::Error::AuthError]
      error = rebuilt("classes" => classes, "methods" => { "code" => code }, "message" => message)
      found = Rejections.classify(error)
      verdict ? assert_equal(verdict, found, said) : assert_nil(found, said)
    end
  end

  def test_an_error_of_another_class_with_the_same_words_is_none
    assert_nil Rejections.classify(RuntimeError.new(refused.message))
  end

  def test_causes_are_followed_eight_deep
    error = refused
    (1..9).each do |depth|
      error = caused(RuntimeError.new, error)
      depth <= 8 ? assert_equal(:rejected, Rejections.classify(error)) : assert_nil(Rejections.classify(error))
    end
  end

  def test_locked_wins_over_rejected
    assert_equal :locked, Rejections.classify(caused(refused, locked))
  end

  def test_what_the_caller_handles_already_does_not_count
    raise handled = refused
  rescue StandardError
    begin
      raise "another"
    rescue RuntimeError => e
      assert_equal :rejected, Rejections.classify(e)
      assert_nil Rejections.classify(e, handled)
    end
  end

  def test_an_error_that_raises_when_one_looks_at_it_is_none
    hostile = named(%w[PG::ConnectionBad PG::Error]).allocate
    hostile.define_singleton_method(:message) { raise "hostile" }
    assert_nil Rejections.classify(hostile)
  end
end
