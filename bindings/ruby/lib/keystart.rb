# frozen_string_literal: true

require_relative "keystart/version"
require_relative "keystart/text"
require_relative "keystart/errors"
require_relative "keystart/name"
require_relative "keystart/json"
require_relative "keystart/options"
require_relative "keystart/manifest"
require_relative "keystart/store"
require_relative "keystart/secret"
require_relative "keystart/generation"
require_relative "keystart/patience"
require_relative "keystart/client"

# Reads the secrets that the Keystart extension has put under /tmp; fetches none itself.
#
#   Keystart.get("db/password")
#
# These functions ask one client that is made at the first call, with the environment as it is then.
module Keystart
  @lock = Mutex.new
  @client = nil

  class << self
    # The secret as a UTF-8 String; see Client#get, as for all of these.
    def get(name) = client.get(name)

    # The secret as an ASCII-8BIT String.
    def bytes(name) = client.bytes(name)

    # The secret parsed as JSON.
    def json(name) = client.json(name)

    # The absolute path of the secret's file.
    def path(name) = client.path(name)

    # The names of all secrets, or of those in the folder `prefix`.
    def names(prefix = nil) = client.names(prefix)

    # What is known of a secret but its value.
    def info(name) = client.info(name)

    # The secret as an object that does not show its value.
    def secret(name) = client.secret(name)

    # A reader of the generation that is published now: what is read from it belongs together.
    def snapshot = client.snapshot

    # Options for Net::HTTP.start from <prefix>/cert, <prefix>/key and, where there is one, <prefix>/ca.
    def tls(prefix) = client.tls(prefix)

    private

    def client = @client || @lock.synchronize { @client ||= Client.new }
  end
end
