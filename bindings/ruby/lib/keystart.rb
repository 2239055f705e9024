# frozen_string_literal: true

require_relative "keystart/client"
require_relative "keystart/quick"

# Reads the secrets that the Keystart extension has put under /tmp. It fetches none itself.
#
#   Keystart.get("db/password")
#
# These functions use one client. It is made at the first call, with the environment of that moment.
module Keystart
  # No file requires one of these: a thread that does and one that names the constant would wait for each other.
  autoload :VERSION, "#{__dir__}/keystart/version"
  %i[Snapshot StrictClient].each { |name| autoload name, "#{__dir__}/keystart/reader" }
  { Secret: "secret", Errors: "errors", Json: "json", Missing: "missing", Options: "options" }
    .each { |name, file| autoload name, "#{__dir__}/keystart/#{file}" }
  private_constant :StrictClient, :Errors, :Json, :Missing, :Options

  # The base of all errors of Keystart. No message holds bytes of a secret.
  #
  # The classes are here and not in errors.rb, because a signal handler may be the first to name one.
  class Error < StandardError
    # The name that the caller asked for, if the error is about one secret; else nil.
    attr_reader :secret

    # Loads errors.rb, which has the CODE of each class.
    def self.const_missing(name)
      return super unless name == :CODE && Keystart.autoload?(:Errors)

      Loading.loaded { Errors }
      const_get(name)
    end

    def initialize(message = nil, secret: nil)
      # A root from the environment may not be UTF-8; a message must be.
      super(message&.scrub)
      @secret = secret
    end

    # Returns the code of contract §8, the same in every language.
    def code = self.class::CODE
  end

  # generated from contract/errors.toml: classes of errors
  %i[
    InvalidName InvalidOption NotAttached NotReady PrefetchFailed LayoutInsecure ManifestInvalid
    ManifestUnsupported StoreUnreadable SecretNotFound SecretUnavailable SecretCorrupt SecretNotText
    SecretNotJson SnapshotExpired SecretStale TlsInvalid RefreshUnavailable RefreshFailed
    LoginRefused Internal
  ].each { |name| const_set(name, Class.new(Error)) }
  # end of generated

  @lock = Mutex.new
  @client = nil

  class << self
    # Returns the secret as a UTF-8 String; see Client#get, as for all of these.
    def get(name) = client.get(name)

    # Returns the secret as an ASCII-8BIT String.
    def bytes(name) = client.bytes(name)

    # Returns the secret parsed as JSON.
    def json(name) = client.json(name)

    # Returns the absolute path of the secret's file.
    def path(name) = client.path(name)

    # Returns the names of all secrets, or of those in the folder `prefix`.
    def names(prefix = nil) = client.names(prefix)

    # Returns all facts about a secret except its value.
    def info(name) = client.info(name)

    # Returns the secret as an object that does not show its value.
    def secret(name) = client.secret(name)

    # Returns a reader of the generation that is published now, so its values belong together.
    def snapshot = client.snapshot

    # Returns options for Net::HTTP.start from <prefix>/cert, <prefix>/key and, if it exists, <prefix>/ca.
    def tls(prefix) = client.tls(prefix)

    # Asks the extension to fetch secrets now, and returns the names of those that changed.
    def refresh(*names) = client.refresh(*names)

    # Logs in with a secret, even while it is rotated; see Client#attempt.
    def attempt(name, rejected: nil, budget: 2, &login) = client.attempt(name, rejected:, budget:, &login)

    private

    def client = @client || Loading.loaded { @lock.synchronize { @client ||= Client.new } }
  end
end
