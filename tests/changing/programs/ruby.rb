# frozen_string_literal: true

# Reads a changing store with the Ruby reader and judges every answer, as README.md describes.
# Threads of this process share one client. Children are forked after its first read, and continue
# with it.

require "json"

$LOAD_PATH.unshift(File.expand_path("../../../bindings/ruby/lib", __dir__))
require "keystart"

NAMES = %w[json text tiny tls/cert tls/key].freeze

# The reader returned an error, which was counted.
class Refused < StandardError; end

# A value is not what was published.
class Wrong < StandardError; end

# Returns the generation that a value belongs to, as proof.py describes.
def number_of(value, run, name)
  head, line_feed, rest = value.b.partition("\n")
  parts = head.split
  raise Wrong, "its first line is damaged" if line_feed.empty? || parts.size != 5
  raise Wrong, "it is of another writer" if parts[0] != run
  raise Wrong, "it is the value of #{parts[3]}" if parts[3] != name

  length = [parts[4].to_i, head.size + 1].max
  raise Wrong, "it has #{value.bytesize} bytes, not #{length}" if value.bytesize != length

  unit = "#{parts[1]}:#{parts[2]}:"
  raise Wrong, "its bytes do not belong to its first line" if rest != (unit * ((rest.size / unit.size) + 1))[0, rest.size]

  parts[2].to_i
end

def tiny(number) = (33 + (number % 90)).chr * (1 + (number % 16))

def code_of(error)
  word = ["stopped", "removed", "changes faster"].find { |some| error.message.include?(some) }
  error.code == "not_ready" && word ? "#{error.code}: #{word}" : error.code
end

# The server refuses a login.
class ServerRefuses < StandardError; end

def too_old?(number) = number % 8 == 7

