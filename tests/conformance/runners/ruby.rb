# frozen_string_literal: true

# Asks the Ruby reader the harness's questions, one JSON object a line. It judges nothing.
#
# With the argument `stubbed` it does so in a thread, after clocks and sleep were replaced, as test libraries do.

require "json"

$LOAD_PATH.unshift(File.expand_path("../../../bindings/ruby/lib", __dir__))
require "keystart"

# Matches one escape: a pair of surrogates, a lone one (captured), or any other.
ESCAPE = /\\u[dD][89abAB]\h\h\\u[dD][c-fC-F]\h\h|(\\u[dD][89a-fA-F]\h\h)|\\./

# The json library cannot read a lone surrogate, and no valid String can hold one.
def without_lone_surrogates(line)
  line.gsub(ESCAPE) { |escape| Regexp.last_match(1) ? "\\ufffd" : escape }
end

SLEEP = Kernel.method(:sleep)

def base64(bytes) = [bytes].pack("m0")

# Returns the value object of contract 7.2. Its text is null if it has none.
def secret(reader, name)
  found = reader.secret(name)
  text = begin
    found.reveal
  rescue Keystart::SecretNotText
    nil
  end
  { name: found.name, text:, bytes_base64: base64(found.reveal_bytes) }
end

# Net::HTTP puts the pair into its context like this, which raises ArgumentError if it is not a pair.
def tls(options)
  OpenSSL::SSL::SSLContext.new.add_certificate(options.fetch(:cert), options.fetch(:key))
  { usable: true }
end

# Logs in as the case says, and returns what each run read and which one decided.
def attempt(reader, asked)
  function = asked["fn"] || {}
  logins = function["logins"] || ["accepted"]
  texts = []
  raised = {}
  runs = 0
  rejected = ->(error) { error.message == "locked" ? :locked : error.message == "rejected" }
  budget = asked["budget_ms"]
  budget /= 1000.0 if budget.is_a?(Numeric)
  returned = reader.attempt(asked["name"], rejected:, **(asked.key?("budget_ms") ? { budget: } : {})) do |secrets|
    runs += 1
    texts << (function["reads"] || [asked["name"]]).map { |name| secrets.get(name) }.join
    SLEEP.call(function["takes_ms"] / 1000.0) if function["takes_ms"]
    login = logins[[runs, logins.length].min - 1]
    next runs if login == "accepted"

    raised[runs] = login == "expired" ? Keystart::SnapshotExpired.new("expired") : RuntimeError.new(login)
    raise raised[runs]
  end
  { logins: texts, returned: }
rescue StandardError => e
  run, = raised.find { |_, error| error.equal?(e) }
  raise unless run

  { logins: texts, raised: run }
end

CALLS = {
  "text" => ->(reader, asked) { reader.get(asked["name"]) },
  "bytes" => ->(reader, asked) { { base64: base64(reader.bytes(asked["name"])) } },
  "json" => ->(reader, asked) { reader.json(asked["name"]) },
  "path" => ->(reader, asked) { reader.path(asked["name"]) },
  "names" => ->(reader, asked) { reader.names(asked["prefix"]) },
  "info" => ->(reader, asked) { reader.info(asked["name"]) },
  "refresh" => ->(reader, asked) { reader.refresh(*asked["names"]) },
  "attempt" => ->(reader, asked) { attempt(reader, asked) },
  "secret" => ->(reader, asked) { secret(reader, asked["name"]) },
  "tls" => ->(reader, asked) { tls(reader.tls(asked["prefix"])) }
}.freeze

# Makes a new client with exactly the requested arguments and variables.
def client(asked)
  %w[KEYSTART_DIR KEYSTART_TIMEOUT_MS].each { |variable| ENV.delete(variable) }
  ENV.update(asked["env"] || {})
  timeout = asked["timeout_ms"]
  timeout /= 1000.0 if timeout.is_a?(Numeric)
  Keystart::Client.new(root: asked["root"], timeout:)
end

# Returns the value, the error of the contract, or whatever else happened.
def outcome
  { value: yield }
rescue Keystart::Error => e
  { error: { code: e.code, message: e.message, secret: e.secret, class: e.class.name.delete_prefix("Keystart::") } }
rescue Exception => e # rubocop:disable Lint/RescueException
  { crash: "#{e.class}: #{e.message}" }
end

def answer(asked)
  made = outcome do
    client = client(asked)
    asked["via"] == "snapshot" ? client.snapshot : client
  end
  reader = made.fetch(:value) { return made }
  ask = -> { outcome { CALLS.fetch(asked["call"]).call(reader, asked) } }
  pause = asked["pause"]
  while pause
    ask.call if pause == "asked"
    write(id: asked["id"], paused: true)
    pause = JSON.parse($stdin.gets)["pause"]
  end
  ask.call
end

def write(line)
  $stdout.puts(JSON.generate(line, max_nesting: 0))
  $stdout.flush
end

def run
  $stdin.set_encoding(Encoding::UTF_8)
  while (line = $stdin.gets)
    asked = JSON.parse(without_lone_surrogates(line), max_nesting: 0)
    write(id: asked["id"], **answer(asked))
  end
end

# Stops the monotonic clock and Time.now, and lets sleep return at once.
def stub_clocks
  clock = Process.method(:clock_gettime)
  stopped = Time.now
  Time.define_singleton_method(:now) { stopped }
  Process.define_singleton_method(:clock_gettime) do |id, *unit|
    id == Process::CLOCK_MONOTONIC ? 0.0 : clock.call(id, *unit)
  end
  Kernel.define_method(:sleep) { |*| 0 }
end

if ARGV.first == "stubbed"
  stub_clocks
  Thread.new { run }.join
else
  run
end
