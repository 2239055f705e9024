# frozen_string_literal: true

require_relative "keystart/version"
require_relative "keystart/text"
require_relative "keystart/errors"
require_relative "keystart/name"
require_relative "keystart/json"
require_relative "keystart/options"
require_relative "keystart/state"
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
    def get(name) = client.get(name)

    def bytes(name) = client.bytes(name)

    def json(name) = client.json(name)

    def path(name) = client.path(name)

    def names(prefix = nil) = client.names(prefix)

    def info(name) = client.info(name)

    def secret(name) = client.secret(name)

    def snapshot = client.snapshot

    def tls(prefix) = client.tls(prefix)

    private

    def client = @client || @lock.synchronize { @client ||= Client.new }
  end
end
