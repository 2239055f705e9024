# frozen_string_literal: true

require_relative "text"
require_relative "name"
require_relative "manifest"
require_relative "files"
require_relative "generation"
require_relative "patience"
require_relative "store"

module Keystart
  # By autoload, because threads that require one file at once get a warning of Ruby.
  %i[Age Attempt Freshness Refresh Tls].each { |name| autoload name, "#{__dir__}/#{name.downcase}" }
  private_constant :Age, :Attempt, :Freshness, :Refresh, :Tls

  module Loading
    # What the strict reader names, and may not have loaded yet.
    LATER = %i[Errors Json Missing Options Secret VERSION].freeze

    # Loads what is left after a ThreadError, so that the caller can begin again; false after it has done so,
    # because then the error has another reason. Whether a constant is left does not say that: another thread may
    # have loaded it since the error.
    def self.load_rest?
      return false if @complete

      Thread.new { LATER.each { |name| Keystart.const_get(name) } }.join
      @complete = true
    end
  end

  # The methods of a client and of a snapshot (contract §7). Each decides which generation answers.
  #
  # Returned values are copies: callers may change them, and other callers do not see that.
  module Reader
    # Returns the secret as a UTF-8 String.
    def get(name)
      name = Name.check(name)
      reading { |generation| generation.text(name) }
    end

    # Returns the secret as an ASCII-8BIT String.
    def bytes(name)
      name = Name.check(name)
      reading { |generation| generation.bytes(name) }
    end

    # Returns the secret parsed as JSON by RFC 8259. Whole numbers of any length are exact.
    def json(name)
      name = Name.check(name)
      reading { |generation| generation.json(name) }
    end

    # Returns the absolute path of the secret's file. It does not look at the file.
    def path(name)
      name = Name.check(name)
      reading { |generation| "#{folder(generation)}/#{generation.path(name)}" }
    end

    # Returns the names of all secrets, or of those in the folder `prefix`, in the order of their bytes.
    def names(prefix = nil)
      prefix = Name.check(prefix) unless nil == prefix
      reading { |generation| generation.manifest.names(prefix) }
    end

    # Returns the facts about a secret: path, size, encoding, fetched_at, refresh_after, source,
    # checked_at, failure, and stale.
    def info(name)
      name = Name.check(name)
      reading { |generation| generation.info(name) }
    end

    # Returns the secret as an object that does not show its value.
    def secret(name)
      name = Name.check(name)
      reading { |generation| Secret.new(generation, name) }
    end

    # Returns options for Net::HTTP.start from <prefix>/cert, <prefix>/key and, if it exists,
    # <prefix>/ca. Raises TlsInvalid for a part that is not PEM, and OpenSSL::OpenSSLError for PEM that
    # OpenSSL cannot read.
    def tls(prefix)
      prefix = Name.check(prefix)
      cert, key, ca = %w[cert key ca].map { |part| Name.check("#{prefix}/#{part}") }
      parts = reading do |generation|
        # An unavailable ca is an error: without it, other authorities would be trusted than
        # configured (contract 6.5.7).
        wanted = generation.manifest.mentions?(ca) ? [cert, key, ca] : [cert, key]
        wanted.to_h { |name| [name, generation.text(name)] }
      end
      Loading.loaded { Tls }
      Tls.options(parts)
    end
  end
  private_constant :Reader

  # Reads the generation that is published at the time of each call, by all steps of the contract.
  # client.rb has the class that a function calls.
  class StrictClient
    include Reader
    include Sealed

    attr_reader :store

    # `timeout` is in milliseconds. `known` is what Quick#known returned.
    def initialize(root, timeout, known = nil)
      @store = Store.new(Files.new(root), timeout, known)
    end

    def snapshot
      reading { |generation| Snapshot.new(@store.files, generation) }
    end

    def refresh(*names)
      names = names.map { |name| Name.check(name) }
      Loading.loaded { Refresh } # only callers of this method load it
      Refresh.new(@store, names).run
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    def attempt(name, rejected, budget, login)
      name = Name.check(name)
      Loading.loaded { [Json, Options, Attempt] } # only callers of this method load it
      Attempt.new(@store, name, Options.budget(budget), rejected, login).run
    end

    def inspect = "#<Keystart::StrictClient root=#{@store.root.inspect}>"

    private

    def reading(&)
      @store.read(&)
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    def folder(_generation) = "#{@store.root}/current"
  end
  private_constant :StrictClient

  # Reads one generation only, for values that belong together. It keeps the values it has read. For others it
  # expires when its generation is removed, 60 s after the next publish.
  class Snapshot
    include Reader
    include Sealed

    # @private
    def initialize(files, generation)
      @files = files
      @generation = generation
    end

    # Returns this snapshot.
    def snapshot = self

    def inspect = "#<Keystart::Snapshot generation=#{@generation.number} root=#{@files.root.inspect}>"

    private

    def reading
      yield @generation
    rescue MissingError => e
      raise e.failure, cause: nil if StaleError === e ? @files.current == e.target : @files.folder?(e.target)

      raise Errors.snapshot_expired(e.name, @generation.number), cause: nil
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    def folder(generation) = "#{@files.root}/#{generation.target}"
  end
end
