# Shakes hands with a server that requires a client certificate, and answers how often the pair did not match.
require "net/http"
require "keystart"

HOST = ENV.fetch("SERVER_HOST")
PORT = Integer(ENV.fetch("SERVER_PORT"))

def shake_hands(secrets)
  Net::HTTP.start(HOST, PORT, nil, **secrets.tls("partner")) { |http| http.get("/").body }
end

HOW = {
  "attempt" => -> { Keystart.attempt("partner", rejected: OpenSSL::OpenSSLError) { |secrets| shake_hands(secrets) } },
  "get" => -> { shake_hands(Keystart.snapshot) }
}.fetch(ENV.fetch("MODE"))

def handler(event:, context:)
  outcomes = Hash.new(0)
  event.fetch("handshakes").times do |number|
    Keystart.refresh("partner") if (number % event.fetch("refresh_every")).zero?
    HOW.call
    outcomes["done"] += 1
  rescue OpenSSL::OpenSSLError => e
    outcomes[e.message.include?("key values mismatch") ? "mismatched" : e.message] += 1
  end
  outcomes
end
