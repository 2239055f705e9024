# frozen_string_literal: true

module Keystart
  # Takes a client's root and timeout from arguments, environment and defaults (contract 6.1). It opens nothing.
  module Options
    DEFAULT_BUDGET = 2_000 # limits.toml: attempt.budget_ms
    TIMEOUTS = (0..999_999_999) # limits.toml: timeout.most_ms
    # A little wider than the limits after rounding.
    SECONDS = (-1..1_000_000)

    module_function

    # Returns the root as an absolute path in UTF-8 without trailing slashes.
    def root(argument)
      # `nil ==`, because an argument may have no methods at all.
      root = nil == argument ? root_variable || Quick::DEFAULT_ROOT : path(argument)
      root = "#{working_folder}/#{root}" unless root.start_with?("/")
      root = root.sub(%r{/+\z}, "")
      -(root.empty? ? "/" : root)
    end

    # Returns the timeout in whole milliseconds. The argument is in seconds.
    def timeout(argument)
      nil == argument ? timeout_variable : milliseconds(argument) { Errors.invalid_timeout }
    end

    # Returns the budget of attempt in whole milliseconds. The argument is in seconds.
    def budget(argument)
      nil == argument ? DEFAULT_BUDGET : milliseconds(argument) { Errors.invalid_budget }
    end

    # Returns the path as text, or raises InvalidOption.
    def path(argument)
      text = Text.utf8(argument) if String === argument
      raise Errors.invalid_root unless text && !text.empty? && usable?(text)

      text
    end

    def root_variable
      root = variable("KEYSTART_DIR")
      raise Errors.invalid_root_variable unless root.nil? || usable?(root)

      root
    end

    # Checks contract 6.1.2. Other languages put U+FFFD for bytes that are not UTF-8.
    def usable?(text) = text.valid_encoding? && !text.match?(/[\0\u{FFFD}]/)

    def working_folder
      path(Dir.pwd.force_encoding(Encoding::UTF_8))
    rescue SystemCallError
      # The working directory was removed, so no path can be relative to it. The message advises an
      # absolute path.
      raise Errors.invalid_root
    end

    # Yields for the error of a number that is not one of contract 6.1.4.
    def milliseconds(seconds)
      # The range comes first: a number that is not finite, or too large for a Float, must not reach
      # the rounding.
      raise yield unless number?(seconds) && SECONDS.cover?(seconds)

      rounded = Quick.milliseconds(seconds)
      raise yield unless TIMEOUTS.cover?(rounded)

      rounded
    end

    def number?(value)
      case value
      when Integer, Float, Rational then true
      else defined?(::BigDecimal) && ::BigDecimal === value
      end
    end

    def timeout_variable
      text = variable("KEYSTART_TIMEOUT_MS") or return Quick::DEFAULT_TIMEOUT
      raise Errors.invalid_timeout_variable unless text.b.match?(/\A[0-9]{1,9}\z/)

      text.to_i
    end

    # Returns the variable's bytes as UTF-8, whatever their encoding by the locale; nil if it is
    # unset or empty.
    def variable(name)
      text = ENV.fetch(name, "").dup.force_encoding(Encoding::UTF_8)
      text unless text.empty?
    end
    private_class_method :path, :root_variable, :usable?, :working_folder, :milliseconds, :number?, :timeout_variable,
                         :variable
  end
  private_constant :Options
end
