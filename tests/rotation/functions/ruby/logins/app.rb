# Opens connections to a server in the way that MODE says, and holds the newest ones.
require "keystart"
require "net/http"
require "pg" if ENV.fetch("SERVER_SCHEME") == "postgresql"

PLACE = { host: ENV.fetch("SERVER_HOST"), port: Integer(ENV.fetch("SERVER_PORT")) }.freeze
DATABASE = ENV.fetch("SERVER_DATABASE")

# A login over HTTP, which leaves no connection open.
class HttpLogin
  def initialize(user, password)
    request = Net::HTTP::Get.new("/#{DATABASE}")
    request.basic_auth(user, password)
    Net::HTTP.start(*PLACE.values) { |http| http.request(request) }.value
  end

  def exec(_query) = nil

  def close = nil
end

CONNECT = {
  "http" => HttpLogin.method(:new),
  "postgresql" => lambda { |user, password|
    PG.connect(**PLACE, dbname: DATABASE, sslmode: "disable", gssencmode: "disable", user: user, password: password)
  }
}.fetch(ENV.fetch("SERVER_SCHEME"))
HOW = {
  "attempt" => ->(logins) { Keystart.attempt("db") { |secrets| log_in(secrets, logins) } },
  "refresh" => ->(logins) { refresh(logins) },
  "get" => ->(logins) { log_in(Keystart.snapshot, logins) }
}.fetch(ENV.fetch("MODE"))
HELD = [] # rubocop:disable Style/MutableConstant -- what the environment keeps between invocations

def outcome_of(error)
  is_refused = error.message.include?("password authentication failed") || error.message.start_with?("401 ")
  is_refused ? "refused" : error.class.name
end

def version_of(secrets)
  source = secrets.info("db/password")["source"]
  "#{source["version_stages"].join(" ")} #{source["version_id"]}"
end

def log_in(secrets, logins)
  user = secrets.get("db/username")
  password = secrets.get("db/password")
  began = Time.now.to_f
  outcome = "accepted"
  CONNECT.call(user, password)
rescue StandardError => e
  outcome = outcome_of(e)
  raise
ensure
  logins << [began, Time.now.to_f, outcome, version_of(secrets)] if began
end

def refresh(logins)
  log_in(Keystart.snapshot, logins)
rescue StandardError => e
  raise unless outcome_of(e) == "refused"

  Keystart.refresh("db")
  log_in(Keystart.snapshot, logins)
end

def open_one
  logins = []
  began = Time.now.to_f
  begin
    connection = HOW.call(logins)
  rescue StandardError => e
    error = "#{e.class}: #{e.message}"
  end
  [{ began: began, ended: Time.now.to_f, logins: logins, error: error }, connection]
end

def handler(event:, context:)
  HELD.each { |connection| connection.exec("SELECT 1") }
  opened = Array.new(event.fetch("open")) { Thread.new { open_one } }.map(&:value)
  HELD.concat(opened.filter_map(&:last))
  HELD.shift.close while HELD.size > event.fetch("hold")
  { calls: opened.map(&:first) }
end
