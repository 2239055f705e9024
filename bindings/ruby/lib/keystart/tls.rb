# frozen_string_literal: true

require "openssl"

module Keystart
  # Makes options for Net::HTTP from PEM. The first call of tls loads it, because openssl takes long to load.
  module Tls
    module_function

    # `cert` may hold a chain, the own certificate first. `ca` holds the only authorities to trust.
    def options(cert, key, ca = nil)
      own, *chain = OpenSSL::X509::Certificate.load(cert)
      # The empty passphrase keeps OpenSSL from asking for one at the terminal.
      options = { use_ssl: true, cert: own, key: OpenSSL::PKey.read(key, "") }
      options[:extra_chain_cert] = chain unless chain.empty?
      options[:cert_store] = store(ca) if ca
      options
    end

    def store(ca)
      OpenSSL::X509::Certificate.load(ca).uniq(&:to_der).each_with_object(OpenSSL::X509::Store.new) do |cert, store|
        store.add_cert(cert)
      end
    end
    private_class_method :store
  end
  private_constant :Tls
end
