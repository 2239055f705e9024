# Opens connections to PostgreSQL in the way that MODE says, and holds the newest ones.
require "keystart"
require "pg"

SERVER = {
  host: ENV.fetch("SERVER_HOST"),
  port: ENV.fetch("SERVER_PORT"),
  dbname: ENV.fetch("SERVER_DATABASE"),
  sslmode: "disable",
  gssencmode: "disable"
}.freeze
HOW = {
  "attempt" => ->(logins) { Keystart.attempt("db") { |secrets| log_in(secrets, logins) } },
  "refresh" => ->(logins) { refresh(logins) },
  "get" => ->(logins) { log_in(Keystart.snapshot, logins) }
}.fetch(ENV.fetch("MODE"))
HELD = [] # rubocop:disable Style/MutableConstant -- what the environment keeps between invocations

def log_in(secrets, logins)
  began = Time.now.to_f
  connection = PG.connect(**SERVER, user: secrets.get("db/username"), password: secrets.get("db/password"))
  logins << [began, Time.now.to_f, "accepted"]
  connection
rescue PG::Error => e
  outcome = e.message.include?("password authentication failed") ? "refused" : e.class.name
  logins << [began, Time.now.to_f, outcome]
  raise
end

def refresh(logins)
  log_in(Keystart.snapshot, logins)
rescue PG::Error
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
