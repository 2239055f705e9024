# frozen_string_literal: true

require_relative "time"

module Keystart
  # The content of freshness.json (contract 11.8). The generation decides when to read it.
  module Freshness
    FORMAT = "keystart.freshness/1"
    LONGEST = 4_194_304 # limits.toml: freshness.bytes

    # Returns the last check of a secret, or nil if the bytes are broken or about another generation.
    def self.check(bytes, generation, name)
      document = Json.parse(bytes)
      return unless Hash === document && document["format"] == FORMAT && document["generation"] == generation

      check = Hash === document["secrets"] ? document["secrets"][name] : nil
      return unless Hash === check && sound?(check)

      failure = check["failure"]&.slice("code", "message", "at")
      { **check.slice("checked_at", "refresh_after", "usable_until"), "failure" => failure }
    rescue Json::ParseError
      nil
    end

    def self.sound?(check)
      nexts = %w[refresh_after usable_until].map { |key| check.fetch(key, :missing) }
      Moment.valid?(check["checked_at"]) && nexts.all? { |time| time.nil? || Moment.valid?(time) } &&
        check.key?("failure") && failure?(check["failure"])
    end

    def self.failure?(failure)
      return true if failure.nil?

      Hash === failure && String === failure["code"] && String === failure["message"] && Moment.valid?(failure["at"])
    end
    private_class_method :sound?, :failure?
  end
  private_constant :Freshness
end
