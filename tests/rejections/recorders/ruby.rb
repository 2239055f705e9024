# frozen_string_literal: true

# Logs in with drivers for Ruby as standard input says, and prints the errors as data with their verdicts.
# Input and output are JSON: a list of {"driver", "login"}, and a list of errors, nil where a login succeeded.

require "json"
require "keystart"
require "keystart/rejections"

module Recorder
  module_function

  def sql(login) = login.transform_keys(&:to_sym).slice(:host, :port, :user, :password, :database).compact

  # The libraries of a driver, the gem whose version counts, and what connects.
  DRIVERS = {
    "pg" => ["pg", lambda { |login|
      place = sql(login)
      PG.connect(**place.except(:database), dbname: place[:database]).exec(login["query"] || "SELECT 1")
    }],
    "Sequel with pg" => ["sequel", ->(login) { sequel("postgres", login) }],
    "Active Record with pg" => ["activerecord", ->(login) { active_record("postgresql", login) }],
    "mysql2" => ["mysql2", lambda { |login|
      place = sql(login)
      Mysql2::Client.new(**place.except(:user), username: place[:user]).query(login["query"] || "SELECT 1")
    }],
    "Sequel with mysql2" => ["sequel", ->(login) { sequel("mysql2", login) }],
    "Active Record with mysql2" => ["activerecord", ->(login) { active_record("mysql2", login) }],
    "redis" => ["redis", lambda { |login|
      place = sql(login)
      Redis.new(**place.except(:user), username: place[:user]).call((login["query"] || "PING").split)
    }],
    "net/http" => ["", ->(login) { Net::HTTP.get_response(URI(login["url"])).value }],
    "faraday" => ["faraday", ->(login) { Faraday.new { |to| to.response :raise_error }.get(login["url"]) }]
  }.freeze
  LIBRARIES = { "sequel" => %w[sequel], "activerecord" => %w[active_record], "" => %w[net/http] }.freeze

  def sequel(adapter, login)
    Sequel.connect(**sql(login), adapter: adapter)[login["query"] || "SELECT 1"].all
  end

  def active_record(adapter, login)
    place = sql(login)
    ActiveRecord::Base.establish_connection(**place.except(:user), username: place[:user], adapter: adapter)
    ActiveRecord::Base.connection.execute(login["query"] || "SELECT 1")
  end

  # Returns an error as data: its ancestors, message, what its methods return, and its cause.
  def described(error, depth = 0)
    found = { "classes" => error.class.ancestors.take_while { |each| each != StandardError }.map(&:name),
              "message" => error.message, "methods" => methods_of(error) }
    found["cause"] = described(error.cause, depth + 1) if error.cause && depth < 3
    found.reject { |_, value| value == {} }
  end

  def methods_of(error)
    found = %w[error_number sql_state errno].filter_map { |each| [each, error.public_send(each)] if error.respond_to?(each) }
    found << ["response", response(error.response)] if error.respond_to?(:response)
    found.to_h
  end

  def response(answer) = Hash === answer ? answer.slice(:status) : { "code" => answer.code }

  def try(name, login)
    gem, connect = DRIVERS.fetch(name)
    begin
      LIBRARIES.fetch(gem, [gem]).each { |each| require each }
    rescue LoadError
      return { "missing" => gem }
    end
    version = gem.empty? ? RUBY_VERSION[/\d+\.\d+/] : Gem.loaded_specs[gem]&.version.to_s
    connect.call(login)
    { "version" => version, "error" => nil, "verdict" => nil }
  rescue StandardError => e
    verdict = Keystart.const_get(:Rejections).classify(e)
    { "version" => version, "error" => described(e), "verdict" => verdict }
  end
end

puts JSON.generate(JSON.parse($stdin.read).map { |each| Recorder.try(each["driver"], each["login"]) })
