# frozen_string_literal: true

module Keystart
  # The methods of a client and of a snapshot (contract §7). Each decides which generation answers.
  #
  # Returned values are copies: callers may change them, and other callers do not see that.
  module Reader
    # Returns the secret as a UTF-8 String.
    def get(name)
      name = Name.check(name)
      reading { |generation| generation.text(name) }
    end

    # Returns the secret as an ASCII-8BIT String.
    def bytes(name)
      name = Name.check(name)
      reading { |generation| generation.bytes(name) }
    end

    # Returns the secret parsed as JSON by RFC 8259. Whole numbers of any length are exact.
    def json(name)
      name = Name.check(name)
      reading { |generation| generation.json(name) }
    end

    # Returns the absolute path of the secret's file. It does not look at the file.
    def path(name)
      name = Name.check(name)
      reading { |generation| "#{folder(generation)}/#{generation.path(name)}" }
    end

    # Returns the names of all secrets, or of those in the folder `prefix`, in the order of their bytes.
    def names(prefix = nil)
      prefix = Name.check(prefix) unless nil == prefix
      reading { |generation| generation.manifest.names(prefix) }
    end

    # Returns the facts about a secret: path, size, encoding, fetched_at, refresh_after, source,
    # checked_at, failure, and stale.
    def info(name)
      name = Name.check(name)
      reading { |generation| generation.info(name) }
    end

    # Returns the secret as an object that does not show its value.
    def secret(name)
      name = Name.check(name)
      reading { |generation| Secret.new(generation, name) }
    end

    # Returns options for Net::HTTP.start from <prefix>/cert, <prefix>/key and, if it exists,
    # <prefix>/ca. Raises TlsInvalid for a part that is not PEM, and OpenSSL::OpenSSLError for PEM that
    # OpenSSL cannot read.
    def tls(prefix)
      prefix = Name.check(prefix)
      cert, key, ca = %w[cert key ca].map { |part| Name.check("#{prefix}/#{part}") }
      parts = reading do |generation|
        # An unavailable ca is an error: without it, other authorities would be trusted than
        # configured (contract 6.5.7).
        wanted = generation.manifest.mentions?(ca) ? [cert, key, ca] : [cert, key]
        wanted.to_h { |name| [name, generation.text(name)] }
      end
      require_relative "tls"
      Tls.options(parts)
    end
  end
  private_constant :Reader

  # Reads the generation that is published at the time of each call, and waits for the first one. It
  # is safe to use from several threads and after fork.
  class Client
    include Reader
    include Sealed

    # What a client has seen of the store, outside of the client, which callers may freeze. `has_read`:
    # it has found a generation once, so a missing root was removed (contract 6.2.10).
    # `removal_is_known`: a read has reported that. No read waits for the store until it exists again.
    Seen = Struct.new(:generation, :has_read, :removal_is_known)
    private_constant :Seen

    # `root` is the store's folder; default: KEYSTART_DIR, else /tmp/keystart. `timeout` is how many
    # seconds a read may wait for a store that is not ready; default: KEYSTART_TIMEOUT_MS
    # (milliseconds), else 9. 0 does not wait.
    def initialize(root: nil, timeout: nil)
      @store = Store.new(Options.root(root))
      @timeout = Options.timeout(timeout)
      @seen = Seen.new(nil, false, false)
    end

    # Returns a reader of the generation that is published now, so its values belong together.
    def snapshot
      reading { |generation| Snapshot.new(@store, generation) }
    end

    # Asks the extension to fetch these secrets now, or all, and returns the names of those that differ
    # from what this client read last. A folder stands for all names below it.
    def refresh(*names)
      names = names.map { |name| Name.check(name) }
      require_relative "refresh" # only callers of this method load it
      patience = Patience.new(@timeout)
      Refresh.new(@store, patience, @seen.generation&.manifest || glance, names) { manifest(patience) }.run
    end

    # Logs in with a secret, also while it is rotated: yields a snapshot until a login succeeds, and
    # returns what the block returned.
    #
    # The block opens one connection with the values of its snapshot, and does nothing else, because
    # it may run three times. It ends with its last value or `next`: after `return` or `break` the
    # extension does not learn that the login succeeded. `rejected` says which errors mean that the server
    # refused the login, if not those of the known drivers: a class, several, or a Proc that returns
    # true, or :locked if the server has locked the account. `budget` limits in seconds how long it may wait
    # for the extension and begin logins; 0 logs in once and asks nothing.
    def attempt(name, rejected: nil, budget: 2, &login)
      name = Name.check(name)
      require_relative "attempt" # only callers of this method load it
      Attempt.new(@store, name, Options.budget(budget), rejected, login) do |number, candidate|
        number ? numbered(number, candidate) : reading(&:itself)
      end.run
    end

    def inspect = "#<Keystart::Client root=#{@store.root.inspect}>"

    protected

    # Returns the published manifest.
    def manifest(patience) = reading(patience, &:manifest)

    private

    # Yields the published generation, and the next one if that is collected meanwhile (contract 6.2.7).
    def reading(patience = Patience.new(@timeout))
      yield published(patience)
    rescue Missing => e
      raise missing(e), cause: nil if @store.current == e.target
      raise Errors.changing(@store.root), cause: nil unless patience.again?

      retry
    end

    # Returns a generation by its number, published or not; nil if it does not exist. It does not wait.
    def numbered(number, candidate)
      return unless @store.root?

      Generation.new(@store, "generations/#{number}", @timeout, candidate:) { nil }
    rescue Missing => e
      raise e.failure, cause: nil if @store.folder?(e.target)
    end

    # Returns the manifest that is published now, if it can be read at once. This client forgets it,
    # and whatever it knows about removals stays.
    def glance
      self.class.new(root: @store.root, timeout: 0).manifest(Patience.new(0))
    rescue Error
      nil
    end

    # Returns the error of what is missing for good: a part of the store, or all its files (contract 6.2.7).
    def missing(error) = @store.missing?("state.json") ? Errors.removed(@store.root) : error.failure

    # Returns the published generation (contract 6.2.1 to 6.2.5).
    def published(patience)
      loop do
        target = @store.current
        missing = Errno::ENOENT === target
        @seen.removal_is_known = false unless missing
        generation = @seen.generation
        return generation if generation&.target == target

        if !@store.root?
          wait_without_root(patience)
        elsif missing
          wait(patience)
        else
          return take(target)
        end
      end
    end

    def take(target)
      @seen.generation = Generation.new(@store, target, @timeout) { @seen.has_read = true }
    end

    def wait_without_root(patience)
      raise Errors.not_attached(@store.root) unless @seen.has_read

      wait_for_removed(patience)
    end

    # Waits a little for a writer that may be about to start after the store was removed (contract 6.2.10).
    def wait_for_removed(patience)
      @seen.generation = nil # a new store counts from 1 again
      return if !@seen.removal_is_known && patience.pause_for_removed?

      @seen.removal_is_known = true
      raise Errors.removed(@store.root)
    end

    # Waits a little for a `current`, unless state.json or the timeout ends the read (contract 6.2.3).
    def wait(patience)
      state = read_state
      return wait_for_removed(patience) if state == :missing && @seen.has_read

      @seen.removal_is_known = false
      state = nil if state == :missing
      raise prefetch_failed(state) if state&.failed?
      raise Errors.stopped(@store.root) if state&.stopped?
      return wait_for_invocation(patience) if state&.deferred?

      return if patience.pause?

      raise not_ready(patience.milliseconds, state&.message)
    end

    # Waits a little for the first invocation, which reaches the extension at the same time.
    def wait_for_invocation(patience)
      raise Errors.deferred(@store.root) unless patience.pause_for_invocation?
    end

    def not_ready(milliseconds, message)
      return Errors.not_ready(@store.root, milliseconds) unless message

      Errors.not_ready_because(@store.root, milliseconds, message)
    end

    def prefetch_failed(state)
      Errors.prefetch_failed(state.message || Errors::NO_REASON, Failures.lines(state.failures))
    end

    # Returns the state, :missing, or nil if it is broken or cannot be read (contract 3.5).
    def read_state
      require_relative "state" # only a read that waits loads it
      bytes = @store.read("state.json", State::LONGEST)
      return :missing if bytes.nil?

      State.parse(bytes) if String === bytes && bytes.bytesize <= State::LONGEST
    rescue LayoutInsecure, StoreUnreadable
      nil
    end

    def folder(_generation) = "#{@store.root}/current"
  end

  # Reads one generation only, for values that belong together. It keeps the values it has read. For
  # others it expires when its generation is removed, two publishes later.
  class Snapshot
    include Reader
    include Sealed

    # @private
    def initialize(store, generation)
      @store = store
      @generation = generation
    end

    # Returns this snapshot.
    def snapshot = self

    def inspect = "#<Keystart::Snapshot generation=#{@generation.number} root=#{@store.root.inspect}>"

    private

    def reading
      yield @generation
    rescue Missing => e
      raise e.failure, cause: nil if Stale === e ? @store.current == e.target : @store.folder?(e.target)

      raise Errors.snapshot_expired(e.name, @generation.number), cause: nil
    end

    def folder(generation) = "#{@store.root}/#{generation.target}"
  end
end
