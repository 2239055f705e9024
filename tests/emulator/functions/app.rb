# Reads every secret while it is loaded, and answers with a keyed digest of each and the reader's file.
require "openssl"
require "keystart"

SECRETS = Keystart.names.to_h { |name| [name, Keystart.bytes(name)] }

def handler(event:, context:)
  key = [event.fetch("key")].pack("H*")
  {
    secrets: SECRETS.transform_values { |value| OpenSSL::HMAC.hexdigest("SHA256", key, value) },
    reader: Keystart.method(:names).source_location.first
  }
end
