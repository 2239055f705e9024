# frozen_string_literal: true

module Keystart
  # Says why the text of a certificate, key or authorities is not the PEM that TLS needs (contract 6.5.8).
  module Pem
    BLOCK = /(?:\A|\n)-----BEGIN ([A-Z0-9 ]+)-----[ \t\r]*(?=\n)/
    INDENTED = /(?:\A|\n)[ \t]+-----BEGIN /
    BASE64 = "LS0tLS1CRUdJTi" # of "-----BEGIN "
    CERTIFICATE = "CERTIFICATE"
    KEY = "PRIVATE KEY"

    module_function

    # Returns why a text is not used as a certificate; nil if it is.
    def certificate_fault(text)
      label = labels(text, CERTIFICATE).first
      return why_not(text, KEY, Errors::PEM_IS_KEY) || Errors::PEM_WITHOUT_CERTIFICATE unless label

      Errors::PEM_IS_CUT unless ended?(text, label)
    end

    # Returns why a text is not used as a private key; nil if it is.
    def key_fault(text)
      label = labels(text, KEY).first
      return why_not(text, CERTIFICATE, Errors::PEM_IS_CERTIFICATE) || Errors::PEM_WITHOUT_KEY unless label
      return Errors::PEM_IS_CUT unless ended?(text, label)

      encrypted = label == "ENCRYPTED PRIVATE KEY" || text.include?("\nProc-Type: 4,ENCRYPTED")
      Errors::PEM_IS_ENCRYPTED if encrypted
    end

    # Returns the labels of blocks, those that end in `kind`.
    def labels(text, kind = "") = text.scan(BLOCK).flatten.select { |label| label.end_with?(kind) }

    # Returns whether the first block with this label ends.
    def ended?(text, label)
      first_line = /(?:\A|\n)-----BEGIN #{label}-----[ \t\r]*(?=\n)/
      text.partition(first_line).last.include?("\n-----END #{label}-----")
    end

    # Returns what a text without the right block is; nil if that is not known.
    def why_not(text, other, is_other)
      return is_other if labels(text, other).any?

      disguise(text) if labels(text).empty?
    end

    # Returns what an editor, a shell or a console has made of PEM; nil if it was not PEM.
    def disguise(text)
      return Errors::PEM_HAS_MARK if text.start_with?("\u{feff}")

      case text.sub(/\A[ \t\r\n]+/, "")
      when "" then Errors::PEM_IS_EMPTY
      when /\A["']/ then Errors::PEM_IS_QUOTED
      when /\A\{/ then Errors::PEM_IS_JSON
      when /\A#{BASE64}/o then Errors::PEM_IS_BASE64
      when /-----BEGIN / then line_breaks(text)
      end
    end

    def line_breaks(text)
      return Errors::PEM_IS_ESCAPED if text.include?("\\n")

      text.match?(INDENTED) ? Errors::PEM_IS_INDENTED : Errors::PEM_IS_ON_ONE_LINE
    end
    private_class_method :labels, :ended?, :why_not, :disguise, :line_breaks
  end
  private_constant :Pem
end
