# frozen_string_literal: true

require_relative "control"

module Keystart
  # Asks the writer to fetch now, and says what changed (contract 7.3). The first call of refresh loads it.
  class Refresh
    # `before` is the manifest that the client read last, or nil. The block yields the one that is
    # published now.
    def initialize(store, patience, before, names, &after)
      @store = store
      @patience = patience
      @before = before
      @names = names
      @after = after
    end

    # Returns the names that changed.
    def run
      answer = Control.new(@store, @patience).refresh(@names)
      raise Errors.refresh_refused(*answer["error"].values_at("code", "message")) unless answer["ok"]
      raise Errors.refresh_failed(Failures.lines(answer["failures"])) unless answer["failures"].empty?

      changes
    rescue Control::Silent
      raise Errors.refresh_unavailable(@store.root), cause: nil
    rescue Control::Late
      changed = changes_at_last
      raise Errors.refresh_timed_out(@patience.milliseconds), cause: nil if changed.empty?

      changed
    end

    private

    # The writer may have published before the answer was lost, as in a freeze.
    def changes_at_last
      changes
    rescue Error
      []
    end

    def changes
      after = @after.call
      names = (@before ? @before.names(nil) : []) | after.names(nil)
      names.select { |name| asked?(name) && @before&.facts(name) != after.facts(name) }.sort
    end

    def asked?(name)
      @names.empty? || @names.any? { |asked| name == asked || name.start_with?("#{asked}/") }
    end
  end
  private_constant :Refresh
end
