# frozen_string_literal: true

module Keystart
  # Everything that goes wrong, with the words of contract 8.4; deciding what went wrong is done elsewhere.
  #
  #   StandardError
  #   └── Error                 #code, #secret
  #       ├── InvalidName           not a name by contract §2
  #       ├── InvalidOption         root or timeout is not usable
  #       ├── NotAttached           there is no root
  #       ├── NotReady              waited the whole timeout, or the store was stopped or removed
  #       ├── PrefetchFailed        the extension gave up and says why
  #       ├── LayoutInsecure        somebody else could have written what would be read
  #       ├── ManifestInvalid       missing, not JSON, wrong shape, wrong time
  #       ├── ManifestUnsupported   of another version of Keystart
  #       ├── StoreUnreadable       the system refuses: EACCES, EIO, EMFILE, …
  #       ├── SecretNotFound        not in the manifest
  #       ├── SecretUnavailable     optional, and could not be fetched
  #       ├── SecretCorrupt         missing file or another size
  #       ├── SecretNotText         asked as text, is not
  #       ├── SecretNotJson         asked as JSON, is not
  #       ├── SnapshotExpired       the snapshot's generation was collected
  #       ├── RefreshUnavailable    reserved (contract §9), as the next one is
  #       ├── RefreshFailed
  #       └── Internal              a bug of Keystart
  #
  # No message holds bytes of a secret.
  class Error < StandardError
    # The name that was asked for, for what went wrong with one secret; else nil.
    attr_reader :secret

    def initialize(message = nil, secret: nil)
      # A root from the environment may be no UTF-8; a message always is.
      super(message&.scrub)
      @secret = secret
    end

    # The code of contract §8, the same in every language.
    def code = self.class::CODE
  end

  class InvalidName < Error
    CODE = "invalid_name"

    def self.of(text)
      new("#{Text.quoted(text)} is not a valid secret name. A name is 1 to 8 segments separated by \"/\", at most " \
          "255 bytes in all; a segment starts with a letter, a digit or \"_\" and goes on with letters, digits, " \
          '"_", "." or "-".')
    end

    def self.not_text = new("The name of a secret must be a string.")
  end

  class InvalidOption < Error
    CODE = "invalid_option"

    def self.root
      new("The root must be a path: text in UTF-8 without NUL bytes, and not empty. Give an absolute path, or leave " \
          "it out to use KEYSTART_DIR or /tmp/keystart.")
    end

    def self.root_variable = new("KEYSTART_DIR must be a path in UTF-8. Correct or unset it.")

    def self.timeout
      new("The timeout must be a number from 0 to 999999999 milliseconds. Give 0 to not wait at all.")
    end

    def self.timeout_variable
      new("KEYSTART_TIMEOUT_MS must be 1 to 9 digits, a number of milliseconds. Correct or unset it.")
    end
  end

  class NotAttached < Error
    CODE = "not_attached"

    def self.at(root)
      new("There is no store at #{root}. Attach the Keystart extension to this function, check that KEYSTART_DIR " \
          'is the same for both, or run "keystart pull" on your own machine.')
    end
  end

  class NotReady < Error
    CODE = "not_ready"

    def self.waited(root, milliseconds, message)
      more = message ? "The extension says: #{message}" : "Look for [keystart] in the log of the function."
      new("The store at #{root} was not ready after #{milliseconds} ms. #{more}")
    end

    def self.stopped(root)
      new("The store at #{root} was stopped and its secrets were removed. Start the extension again, or run " \
          '"keystart pull" on your own machine.')
    end

    def self.removed(root)
      new("The store at #{root} was removed while this process ran. Keep #{root} when you clear /tmp. The secrets " \
          'come back with the next execution environment; on your own machine, run "keystart pull".')
    end

    def self.changing(root)
      new("The store at #{root} changes faster than it can be read. Try again with a longer timeout.")
    end
  end

  class PrefetchFailed < Error
    CODE = "prefetch_failed"

    def self.because(message, failures)
      reasons = failures.sort.map do |name, failure|
        "\n  - #{Text.quoted(name)}: #{failure["code"]}: #{failure["message"]}"
      end
      new("The extension could not publish the secrets: #{message || "no reason was given"}#{reasons.join}")
    end
  end

  class LayoutInsecure < Error
    CODE = "layout_insecure"

    # `ours` says whether this user owns the root: nobody else may remove it.
    def self.at(root, what, ours:)
      advice = if ours
                 "Remove it and start the extension again."
               else
                 "Let the same user run the extension and this process, or set KEYSTART_DIR to another path for both."
               end
      new("The store at #{root} is not safe to read: #{what}. #{advice}")
    end
  end

  class ManifestInvalid < Error
    CODE = "manifest_invalid"

    def self.of(number, what)
      new("The manifest of generation #{number} is not valid: #{what}. Start the extension again; if it happens " \
          "again, report it.")
    end
  end

  class ManifestUnsupported < Error
    CODE = "manifest_unsupported"

    def self.of(number, format, known)
      new("The manifest of generation #{number} has the format #{Text.quoted(format)}, and this reader knows only " \
          "\"#{known}\". Use the same version of Keystart for the reader and the extension.")
    end
  end

  class StoreUnreadable < Error
    CODE = "store_unreadable"

    # The errno's name, because the system's own sentence differs between systems and languages.
    def self.at(root, path, error)
      errno = error.class.name.delete_prefix("Errno::")
      new("The store at #{root} cannot be read: #{errno} at #{path}. Check that this process may read it.")
    end
  end

  class SecretNotFound < Error
    CODE = "secret_not_found"

    def self.of(name, nearest)
      *others, last = nearest.map { |near| %("#{near}") }
      names = others.empty? ? last : "#{others.join(", ")} or #{last}"
      hint = " Did you mean #{names}?" if last
      new("There is no secret \"#{name}\" in the store.#{hint} Add it to the configuration of the extension.",
          secret: name)
    end
  end

  class SecretUnavailable < Error
    CODE = "secret_unavailable"

    def self.of(name, entry, reason)
      new("The secret \"#{name}\" is not available: the optional entry \"#{entry}\" could not be fetched: " \
          "#{reason["code"]}: #{reason["message"]}", secret: name)
    end
  end

  class SecretCorrupt < Error
    CODE = "secret_corrupt"

    def self.of(name, number, what)
      new("The secret \"#{name}\" is damaged in generation #{number}: #{what}. Start the extension again.",
          secret: name)
    end
  end

  class SecretNotText < Error
    CODE = "secret_not_text"

    def self.of(name)
      new("The secret \"#{name}\" is not valid UTF-8 text. Read it as bytes.", secret: name)
    end
  end

  class SecretNotJson < Error
    CODE = "secret_not_json"

    def self.of(name)
      new("The secret \"#{name}\" is not valid JSON. Read it as text or bytes, or correct the secret.", secret: name)
    end
  end

  class SnapshotExpired < Error
    CODE = "snapshot_expired"

    def self.of(name, number)
      new("The snapshot of generation #{number} has expired because the store moved on. Take a new snapshot.",
          secret: name)
    end
  end

  # Part of every reader's set. Nothing raises it here: a bug in plain Ruby shows itself as Ruby's own exception.
  class RefreshUnavailable < Error
    CODE = "refresh_unavailable"
  end

  class RefreshFailed < Error
    CODE = "refresh_failed"
  end

  class Internal < Error
    CODE = "internal"
  end
end
