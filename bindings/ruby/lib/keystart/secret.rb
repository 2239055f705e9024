# frozen_string_literal: true

module Keystart
  # Keeps what holds secrets out of logs and dumps; it does not encrypt anything.
  #
  # pp, irb, puts, interpolation and to_json all go through inspect or to_s, which the class gives.
  module Sealed
    def to_s = inspect

    def marshal_dump = raise(TypeError, "#{self.class} is not serialized: it may hold secrets")

    # What Psych asks for YAML.
    def encode_with(_coder) = marshal_dump
  end
  private_constant :Sealed

  # One secret with its name and facts, made to be passed around: only reveal and reveal_bytes give the value.
  class Secret
    include Sealed

    # The name it was asked by.
    attr_reader :name

    # @private
    def initialize(generation, name)
      @name = -name
      generation.value(name)
      # In a closure, so that a walk over instance variables finds no bytes.
      @generation = -> { generation }
    end

    # The value as a UTF-8 String, a copy; SecretNotText when it is none.
    def reveal = @generation.call.text(@name)

    # The value as an ASCII-8BIT String, a copy.
    def reveal_bytes = @generation.call.bytes(@name)

    # The facts of contract 6.5.5; `stale` is as of this call.
    def info = @generation.call.manifest.info(@name)

    def inspect = %(<Secret "#{@name}" (redacted)>)

    # Debuggers and serializers that go by the variables find none.
    def instance_variables = []
  end
end
