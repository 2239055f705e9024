# frozen_string_literal: true

module Keystart
  # Checks one generation's manifest (contract 4.7) and answers from it. It reads no files.
  class Manifest
    FORMAT = "keystart.manifest/1"
    LONGEST = Quick::LONGEST_MANIFEST
    LONGEST_VALUE = Quick::LONGEST_VALUE
    ENCODINGS = %w[utf-8 binary].freeze
    FACTS = %w[path size encoding fetched_at refresh_after source].freeze

    def initialize(bytes, number)
      @number = number
      @document = parse(bytes)
      check_head
      check_secrets
      check_unavailable
    end

    # Returns the entry of a secret, or raises the reason why it has none (contract 6.5.6).
    def entry(name)
      secrets[name] || raise(Missing.error(name, secrets.keys, failure(name)))
    end

    # Returns whether the name is in the manifest at all, as a secret or as one that could not be fetched.
    def mentions?(name) = secrets.key?(name) || !failure(name).nil?

    # Returns the names in the order of their bytes, all or those in a folder.
    def names(prefix)
      names = prefix ? secrets.keys.select { |name| name.start_with?("#{prefix}/") } : secrets.keys
      names.sort.map(&:dup)
    end

    # Returns how many seconds a value can be used after it was checked, or nil (contract 4.10).
    def max_stale
      value = @document["max_stale"]
      value if Numeric === value && value == value.floor && value.between?(0, 9_007_199_254_740_991)
    end

    # Returns when a secret was fetched.
    def fetched_at(name)
      fetched_at = entry(name)["fetched_at"]
      check Moment.valid?(fetched_at), %(secrets["#{name}"].fetched_at)
      fetched_at
    end

    # Returns the facts by which two versions of a secret differ (contract 7.3), or nil without the secret.
    def facts(name) = secrets[name]&.slice(*FACTS)

    # Returns the facts about a secret, as a copy that the caller may change (contract 6.5.5).
    # `check` is its last check, nil if only the manifest is known.
    def info(name, check)
      entry = entry(name)
      check_times(name, entry)
      facts = Marshal.load(Marshal.dump(entry.slice(*FACTS)))
      last = check ? check.except("usable_until") : {}
      facts = { **facts, "checked_at" => facts["fetched_at"].dup, "failure" => nil, **last }
      facts.merge("stale" => stale?(facts["refresh_after"]) || !facts["failure"].nil?)
    end

    private

    def secrets = @document["secrets"]

    def unavailable = @document["unavailable"]

    def parse(bytes)
      Json.parse(bytes)
    rescue Json::ParseError
      raise invalid("manifest.json is not JSON")
    end

    def check_head
      raise invalid("manifest.json is not an object") unless Hash === @document

      format = @document["format"]
      check String === format, "format"
      raise unsupported(format) unless format == FORMAT

      check @document["generation"] == @number, "generation"
      check String === @document["published_at"], "published_at"
      check_strings "writer", @document["writer"], "name", "version"
    end

    def unsupported(format)
      writer = @document["writer"]
      version = writer["version"] if Hash === writer
      wrote = String === version ? Errors.written_by(version) : ""
      Errors.manifest_unsupported(@number, format, wrote, VERSION)
    end

    def check_secrets
      check Hash === secrets, "secrets"
      secrets.sort.each do |name, entry|
        raise invalid("a name under secrets is not valid") unless Name.valid?(name)

        check_entry %(secrets["#{name}"]), name, entry
        entry["size"] = entry["size"].to_i
      end
    end

    def check_entry(member, name, entry)
      check Hash === entry, member
      check entry["path"] == "secrets/#{name}", "#{member}.path"
      check size?(entry["size"]), "#{member}.size"
      check ENCODINGS.include?(entry["encoding"]), "#{member}.encoding"
      check String === entry["fetched_at"], "#{member}.fetched_at"
      check String === entry.fetch("refresh_after", false) || entry.fetch("refresh_after", false).nil?,
            "#{member}.refresh_after"
      check_strings "#{member}.source", entry["source"], "provider", "id"
    end

    def check_unavailable
      check Hash === unavailable, "unavailable"
      unavailable.sort.each do |name, reason|
        raise invalid("a name under unavailable is not valid") unless Name.valid?(name)

        check_strings %(unavailable["#{name}"]), reason, "code", "message"
        raise invalid(%("#{name}" is under secrets and under unavailable)) if secrets.key?(name)
      end
    end

    def check_strings(member, object, *names)
      check Hash === object, member
      names.each { |name| check String === object[name], "#{member}.#{name}" }
    end

    def check_times(name, entry)
      check Moment.valid?(entry["fetched_at"]), %(secrets["#{name}"].fetched_at)
      check entry["refresh_after"].nil? || Moment.valid?(entry["refresh_after"]), %(secrets["#{name}"].refresh_after)
    end

    def check(holds, member)
      raise invalid("#{member} is missing or wrong") unless holds
    end

    def invalid(what) = Errors.manifest_invalid(@number, what)

    # Compares by value: 3.0 is 3 (contract 4.8).
    def size?(value) = Numeric === value && value == value.floor && value.between?(0, LONGEST_VALUE)

    # Times have one width, so their order is that of their bytes.
    def stale?(refresh_after)
      !refresh_after.nil? && refresh_after <= Time.now.utc.strftime("%Y-%m-%dT%H:%M:%S.%LZ")
    end

    # Returns the entry of a name that could not be fetched, with its code and message; nil if there is none.
    def failure(name)
      entry = [name, *Name.folders(name)].find { |folder| unavailable.key?(folder) }
      entry && [entry, *unavailable[entry].values_at("code", "message")]
    end
  end
  private_constant :Manifest
end
