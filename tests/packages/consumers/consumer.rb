# frozen_string_literal: true

# A function. It prints what it read.

require "json"
require "keystart"

missing = begin
  Keystart.get("sripe/key")
rescue Keystart::SecretNotFound => e
  e.message
end
snapshot = Keystart.snapshot
tls = snapshot.tls("tls")
puts JSON.generate(
  text: Keystart.get("stripe/key"),
  bytes: [Keystart.bytes("keytab")].pack("m0"),
  json: Keystart.json("db"),
  names: snapshot.names("tls"),
  tls: tls[:cert].check_private_key(tls[:key]),
  missing: missing
)
