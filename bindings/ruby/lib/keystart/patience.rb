# frozen_string_literal: true

module Keystart
  # How long one read may take: the pauses between looks, and the retries on a changing store. It
  # does not look itself.
  class Patience
    # As they were when this file was loaded: test libraries stop the clock and replace sleep.
    CLOCK = Process.method(:clock_gettime)
    SLEEP = Kernel.instance_method(:sleep)
    FIRST_PAUSE = 0.001
    LONGEST_PAUSE_MS = 20 # limits.toml: waiting.longest_pause_ms
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
    def pause? = pause_within?(left)

    # Pauses while the store is removed; false if the time is over.
    def pause_for_removed?
      @removal_until ||= [now + REMOVAL_MS / 1000.0, @until].min
      pause_within?(@removal_until - now)
    end

    # Pauses for the first invocation; false if it is not on its way.
    def pause_for_invocation?
      waited = (@milliseconds / 1000.0) - left
      pause_within?([(DEFERRED_MS / 1000.0) - waited, left].min)
    end

    # Returns whether to start again at once.
    def again?
      return now < @until unless @milliseconds.zero?

      (@tries += 1) <= TRIES
    end

    private

    def pause_within?(left)
      return false unless left.positive?

      sleep_for([@pause, left].min)
      @pause = [@pause * 2, LONGEST_PAUSE_MS / 1000.0].min
      true
    end

    def sleep_for(seconds) = SLEEP.bind_call(self, seconds)

    def now = CLOCK.call(Process::CLOCK_MONOTONIC)
  end
  private_constant :Patience
end
