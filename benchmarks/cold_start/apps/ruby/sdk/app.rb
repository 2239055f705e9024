# Sends three requests with AWS's SDK while it is loaded. Debian has no gem of it for Secrets
# Manager. This is the gem for KMS: the same generator wrote it on the same core, and it signs and
# parses the same kind of JSON.
require "aws-sdk-kms"

CLIENT = Aws::KMS::Client.new(endpoint: ENV.fetch("AWS_ENDPOINT_URL"))
SECRETS = %w[s0 s1 s2].map { |name| CLIENT.describe_key(key_id: "bench/#{name}").key_metadata.description }

def handler(event:, context:)
  SECRETS.sum(&:length)
end
