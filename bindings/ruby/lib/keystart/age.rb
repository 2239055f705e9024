# frozen_string_literal: true

require_relative "time"

module Keystart
  # Refuses values that were checked too long ago (contract 11.7). The first read with max_stale loads it.
  class Age
    REQUEST_MS = 2_000 # limits.toml: stale.request_ms

    def initialize(files, manifest, target, timeout)
      @files = files
      @manifest = manifest
      @target = target
      @timeout = timeout
      @max_stale = manifest.max_stale.to_i * 1000
      # Until when each value can be used, as far as it is known; nil is forever.
      @known = {}
    end

    # Raises if a value was checked too long ago, after it has asked the writer once. Yields to read
    # the last check of freshness.json, nil if it has none.
    def check(name, &last)
      return if usable?(name, &last)

      if @files.current == @target
        ask(name)
        return if usable?(name, &last)
      end
      raise StaleError.new(@target, name, error(name, last.call))
    end

    private

    # Returns whether a value may be returned now. It reads freshness.json only if what it knows has passed.
    def usable?(name)
      return true if ahead?(@known.fetch(name) { Moment.milliseconds(@manifest.fetched_at(name)) + @max_stale })

      check = yield or return false
      @known[name] = check["usable_until"] && Moment.milliseconds(check["usable_until"])
      ahead?(@known[name])
    end

    def ahead?(time) = time.nil? || Moment.usable?(time, @max_stale)

    # Whatever is answered, freshness.json decides.
    def ask(name)
      Loading.loaded { require_relative "control" }
      Control.new(@files, Patience.new([@timeout, REQUEST_MS].min)).refresh([name])
    rescue Control::SilenceError, Control::LateError, Error
      nil
    end

    def error(name, check)
      checked_at = check ? check["checked_at"] : @manifest.fetched_at(name)
      failure = check && check["failure"]
      return Errors.secret_stale(name, checked_at) unless failure

      Errors.secret_stale_because(name, checked_at, failure["code"], failure["message"])
    end
  end
  private_constant :Age
end
