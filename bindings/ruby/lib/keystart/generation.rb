# frozen_string_literal: true

module Keystart
  # One published set: its manifest, read at once, and its values, read on demand and kept. It never
  # waits, and never looks which generation is current.
  class Generation
    include Sealed

    TARGET = %r{\Agenerations/([1-9][0-9]{0,15})\z}
    GREATEST = 9_007_199_254_740_991 # limits.toml: generation.greatest
    attr_reader :target, :number, :manifest

    # `target` is what Files#current returned. Yields if it has the form of a generation's link,
    # before it reads there. Nothing knows the age of a candidate's values (contract 12.4.3).
    def initialize(files, target, timeout, candidate: false)
      @files = files
      @timeout = timeout
      @target = target
      @number = numbered(target)
      yield
      @manifest = read_manifest
      # No lock, because a fork or a signal handler could find it taken. Storing into a Hash is
      # atomic, and two threads that read the same value at once store the same bytes.
      @values = {}
      @age = candidate ? nil : age
    end

    # Returns the bytes of a secret, frozen, and tagged as UTF-8 even if they are not. Never return
    # them to callers.
    def value(name)
      value = @values[name] || keep(name)
      @age&.check(name) { check(name) }
      value
    end

    # Returns a value that was read before, however old it is by now.
    def kept(name) = @values.fetch(name)

    # Returns a copy that can be changed. A frozen String would show its text in the message of a FrozenError.
    def text(name, value = value(name))
      raise Errors.secret_not_text(name) unless value.valid_encoding?

      value.dup
    rescue ThreadError
      Loading.load_rest? ? retry : raise
    end

    def bytes(name, value = value(name)) = value.b

    # Parses again at each call, so that nobody can change what others get.
    def json(name)
      Json.parse(value(name))
    rescue Json::ParseError
      raise Errors.secret_not_json(name)
    end

    # Returns the path of a secret's file, relative to the generation's folder.
    def path(name) = manifest.entry(name)["path"]

    # Returns all facts about a secret except its value (contract 6.5.5).
    def info(name) = manifest.info(name, check(name))

    def inspect = "#<Keystart::Generation #{@number}>"

    private

    def age
      return unless @manifest.max_stale

      Loading.loaded { Age } # only with max_stale
      Age.new(@files, @manifest, @target, @timeout)
    end

    # Returns the last check of a secret by freshness.json, or nil if that is missing or broken.
    def check(name)
      Loading.loaded { Freshness } # only info and old values load it
      bytes = @files.read("freshness.json", Freshness::LONGEST)
      Freshness.check(bytes, @number, name) if String === bytes && bytes.bytesize <= Freshness::LONGEST
    rescue LayoutInsecure, StoreUnreadable
      nil
    end

    # Returns the number in the link's target (contract 6.2.4).
    def numbered(target)
      case target
      when Errno::EINVAL then nil
      when SystemCallError then raise @files.unreadable("current", target)
      else number = target.b[TARGET, 1]&.to_i
      end
      raise @files.insecure("current does not point to a generation") unless number && number <= GREATEST

      number
    end

    # Reads the manifest (contract 6.2.5).
    def read_manifest
      check_folder(nil)
      bytes = @files.read("#{@target}/manifest.json", Manifest::LONGEST)
      raise MissingError.new(@target, nil, invalid("manifest.json is missing")) unless bytes
      raise invalid("manifest.json is not a regular file") if bytes == :irregular

      check_kept(nil)
      raise invalid("manifest.json is longer than #{Manifest::LONGEST} bytes") if bytes.bytesize > Manifest::LONGEST

      Manifest.new(bytes, @number)
    end

    def keep(name)
      bytes = read_value(name, @manifest.entry(name)["size"])
      @values[name] = bytes.force_encoding(Encoding::UTF_8).freeze
    end

    # Reads a value (contract 6.2.6). It checks the folder before the length, because a writer that
    # stops shortens files.
    def read_value(name, size)
      raise MissingError.new(@target, name, Errors.not_attached(@files.root)) unless @files.root?

      check_folders(name)
      bytes = @files.read("#{@target}/secrets/#{name}", size)
      raise missing_value(name) unless bytes
      raise Errors.secret_corrupt(name, @number, "its file is not a regular file") if bytes == :irregular

      check_kept(name)
      raise Errors.secret_corrupt(name, @number, "its file does not have #{size} bytes") unless bytes.bytesize == size

      bytes
    end

    def check_folders(name)
      check_folder(name)
      folders = ["secrets", *Name.folders(name).reverse.map { |folder| "secrets/#{folder}" }]
      folders.each { |folder| raise missing_value(name) unless @files.folder?("#{@target}/#{folder}") }
    end

    def check_folder(name)
      raise missing_generation(name) unless @files.folder?("generations")

      check_kept(name)
    end

    # Discards what was read if the generation is gone: it may have been overwritten.
    def check_kept(name)
      raise missing_generation(name) unless @files.folder?(@target)
    end

    def missing_generation(name) = MissingError.new(@target, name, invalid("#{@target} is missing"))

    def missing_value(name)
      MissingError.new(@target, name, Errors.secret_corrupt(name, @number, "its file is missing"))
    end

    def invalid(what) = Errors.manifest_invalid(@number, what)
  end
  private_constant :Generation
end
