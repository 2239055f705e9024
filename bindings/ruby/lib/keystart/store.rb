# frozen_string_literal: true

module Keystart
  # Reads the published generation, whichever that is at the moment, and waits for the first one
  # (contract 6.2). It remembers what it has seen, so that callers may freeze their clients.
  class Store
    include Sealed

    attr_reader :files, :timeout

    # `timeout` is in milliseconds. `known` is what the client has read before (Quick#known).
    def initialize(files, timeout, known = nil)
      @files = files
      @timeout = timeout
      @generation = nil
      @known = known
      @has_read = !known.nil? # it has found a generation once, so a missing root was removed (contract 6.2.10)
      @removal_is_known = false # a read has reported that, and no read waits until the store exists again
    end

    def root = @files.root

    # Yields the published generation, and the next one if that is collected meanwhile (contract 6.2.7).
    def read(patience = Patience.new(@timeout))
      yield published(patience)
    rescue MissingError => e
      raise missing(e), cause: nil if @files.current == e.target
      raise Errors.changing(root), cause: nil unless patience.again?

      retry
    end

    # Returns a generation by its number, published or not; nil if it does not exist. It does not wait.
    def numbered(number, candidate)
      return unless @files.root?

      Generation.new(@files, "generations/#{number}", @timeout, candidate:) { nil }
    rescue MissingError => e
      raise e.failure, cause: nil if @files.folder?(e.target)
    end

    # Returns the manifest that was read last, else the one that is published now, if it can be read at once.
    def known_manifest = @generation&.manifest || (@known ? Manifest.new(*@known) : glance)

    def inspect = "#<Keystart::Store root=#{root.inspect}>"

    private

    # Returns the manifest that is published now, if it can be read at once. This store forgets it,
    # and whatever it knows about removals stays.
    def glance
      self.class.new(@files, 0).read(&:manifest)
    rescue Error
      nil
    end

    # Returns the error of what is missing for good: a part of the store, or all its files (contract 6.2.7).
    def missing(error) = @files.missing?("state.json") ? Errors.removed(root) : error.failure

    # Returns the published generation (contract 6.2.1 to 6.2.5).
    def published(patience)
      loop do
        target = @files.current
        missing = Errno::ENOENT === target
        @removal_is_known = false unless missing
        generation = @generation
        return generation if generation&.target == target

        if !@files.root?
          wait_without_root(patience)
        elsif missing
          wait(patience)
        else
          return take(target)
        end
      end
    end

    def take(target)
      @generation = Generation.new(@files, target, @timeout) { @has_read = true }.tap { @known = nil }
    end

    def wait_without_root(patience)
      raise Errors.not_attached(root) unless @has_read

      wait_for_removed(patience)
    end

    # Waits a little for a writer that may be about to start after the store was removed (contract 6.2.10).
    def wait_for_removed(patience)
      @generation = @known = nil # a new store counts from 1 again
      return if !@removal_is_known && patience.wait_for_removed? { @files.published? }

      @removal_is_known = true
      raise Errors.removed(root)
    end

    # Waits a little for a `current`, unless state.json or the timeout ends the read (contract 6.2.3).
    def wait(patience)
      state = read_state
      return wait_for_removed(patience) if state == :missing && @has_read

      @removal_is_known = false
      state = nil if state == :missing
      raise prefetch_failed(state) if state&.failed?
      raise Errors.stopped(root) if state&.stopped?
      return wait_for_invocation(patience) if state&.deferred?

      return if patience.wait? { @files.published? }

      raise not_ready(patience.milliseconds, state&.message)
    end

    # Waits a little for the first invocation, which reaches the extension at the same time.
    def wait_for_invocation(patience)
      raise Errors.deferred(root) unless patience.wait_for_invocation? { @files.published? }
    end

    def not_ready(milliseconds, message)
      return Errors.not_ready(root, milliseconds) unless message

      Errors.not_ready_because(root, milliseconds, message)
    end

    def prefetch_failed(state)
      Errors.prefetch_failed(state.message || Errors::NO_REASON, Failures.lines(state.failures))
    end

    # Returns the state, :missing, or nil if it is broken or cannot be read (contract 3.5).
    def read_state
      Loading.loaded { require_relative "state" } # only a read that waits loads it
      bytes = @files.read("state.json", State::LONGEST)
      return :missing if bytes.nil?

      State.parse(bytes) if String === bytes && bytes.bytesize <= State::LONGEST
    rescue LayoutInsecure, StoreUnreadable
      nil
    end
  end
  private_constant :Store
end
