# frozen_string_literal: true

require_relative "control"

module Keystart
  # Asks the writer to fetch now, and says what changed (contract 7.3). The first call of refresh loads it.
  class Refresh
    def initialize(store, names)
      @store = store
      @names = names
      @patience = Patience.new(store.timeout) # its clock starts before the first look
      @before = store.known_manifest
    end

    # Returns the names that changed.
    def run
      answer = Control.new(@store.files, @patience).refresh(@names)
      raise Errors.refresh_refused(*answer["error"].values_at("code", "message")) unless answer["ok"]
      raise Errors.refresh_failed(Failures.lines(answer["failures"])) unless answer["failures"].empty?

      changes
    rescue Control::SilenceError
      raise Errors.refresh_unavailable(@store.root), cause: nil
    rescue Control::LateError
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
      after = @store.read(@patience, &:manifest)
      names = (@before ? @before.names(nil) : []) | after.names(nil)
      names.select { |name| asked?(name) && @before&.facts(name) != after.facts(name) }.sort
    end

    def asked?(name)
      @names.empty? || @names.any? { |asked| name == asked || name.start_with?("#{asked}/") }
    end
  end
  private_constant :Refresh
end
