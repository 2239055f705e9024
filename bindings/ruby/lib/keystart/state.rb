# frozen_string_literal: true

require_relative "failures"

module Keystart
  # The content of state.json (contract 3.5). The client decides when to read it.
  class State
    FORMAT = "keystart.state/1"
    LONGEST = 1_048_576 # limits.toml: state.bytes
    STATES = %w[starting deferred ready failed stopped].freeze

    attr_reader :message, :failures

    # Returns the state, or nil if the bytes are not a well-formed one.
    def self.parse(bytes)
      document = Json.parse(bytes)
      new(document) if well_formed?(document)
    rescue Json::ParseError
      nil
    end

    def self.well_formed?(document)
      Hash === document && document["format"] == FORMAT && STATES.include?(document["state"]) &&
        document.key?("message") && [String, NilClass].include?(document["message"].class) &&
        Failures.valid?(document["failures"])
    end
    private_class_method :new, :well_formed?

    def initialize(document)
      @state, @message, @failures = document.values_at("state", "message", "failures")
    end

    def failed? = @state == "failed"

    def stopped? = @state == "stopped"

    def deferred? = @state == "deferred"
  end
  private_constant :State
end
