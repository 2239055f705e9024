# frozen_string_literal: true

module Keystart
  # Checks the names of secrets (contract §2). It does not know which exist.
  module Name
    SEGMENT = /[A-Za-z0-9_][A-Za-z0-9_.-]*/
    DEEPEST = 8 # limits.toml: name.segments
    PATTERN = %r{\A#{SEGMENT}(?:/#{SEGMENT}){0,#{DEEPEST - 1}}\z}
    LONGEST = Quick::LONGEST_NAME

    module_function

    # Returns the name as an ASCII-compatible String, or raises InvalidName.
    def check(name)
      raise Errors.name_not_text unless String === name

      text = Text.utf8(name)
      raise Errors.invalid_name(name) unless text && valid?(text)

      text
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    def valid?(text) = text.ascii_only? && text.bytesize <= LONGEST && PATTERN.match?(text)

    # Returns the folders that a name lies in, the longest first.
    def folders(name)
      segments = name.split("/")
      (segments.length - 1).downto(1).map { |count| segments.first(count).join("/") }
    end
  end
  private_constant :Name
end
