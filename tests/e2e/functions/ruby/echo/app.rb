# Answers with its event and with where it runs; {"fail": WORDS} raises, {"exit": CODE} ends the process.

def handler(event:, context:)
  raise ArgumentError, event["fail"] if event.key?("fail")
  exit!(event["exit"]) if event.key?("exit")

  {
    event: event,
    request_id: context.aws_request_id,
    remaining_ms: context.get_remaining_time_in_millis,
    folder: Dir.pwd
  }
end
