# frozen_string_literal: true

# Times reads inside a Ruby process, as reader.py does in Python and with its modes.

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)

def first_reads(root, other)
  start = now
  require "keystart"
  loaded = now
  Keystart::Client.new(root:).get("stripe/key")
  read = now
  Keystart::Client.new(root: other).get("stripe/key")
  { load: loaded - start, first: read - loaded, first_other: now - read }
end

def first_file(path)
  start = now
  File.read(path)
  { first: now - start }
end

def first_request(url)
  start = now
  require "net/http"
  require "json"
  loaded = now
  JSON.parse(Net::HTTP.get(URI(url)))
  { load: loaded - start, first: now - loaded }
end

def warm(root, path, url, loops)
  require "keystart"
  require "net/http"
  require "json"
  client = Keystart::Client.new(root:)
  loops = Integer(loops)
  calls = {
    get: -> { client.get("stripe/key") },
    get_bytes: -> { client.bytes("stripe/key") },
    get_json: -> { client.json("db") },
    names: -> { client.names },
    snapshot: -> { client.snapshot },
    path: -> { client.path("db") },
    file: -> { File.binread(path) },
    file_json: -> { JSON.parse(File.read(path)) }
  }
  times = calls.transform_values { |call| batches(loops, &call) }
  uri = URI(url)
  Net::HTTP.start(uri.host, uri.port) do |http|
    times[:http] = batches([loops / 10, 10].max) { JSON.parse(http.get(uri.request_uri).body) }
  end
  times
end

# Returns nanoseconds per call, from twenty batches after one that does not count.
def batches(loops)
  means = Array.new(21) do
    start = now
    (1..loops).each { |_| yield }
    (now - start).fdiv(loops)
  end
  means.drop(1)
end

modes = { "keystart" => :first_reads, "file" => :first_file, "http" => :first_request, "warm" => :warm }
answer = send(modes.fetch(ARGV.first), *ARGV.drop(1))
require "json"
puts JSON.generate(answer)
