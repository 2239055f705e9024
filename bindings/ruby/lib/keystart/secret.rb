# frozen_string_literal: true

module Keystart
  # One secret with its name and facts, made to be passed around: only reveal and reveal_bytes return the value.
  class Secret
    include Sealed

    # The name that the caller asked for.
    attr_reader :name

    # @private
    def initialize(generation, name)
      @name = -name
      generation.value(name)
      # In a closure, so that a walk over instance variables finds no bytes.
      @generation = -> { generation }
    end

    # Returns the value as a UTF-8 String, a copy. Raises SecretNotText if it is not UTF-8.
    def reveal = @generation.call.then { |generation| generation.text(@name, generation.kept(@name)) }

    # Returns the value as an ASCII-8BIT String, a copy.
    def reveal_bytes = @generation.call.kept(@name).b

    # Returns the facts of contract 6.5.5. `stale` is as of this call.
    def info = @generation.call.info(@name)

    def inspect = %(<Secret "#{@name}" (redacted)>)

    # Returns none, for debuggers and serializers that read the variables.
    def instance_variables = []
  end
end
