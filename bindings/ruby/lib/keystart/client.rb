# frozen_string_literal: true

module Keystart
  # For patience.rb, as they were when this file was loaded: test libraries stop the clock and replace sleep.
  CLOCK = Process.method(:clock_gettime)
  SLEEP = Kernel.instance_method(:sleep)
  private_constant :CLOCK, :SLEEP

  # Keeps objects with secrets out of logs and dumps. It does not encrypt anything.
  #
  # pp, irb, puts, interpolation and to_json all go through inspect or to_s, which the class defines.
  module Sealed
    def to_s = inspect

    def marshal_dump = raise(TypeError, "#{self.class} is not serialized: it may hold secrets")

    # Psych calls it for YAML.
    def encode_with(_coder) = marshal_dump
  end
  private_constant :Sealed

  # Loads files also in a signal handler: Ruby loads none there, so a thread does it.
  module Loading
    # Yields, to require a file or to name what it defines.
    def self.loaded(&)
      yield
    rescue ThreadError
      Thread.new(&).value
    end
  end
  private_constant :Loading

  # Reads the generation that is published at the time of each call, and waits for the first one. It
  # is safe to use from several threads and after fork.
  #
  # It reads a sound store with quick.rb, and loads reader.rb for everything else.
  class Client
    include Sealed

    # `root` is the store's folder; default: KEYSTART_DIR, else /tmp/keystart. `timeout` is how many
    # seconds a read may wait for a store that is not ready; default: KEYSTART_TIMEOUT_MS
    # (milliseconds), else 9. 0 does not wait.
    def initialize(root: nil, timeout: nil)
      @quick = Quick.open(root, timeout)
      @strict = Loading.loaded { StrictClient }.new(Options.root(root), Options.timeout(timeout)) unless @quick
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    # Returns the secret as a UTF-8 String.
    def get(name)
      value = @quick&.value(name)
      value&.valid_encoding? ? value.dup : strict.get(name)
    end

    # Returns the secret as an ASCII-8BIT String.
    def bytes(name) = @quick&.value(name)&.b || strict.bytes(name)

    # Returns the secret parsed as JSON by RFC 8259. Whole numbers of any length are exact.
    def json(name)
      value = @quick&.value(name) or return strict.json(name)
      json = Loading.loaded { Json }
      begin
        json.parse(value)
      rescue json::ParseError
        strict.json(name)
      end
    end

    # Returns the absolute path of the secret's file. It does not look at the file.
    def path(name) = strict.path(name)

    # Returns the names of all secrets, or of those in the folder `prefix`, in the order of their bytes.
    def names(prefix = nil) = strict.names(prefix)

    # Returns the facts about a secret: path, size, encoding, fetched_at, refresh_after, source,
    # checked_at, failure, and stale.
    def info(name) = strict.info(name)

    # Returns the secret as an object that does not show its value.
    def secret(name) = strict.secret(name)

    # Returns options for Net::HTTP.start from <prefix>/cert, <prefix>/key and, if it exists,
    # <prefix>/ca. Raises TlsInvalid for a part that is not PEM, and OpenSSL::OpenSSLError for PEM that
    # OpenSSL cannot read.
    def tls(prefix) = strict.tls(prefix)

    # Returns a reader of the generation that is published now, so its values belong together.
    def snapshot = strict.snapshot

    # Asks the extension to fetch these secrets now, or all, and returns the names of those that differ
    # from what this client read last. A folder stands for all names below it.
    def refresh(*names) = strict.refresh(*names)

    # Logs in with a secret, even while it is rotated: yields a snapshot until a login succeeds, and
    # returns what the block returned.
    #
    # The block opens one connection with the values of its snapshot, and does nothing else, because
    # it may run three times. It ends with its last value or `next`: after `return` or `break` the
    # extension does not learn that the login succeeded. `rejected` says which errors mean that the server
    # refused the login, if not those of the known drivers: a class, several, or a Proc that returns
    # true, or :locked if the server has locked the account. `budget` limits in seconds how long it may wait
    # for the extension and begin logins; 0 logs in once and asks nothing.
    def attempt(name, rejected: nil, budget: 2, &login) = strict.attempt(name, rejected, budget, login)

    def inspect = "#<Keystart::Client root=#{(@quick || @strict.store).root.inspect}>"

    private

    # Returns the client that follows all steps. From its first call on it reads everything.
    def strict
      @strict || (@quick.successor ||= Loading.loaded { StrictClient }.new(@quick.root, @quick.timeout, @quick.known))
    end
  end
end
