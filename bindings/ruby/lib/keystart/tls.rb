# frozen_string_literal: true

require "openssl"
require_relative "pem"

module Keystart
  # Makes options for Net::HTTP from PEM. The first call of tls loads it, because openssl takes long to load.
  module Tls
    module_function

    # Returns the options. `parts` are the texts by name: the certificate, which may hold a chain with
    # the own one first, its key, and, if there are some, the only authorities to trust.
    def options(parts)
      check(parts)
      cert, key, ca = parts.values
      own, *chain = OpenSSL::X509::Certificate.load(cert)
      # The empty passphrase keeps OpenSSL from asking for one at the terminal.
      options = { use_ssl: true, cert: own, key: OpenSSL::PKey.read(key, "") }
      options[:extra_chain_cert] = chain unless chain.empty?
      options[:cert_store] = store(ca) if ca
      options
    end

    # Raises TlsInvalid for the first part that is not PEM (contract 6.5.8).
    def check(parts)
      parts.zip(%i[certificate_fault key_fault certificate_fault]) do |(name, text), fault|
        why = Pem.public_send(fault, text)
        raise Errors.tls_invalid(name, why) if why
      end
    end

    def store(ca)
      OpenSSL::X509::Certificate.load(ca).uniq(&:to_der).each_with_object(OpenSSL::X509::Store.new) do |cert, store|
        store.add_cert(cert)
      end
    end
    private_class_method :check, :store
  end
  private_constant :Tls
end
