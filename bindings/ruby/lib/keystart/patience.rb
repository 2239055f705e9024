# frozen_string_literal: true

module Keystart
  # How long one read may take: the waits between looks, and the retries on a changing store. It
  # does not look itself.
  class Patience
    FIRST_PAUSE = 0.001
    LONGEST_PAUSE_MS = 20 # limits.toml: waiting.longest_pause_ms
    LONGEST_WAIT_MS = 100 # limits.toml: waiting.longest_wait_ms
    # How long a read waits for a store that was removed (contract 6.2.10).
    REMOVAL_MS = 1_000 # limits.toml: waiting.removed_ms
    # How long a read waits for the invocation that ends the state `deferred` (contract 6.2.3).
    DEFERRED_MS = 500 # limits.toml: waiting.deferred_ms
    # A read with the timeout 0 has no time that could end it (contract 6.2.7).
    TRIES = 100 # limits.toml: waiting.restarts

    attr_reader :milliseconds

    def initialize(milliseconds)
      @milliseconds = milliseconds
      @until = now + milliseconds / 1000.0
      @pause = FIRST_PAUSE
      @tries = 0
      @removal_until = nil
    end

    # Returns how many seconds are left, less than 0 if the time is over.
    def left = @until - now

    # Pauses, each time twice as long; false if the time is over.
    def pause?
      return false unless left.positive?

      sleep_for([@pause, left].min)
      @pause = [@pause * 2, LONGEST_PAUSE_MS / 1000.0].min
      true
    end

    # Waits until the block returns true, each time twice as long; false if the time is over.
    def wait?(&) = wait_within?(left, &)

    # Does the same while the store is removed.
    def wait_for_removed?(&)
      @removal_until ||= [now + REMOVAL_MS / 1000.0, @until].min
      wait_within?(@removal_until - now, &)
    end

    # Does the same while the first invocation may be on its way.
    def wait_for_invocation?(&)
      wait_within?([(DEFERRED_MS / 1000.0) - waited, left].min, &)
    end

    # Returns whether to start again at once.
    def again?
      return now < @until unless @milliseconds.zero?

      (@tries += 1) <= TRIES
    end

    private

    def waited = (@milliseconds / 1000.0) - left

    # A look at `current` alone costs a tenth of one at the whole store, and the writer may have to share the CPU.
    def wait_within?(left)
      return false unless left.positive?

      till = now + [@pause, left].min
      while (rest = till - now).positive?
        sleep_for([(waited / 8).clamp(FIRST_PAUSE, LONGEST_PAUSE_MS / 1000.0), rest].min)
        break if yield
      end
      @pause = [@pause * 2, LONGEST_WAIT_MS / 1000.0].min
      true
    end

    def sleep_for(seconds) = SLEEP.bind_call(self, seconds)

    def now = CLOCK.call(Process::CLOCK_MONOTONIC)
  end
  private_constant :Patience
end