# What one thread has seen. Numbers must never fall from one answer to the next.
class Look
  attr_reader :floor

  def initialize(asked, floor = 0)
    @asked = asked
    @root = asked["root"]
    @floor = floor
    @counts = Hash.new(0)
    @errors = Hash.new(0)
    @wrong = []
  end

  def go_on(client)
    until File.exist?(@asked["stop"])
      @counts["waits"] += 1 unless File.symlink?("#{@root}/current")
      ask_client(@asked["fresh"] ? Keystart::Client.new(root: @root) : client)
      ask_snapshot(client)
      ask_writer(client) if @asked["asks"]
      return see_stopped(client) if @asked["until_stopped"] && @errors["not_ready: stopped"].positive?
    end
  end

  def ask_client(client)
    sees_fresh("text", ask { client.get("text") })
    before = @floor
    tiny = ask { client.get("tiny") }
    sees_fresh("tls/key", ask { client.bytes("tls/key") })
    tell("tiny", "it is of no generation between its neighbours") if (before..@floor).none? { |number| tiny == tiny(number) }
    sees_fresh("json", ask { client.json("json") }["proof"])
    sees_number("info", ask { client.info("text") }["source"]["id"].to_i)
    lone = ask { client.names("at") }
    sees_number("names", lone.size == 1 ? lone[0].delete_prefix("at/").to_i : -1)
    secret = ask { client.secret("text") }
    bytes = secret.reveal_bytes
    sees("secret", bytes, "text")
    number, size = secret.info["source"]["id"].split.map(&:to_i)
    return if number == @floor && size == secret.info["size"] && size == bytes.bytesize

    tell("secret", "its facts are of another generation")
  rescue Refused
    nil
  end

  def ask_snapshot(client)
    snapshot = ask { client.snapshot }
    @counts["snapshots"] += 1
    number = ask("snapshot_expired") { snapshot.path("tls/cert") }.split("/")[-4].to_i
    sees_number("snapshot", number)
    ask_pair(snapshot, number)
    tell("tiny", "a snapshot mixes generations") if ask("snapshot_expired") { snapshot.get("tiny") } != tiny(number)
    tell("names", "a snapshot mixes generations") if snapshot.names != [*NAMES, "at/#{number}"].sort
  rescue Refused
    nil
  end

  def ask_pair(snapshot, number)
    ["tls/cert", "tls/key", "at/#{number}"].each do |name|
      at = sees("#{name} of a snapshot", ask("snapshot_expired") { snapshot.bytes(name) }, name)
      tell(name, "a snapshot mixes generations") unless [number, nil].include?(at)
      @counts["pairs"] += 1 if name == "tls/key"
    end
  end

  # Refreshes and logs in, with a refusal now and then.
  def ask_writer(client)
    tell("refresh", "it does not report all that changed") unless (NAMES - ask { client.refresh }).empty?
    @counts["refreshes"] += 1
    ask("snapshot_expired") { client.attempt("tls", rejected: ServerRefuses) { |secrets| log_in(secrets) } }
    @counts["logins"] += 1
  rescue Refused, ServerRefuses
    nil
  end

  # Checks that the two values of a login belong together.
  def log_in(secrets)
    numbers = %w[tls/cert tls/key].map { |name| number_of(secrets.bytes(name), @asked["run"], name) }
    tell("attempt", "a login mixes generations #{numbers}") if numbers.uniq.size > 1
    @counts["runs"] += 1
    raise ServerRefuses if (@counts["runs"] % 3).zero?
  rescue Wrong => e
    tell("attempt", e.message)
  end

  # After the store was stopped no read may return anything, not even a kept value.
  def see_stopped(client)
    [client, Keystart::Client.new(root: @root)].each do |reader|
      [-> { reader.get("text") }, -> { reader.bytes("tls/key") }, -> { reader.snapshot }].each do |question|
        question.call
        tell("stopped", "a value was given after the store was stopped")
      rescue Keystart::NotReady => e
        @errors[code_of(e)] += 1
      end
    end
  end

  def report = { counts: @counts, errors: @errors, wrong: @wrong.first(5), wrongs: @wrong.size }

  private

  # Returns an answer. Counts errors, and reports those that are not allowed.
  def ask(*allowed)
    stopped = @asked["until_stopped"] && state_says_stopped?
    @counts["reads"] += 1
    begin
      answer = yield
    rescue Keystart::Error => e
      code = code_of(e)
      @errors[code] += 1
      tell(code, e.message) unless [*@asked["allowed"], *allowed].include?(code)
      raise Refused
    end
    tell("stopped", "a value was given after the store was stopped") if stopped && allowed.empty?
    answer
  end

  def sees(what, value, name = what)
    number = number_of(value, @asked["run"], name)
    sees_number(what, number)
    number
  rescue Wrong => e
    tell(what, e.message)
    nil
  end

  # Judges a value that may be too old.
  def sees_fresh(what, value)
    number = sees(what, value)
    tell(what, "it is too old") if @asked["asks"] && number && too_old?(number)
  end

  def sees_number(what, number)
    return tell(what, "#{number} after #{@floor}") if number < @floor
    return if number == @floor

    @floor = number
    @counts["generations"] += 1
  end

  def tell(what, how) = @wrong << "#{what}: #{how}"

  def state_says_stopped?
    File.read("#{@root}/state.json").include?('"stopped"')
  rescue Errno::ENOENT
    false
  end
end

def sum(parts)
  add = ->(key) { parts.map { |part| part[key] }.reduce({}) { |all, part| all.merge(part) { |_, a, b| a + b } } }
  { counts: add[:counts], errors: add[:errors], wrong: parts.flat_map { |part| part[:wrong] },
    wrongs: parts.sum { |part| part[:wrongs] } }
end

def forked(asked, client, floor)
  IO.popen("-") || begin
    look = Look.new(asked, floor)
    look.go_on(client)
    $stdout.puts(JSON.generate(look.report))
    $stdout.flush
    exit!(0)
  end
end

asked = JSON.parse(ARGV.fetch(0))
client = Keystart::Client.new(root: asked["root"])
first = Look.new(asked)
first.ask_client(client)
children = Array.new(asked["children"]) { forked(asked, client, first.floor) }
$stdout.puts("reading")
$stdout.flush
looks = Array.new(asked["threads"]) { Look.new(asked, first.floor) }
looks.map { |look| Thread.new { look.go_on(client) } }.each(&:join)
reports = children.map { |child| JSON.parse(child.read, symbolize_names: true).transform_values { |part| part } }
$stdout.puts(JSON.generate(sum([first, *looks].map(&:report) + reports.map { |r| r.merge(counts: r[:counts].transform_keys(&:to_s), errors: r[:errors].transform_keys(&:to_s)) })))
