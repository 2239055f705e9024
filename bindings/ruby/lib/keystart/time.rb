# frozen_string_literal: true

module Keystart
  # Times by contract 4.3, and the age of values (11.7). Only the facts about a secret and old
  # values need it, and freshness.rb and age.rb load it for them.
  module Moment
    TIME = /\A([0-9]{4})-([0-9]{2})-([0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z\z/
    DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].freeze
    MARGIN_MS = 60_000 # limits.toml: stale.margin_ms

    module_function

    # Returns whether a value is a time exactly as the contract writes it, and its day exists.
    def valid?(text)
      return false unless String === text

      year, month, day = TIME.match(text)&.captures&.map { |digits| digits.to_i(10) }
      return false unless year&.positive? && month.between?(1, 12)

      leap = (year % 4).zero? && (!(year % 100).zero? || (year % 400).zero?)
      day.between?(1, month == 2 && leap ? 29 : DAYS[month - 1])
    end

    # Returns a valid time in milliseconds since 1970.
    def milliseconds(text)
      year, month, day, hour, minute, second, ms = text.scan(/[0-9]+/).map { |digits| digits.to_i(10) }
      Time.utc(year, month, day, hour, minute, second).to_i * 1000 + ms
    end

    # Returns whether a value that can be used until then may be returned now. A time too far ahead is over.
    # Both are in milliseconds.
    def usable?(until_time, max_stale)
      now = Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond)
      now < until_time && until_time <= now + max_stale + MARGIN_MS
    end
  end
  private_constant :Moment
end
