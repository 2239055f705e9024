# frozen_string_literal: true

module Keystart
  # How long one read goes on: pauses between looks and tries over a changing store. It does not look itself.
  class Patience
    FIRST_PAUSE = 0.001
    LONGEST_PAUSE = 0.02
    # With timeout 0 there is no time to be over (contract 6.2.7).
    TRIES = 100

    attr_reader :milliseconds

    def initialize(milliseconds)
      @milliseconds = milliseconds
      @until = now + milliseconds / 1000.0
      @pause = FIRST_PAUSE
      @tries = 0
    end

    # Pauses, each time twice as long; false when the time is over.
    def pause?
      left = @until - now
      return false unless left.positive?

      sleep([@pause, left].min)
      @pause = [@pause * 2, LONGEST_PAUSE].min
      true
    end

    # Whether to start again at once.
    def again?
      return now < @until unless @milliseconds.zero?

      (@tries += 1) <= TRIES
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
  private_constant :Patience
end
