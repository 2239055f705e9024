# frozen_string_literal: true

module Keystart
  # Why entries could not be fetched, by name: in state.json and in answers of the writer.
  module Failures
    module_function

    def valid?(failures) = Hash === failures && failures.values.all? { |failure| failure?(failure) }

    def failure?(failure) = Hash === failure && String === failure["code"] && String === failure["message"]

    # Returns a line for each, in the order of the names' bytes.
    def lines(failures)
      failures.sort.map { |name, failure| Errors.failure_line(name, failure["code"], failure["message"]) }.join
    end
  end
  private_constant :Failures
end
