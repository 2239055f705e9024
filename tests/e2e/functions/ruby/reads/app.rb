# Reads a secret in each invocation, and answers with a keyed digest of it.
require "openssl"
require "keystart"

def handler(event:, context:)
  key = [event.fetch("key")].pack("H*")
  OpenSSL::HMAC.hexdigest("SHA256", key, Keystart.bytes(event.fetch("name")))
end
