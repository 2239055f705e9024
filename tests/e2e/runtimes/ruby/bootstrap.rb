# Runs a Ruby function against Lambda's Runtime API: bootstrap.rb FILE.METHOD. It has none of the
# extras of AWS's client (aws_lambda_ric), which is built for AWS's images: no log formatting, no
# tracing, no streaming.
# frozen_string_literal: true

require "json"
require "net/http"

# The context of a handler. The names are those of AWS's runtime.
class Context
  attr_reader :aws_request_id, :deadline_ms, :invoked_function_arn, :function_name, :memory_limit_in_mb

  def initialize(invocation)
    @aws_request_id = invocation["Lambda-Runtime-Aws-Request-Id"]
    @deadline_ms = Integer(invocation["Lambda-Runtime-Deadline-Ms"])
    @invoked_function_arn = invocation["Lambda-Runtime-Invoked-Function-Arn"]
    @function_name = ENV.fetch("AWS_LAMBDA_FUNCTION_NAME")
    @memory_limit_in_mb = ENV.fetch("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
  end

  def get_remaining_time_in_millis
    [deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
  end
end

# The Runtime API, over one connection.
class RuntimeApi
  ROOT = "/2018-06-01/runtime"

  def initialize(address)
    host, port = address.split(":")
    @http = Net::HTTP.new(host, port, nil) # nil: no proxy, whatever http_proxy says
    @http.read_timeout = nil # the next event may be hours away
    @http.max_retries = 0 # a repeated GET would take a second event
    @http.keep_alive_timeout = 86_400
    @http.start
  end

  def next_invocation
    accept(@http.get("#{ROOT}/invocation/next"), "200")
  end

  def respond(id, json)
    accept(@http.post("#{ROOT}/invocation/#{id}/response", json), "202")
  end

  def fail(id, error)
    report("invocation/#{id}/error", error, "Function<#{error.class}>")
  end

  def fail_init(error)
    report("init/error", error, "Init<#{error.class}>")
  end

  private

  def report(path, error, type)
    body = { errorMessage: error.message, errorType: type, stackTrace: error.backtrace || [] }
    accept(@http.post("#{ROOT}/#{path}", JSON.generate(body), "Lambda-Runtime-Function-Error-Type" => type), "202")
  end

  def accept(answer, code)
    return answer if answer.code == code

    raise "Runtime API: #{answer.code} #{answer.body}"
  end
end

# Loads FILE.rb from the task root and returns its METHOD, which may lie in a module: app.Orders::Api.handler
def load_handler(name)
  file, *path = name.split(".")
  raise ArgumentError, "handler #{name.inspect} is not FILE.METHOD" if path.empty?

  require File.join(ENV.fetch("LAMBDA_TASK_ROOT"), file)
  owner = path.size == 1 ? self : Object.const_get(path.first)
  owner.method(path.last)
end

$stdout.sync = true
api = RuntimeApi.new(ENV.fetch("AWS_LAMBDA_RUNTIME_API"))

begin
  handler = load_handler(ARGV.fetch(0))
rescue Exception => e # rubocop:disable Lint/RescueException -- LoadError and SyntaxError are not StandardErrors
  warn e.full_message(highlight: false)
  api.fail_init(e)
  exit 1
end

loop do
  invocation = api.next_invocation
  id = invocation["Lambda-Runtime-Aws-Request-Id"]
  begin
    result = handler.call(event: JSON.parse(invocation.body), context: Context.new(invocation))
    api.respond(id, JSON.generate(result))
  rescue StandardError => e
    warn e.full_message(highlight: false)
    api.fail(id, e)
  end
end
