// Answers with its event and with where it runs; {"fail": WORDS} throws, {"exit": CODE} ends the process.

export async function handler(event, context) {
  if ('fail' in event) throw new RangeError(event.fail);
  if ('exit' in event) process.exit(event.exit);
  return {
    event,
    request_id: context.awsRequestId,
    remaining_ms: context.getRemainingTimeInMillis(),
    folder: process.cwd(),
  };
}
