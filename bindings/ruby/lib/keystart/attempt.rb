# frozen_string_literal: true

require_relative "control"

module Keystart
  # The error of `attempt` has these methods if the server refused other logins of the call too.
  module Attempts
    # Returns the facts about the other logins, a Hash each: generation, stage, version_id, class and
    # code. They have no messages, because a driver's message may hold a value.
    def attempts = @keystart_attempts

    # Returns the error's message, with a line for each of the other logins.
    def detailed_message(**)
      [defined?(super) ? super : message, *attempts.map { |login| Attempts.line(login) }].join("\n")
    end

    # @private
    def self.line(login)
      generation, stage, version, *error = login.values_at("generation", "stage", "version_id", "class", "code")
      used = [stage || "generation #{generation}", version && "version #{version}"].compact.join(", ")
      "Keystart: the server also rejected a login with #{used}: #{error.compact.join(" ")}"
    end
  end

  # A generation that knows whether a value of a name was read.
  class WatchedGeneration
    include Sealed

    def initialize(generation, name)
      @generation = generation
      @name = name
      @read = false
    end

    def read? = @read

    %i[text bytes json value path].each do |method|
      define_method(method) do |name, *rest|
        found = @generation.public_send(method, name, *rest)
        @read = true if name == @name || name.start_with?("#{@name}/")
        found
      end
    end

    def info(name) = @generation.info(name)

    def kept(name) = @generation.kept(name)

    def number = @generation.number

    def target = @generation.target

    def manifest = @generation.manifest

    def inspect = @generation.inspect
  end
  private_constant :WatchedGeneration

  # How long a call may still wait. The time that the block takes does not count.
  class Budget < Patience
    ANSWER_MS = 1_000 # limits.toml: attempt.answer_ms

    def over? = !left.positive?

    # Yields, and does not count the time that it takes.
    def paused
      began = now
      yield
    ensure
      @until += now - began
    end

    def wait(milliseconds) = sleep_for(milliseconds / 1000.0)

    # Returns the milliseconds that an answer may take.
    def answer_ms = [ANSWER_MS, left * 1000].min.clamp(0, nil)
  end
  private_constant :Budget

  # One call of attempt (contract §12): which generation each login uses, and how it is reported. The
  # writer decides. The first call loads it.
  class Attempt
    RUNS = 3 # limits.toml: attempt.runs
    GREATEST = 9_007_199_254_740_991 # limits.toml: generation.greatest
    CODE = /\A[A-Za-z0-9_-]{1,32}\z/
    CODES = %i[error_number error_code sql_state code].freeze
    # What an answer to `try` says.
    Advice = Struct.new(:generation, :candidate, :retry_after, :known)
    # A login that the server refused.
    Refusal = Struct.new(:error, :generation, :candidate)
    private_constant :Advice, :Refusal

    def initialize(store, name, milliseconds, rejected, login)
      raise ArgumentError, "attempt needs a block that logs in" unless login

      @store = store
      @name = name
      @milliseconds = milliseconds
      @verdict = verdict_of(rejected)
      @login = login
      # Ruby makes it the cause of every error that the block raises, but it says nothing about the logins.
      @handled = $! # rubocop:disable Style/SpecialGlobalVars
      @runs = 0
      @advised = false
      @refusals = []
    end

    # Returns what the block returned.
    def run
      first = @store.read(&:itself)
      first.manifest.entry(@name) if first.manifest.names(@name).empty?
      @budget = Budget.new(@milliseconds)
      done = log_in(first) if @milliseconds.zero?
      until done
        raise ending if @budget.over?

        done = asking { |advice| follow(advice) }
      end
      done.first
    end

    private

    # Yields what the writer advises, nil without an answer. The connection stays open until the
    # outcome is reported.
    def asking
      socket = connect
      # A writer that has answered before lives, so only it may allow a login.
      raise ending if socket == :busy && @advised

      yield(Socket === socket ? advice(socket) : nil)
    ensure
      socket.close if Socket === socket
    end

    # Returns a connection, nil if there is none to be made, or :busy.
    def connect
      Control.new(@store.files, @budget).connect
    rescue Control::BusyError
      :busy
    rescue Control::SilenceError, StoreUnreadable
      nil
    end

    def advice(socket)
      line = line(%("op": "try"), @refusals.last&.generation&.number)
      answer_ms = @budget.answer_ms
      answer = Control.new(@store.files, Patience.new(answer_ms)).exchange(socket, line)
      return unless answer["ok"]

      numbers = { "generation" => 1, "candidate" => 1, "retry_after_ms" => 0 }.map do |key, least|
        number(answer[key], least)
      end
      return if numbers.include?(:wrong)

      @advised = true
      Advice.new(*numbers, answer["failures"].empty?)
    rescue Control::LateError
      # If the budget is over, a writer that has answered before lives.
      raise ending if @advised && answer_ms < Budget::ANSWER_MS
    rescue Control::SilenceError
      nil
    end

    # Returns a whole number, nil, or :wrong.
    def number(value, least)
      return if value.nil?

      whole = Numeric === value && value == value.floor && value.between?(least, GREATEST)
      whole ? value.to_i : :wrong
    end

    # Does what the writer advises. Returns what log_in returned, or nil to ask again.
    def follow(advice)
      raise ending if advice.nil? && @refusals.any?
      return log_in(@store.read(&:itself), reported: false) unless advice&.known
      return wait(advice.retry_after) if advice.retry_after

      number = advice.candidate || advice.generation
      candidate = !advice.candidate.nil?
      generation = number ? @store.numbered(number, candidate) : @store.read(&:itself)
      return log_in(generation, candidate:) if generation

      @budget.pause?
      nil
    end

    def wait(milliseconds)
      raise ending(Errors.login_refused(@name, milliseconds)) if @budget.left * 1000 <= milliseconds

      @budget.wait(milliseconds)
      nil
    end

    # Calls the block and reports the outcome. Returns its value in a list, or nil to ask again.
    def log_in(generation, candidate: false, reported: true)
      @runs += 1
      watched = WatchedGeneration.new(generation, @name)
      value, error = outcome(Snapshot.new(@store.files, watched))
      reported &&= watched.read?
      if error.nil?
        report(%("op": "accepted"), generation, @budget.answer_ms) if reported
        return [value]
      end
      last = @runs >= RUNS || @budget.over?
      verdict = @verdict.call(error) if reported
      if SnapshotExpired === error
        raise ending(error) if last
      elsif verdict
        refused(Refusal.new(error, generation, candidate), verdict == :locked, last)
      else
        raise error
      end
    end

    # Returns the value and the error of the block. Its errors are raised again outside of this rescue,
    # so that they get no other cause.
    def outcome(snapshot)
      [@budget.paused { @login.call(snapshot) }, nil]
    rescue StandardError => e
      [nil, e]
    end

    def refused(refusal, locked, last)
      @refusals << refusal
      ends = locked || last
      report(%("op": "rejected", "locked": #{locked}), refusal.generation, ends ? 0 : @budget.answer_ms)
      raise ending if ends
    end

    # Reports an outcome, and waits for the answer: then what was accepted is published. Whatever
    # becomes of it, the login has taken place.
    def report(members, generation, answer_ms)
      control = Control.new(@store.files, Patience.new(answer_ms))
      socket = control.connect
      line = line(members, generation.number)
      answer_ms.positive? ? control.exchange(socket, line) : control.write(socket, line)
    rescue Control::SilenceError, Control::LateError, Error
      nil
    ensure
      socket&.close
    end

    # The name is checked, so it needs no escapes.
    def line(members, generation)
      %({"format": "#{Control::FORMAT}", #{members}, "name": "#{@name}", "generation": #{generation || "null"}}\n)
    end

    # Returns the error of the whole call (contract 12.9), `otherwise` if the server refused no login.
    def ending(otherwise = nil)
      return otherwise || Errors.login_not_possible(@name, @milliseconds) if @refusals.empty?

      chosen = @refusals.find { |refusal| !refusal.candidate } || @refusals.last
      attach(chosen.error, @refusals - [chosen])
      chosen.error
    end

    def attach(error, others)
      return if others.empty? || error.frozen?

      error.instance_variable_set(:@keystart_attempts, others.map { |refusal| facts(refusal) })
      error.extend(Attempts)
    end

    def facts(refusal)
      manifest = refusal.generation.manifest
      below = manifest.names(@name)
      sources = (below.empty? ? [@name] : below).map { |name| manifest.entry(name)["source"] }
      stages = sources.flat_map { |source| Array(source["version_stages"]) }
      versions = sources.map { |source| source["version_id"] }
      { "generation" => refusal.generation.number, "stage" => joined(stages), "version_id" => joined(versions),
        "class" => refusal.error.class.name, "code" => code(refusal.error) }
    end

    def joined(texts)
      found = texts.grep(String).uniq.join(", ")
      found unless found.empty?
    end

    # Returns the code that a driver's error carries, if it is short enough not to be a value.
    def code(error)
      codes = CODES.lazy.select { |method| error.respond_to?(method) }.map { |method| error.public_send(method).to_s }
      codes.find { |code| CODE.match?(code) }
    end

    # Returns a Proc that returns :rejected, :locked or nil for an error (contract 12.7).
    def verdict_of(rejected)
      case rejected
      when nil then method(:of_table)
      when Proc, Method then ->(error) { of_predicate(rejected.call(error)) }
      when Module, Array
        classes = Array === rejected ? rejected : [rejected]
        raise ArgumentError, "rejected names no class" if classes.empty? || !classes.all?(Module)

        ->(error) { of_classes(classes, error) }
      else raise ArgumentError, "rejected is a class of errors, several, or a Proc"
      end
    end

    def of_table(error)
      require_relative "rejections" # the first login that fails loads its tables
      Rejections.classify(error, @handled)
    end

    def of_classes(classes, error)
      verdict = of_table(error)
      matches = Rejections.with_causes(error, @handled).any? { |each| classes.any? { |one| one === each } }
      matches ? verdict || :rejected : nil
    end

    def of_predicate(answer)
      return :locked if [:locked, "locked"].include?(answer)

      answer ? :rejected : nil
    end
  end
  private_constant :Attempt
end
