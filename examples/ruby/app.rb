# frozen_string_literal: true

# Returns a token for a client (JWT, HS256) for as long as the settings say.
require "base64"
require "json"
require "keystart"
require "openssl"

DEFAULT_SECONDS = 300
# At load: what the extension fetched while this runtime started. Without it, the start has ended with the reason.
KEY = Keystart.bytes("token/key")

def handler(event:, context:)
  expires = Time.now.to_i + lifetime
  parts = [{ alg: "HS256", typ: "JWT" }, { sub: event.fetch("client"), exp: expires }]
  text = parts.map { |part| base64(JSON.generate(part)) }.join(".")
  { token: "#{text}.#{base64(OpenSSL::HMAC.digest("SHA256", KEY, text))}", expires: }
end

def lifetime
  Integer(Keystart.json("token/settings").fetch("seconds"))
rescue Keystart::SecretNotJson => e
  warn e.message # names the parameter, and shows nothing of it
  DEFAULT_SECONDS
end

def base64(bytes)
  Base64.urlsafe_encode64(bytes, padding: false)
end
