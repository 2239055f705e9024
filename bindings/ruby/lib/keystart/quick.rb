# frozen_string_literal: true

module Keystart
  # Reads values of a sound store, with little code to compile. If anything is unusual, it returns nil.
  # Then reader.rb reads the same by all steps, and reports what is wrong. It returns no value that
  # reader.rb would not return (test/quick_test.rb).
  class Quick
    include Sealed

    # A FIFO must not hang a function, and a link must not lead out of the store (contract 6.2.8).
    FLAGS = File::RDONLY | File::NOFOLLOW | File::NONBLOCK | (File.const_defined?(:CLOEXEC) ? File::CLOEXEC : 0)
    DEFAULT_ROOT = "/tmp/keystart"
    DEFAULT_TIMEOUT = 9_000 # limits.toml: timeout.default_ms
    LONGEST_NAME = 255 # limits.toml: name.bytes
    LONGEST_MANIFEST = 1_048_576 # limits.toml: manifest.bytes
    LONGEST_VALUE = 1_048_576 # limits.toml: value.bytes
    # In whole seconds, so options.rb rounds none of these to a timeout that is not valid.
    TIMEOUTS = (0..999_999)
    ROOT = %r{\A(?:/[\w.-]+)+\z}
    TARGET = %r{\Agenerations/([1-9][0-9]{0,14})\z}
    # A manifest as writers write it: its members in this order, without escapes, and nothing unavailable.
    # Facts are texts, lists of texts, or null, so that nothing else looks like the size of an entry.
    MANIFEST = %r{\A
      (?<text>"[^"\\\x00-\x1F]*"){0}
      (?<fact>"(?:(?:id|provider)":[ ]?\g<text>
        |(?!id"|provider")[^"\\\x00-\x1F]*":[ ]?(?:null|\g<text>|\[(?:\g<text>(?:,[ ]?\g<text>)*)?\]))){0}
      (?<entry>[ \n]*"(?<name>\w[\w.-]*(?:/\w[\w.-]*){0,7})":[ ]?\{"path":[ ]?"secrets/\k<name>",
        [ ]?"size":[ ]?(?:0|[1-9][0-9]{0,6}),[ ]?"encoding":[ ]?"(?:utf-8|binary)",
        [ ]?"fetched_at":[ ]?\g<text>,[ ]?"refresh_after":[ ]?(?:null|\g<text>),
        [ ]?"source":[ ]?\{(?=(?:\g<fact>,[ ]?)*"id")(?=(?:\g<fact>,[ ]?)*"provider")\g<fact>(?:,[ ]?\g<fact>)*\}\}){0}
      \{[ \n]*"format":[ ]?"keystart\.manifest/1",[ \n]*"generation":[ ]?(?<generation>[0-9]+),
      [ \n]*"published_at":[ ]?\g<text>,[ \n]*"writer":[ ]?\{"name":[ ]?\g<text>,[ ]?"version":[ ]?\g<text>\},
      [ \n]*"secrets":[ ]?\{(?:\g<entry>(?:,\g<entry>)*+)?
      [ \n]*\},[ \n]*"unavailable":[ ]?\{[ \n]*\}[ \n]*\}[ \n]*\z}nx
    SIZE = %r{"path": ?"secrets/([^"]+)", ?"size": ?([0-9]+)}n

    # Returns a reader of the store that these options name; nil if they need a check (options.rb).
    def self.open(root, timeout)
      root = ENV["KEYSTART_DIR"] || DEFAULT_ROOT if nil == root
      timeout = DEFAULT_TIMEOUT / 1000.0 if nil == timeout && !ENV.key?("KEYSTART_TIMEOUT_MS")
      return unless String === root && (Integer === timeout || Float === timeout) && TIMEOUTS.cover?(timeout)

      root = String.new(root)
      new(-root.force_encoding(Encoding::UTF_8), milliseconds(timeout)) if root.ascii_only? && ROOT.match?(root)
    end

    # Rounds as contract 6.1.4 says.
    def self.milliseconds(seconds) = (seconds * 1000 + 0.5).floor

    attr_reader :root, :timeout
    # The client that reads everything by all steps from now on; nil until something was unusual.
    attr_reader :successor

    # `timeout` is in milliseconds.
    def initialize(root, timeout)
      @root = root
      @timeout = timeout
      @current = "#{root}/current"
      @known = nil
      @successor = nil
    end

    # Forgets all values, because nobody reads them here any more.
    def successor=(client)
      @successor = client
      @known = nil
    end

    # Returns the bytes and the generation of the manifest that was read last; nil if none was.
    def known = @known&.last(2)

    # Returns the bytes of a secret, frozen, and tagged as UTF-8 even if they are not; nil if anything
    # is unusual.
    def value(name)
      return if @successor || !(String === name)

      name = String.new(name) # a derived class may have replaced any method
      target = File.readlink(@current)
      known = @known
      known = read_manifest(target) unless known && known.first == target
      known && (known[1][name] || read_value(known, name))
    rescue SystemCallError
      nil # reader.rb meets the error again
    end

    def inspect = "#<Keystart::Quick root=#{@root.inspect}>"

    private

    # Reads the manifest of a generation. One array has all that is known, so threads see it whole.
    def read_manifest(target)
      number = target.b[TARGET, 1] or return
      text = read(target, "/manifest.json", LONGEST_MANIFEST)
      return unless text&.ascii_only? && MANIFEST.match(text)&.[](:generation) == number

      sizes = text.scan(SIZE).to_h.transform_values(&:to_i)
      return unless sizes.all? { |name, size| name.length <= LONGEST_NAME && size <= LONGEST_VALUE }

      @known = [target, {}, sizes, text, number.to_i]
    end

    def read_value((target, values, sizes), name)
      size = sizes[name] or return
      bytes = read(target, "/secrets/#{name}", size)
      values[name] = bytes.force_encoding(Encoding::UTF_8).freeze if bytes&.bytesize == size
    end

    # Returns the bytes of a file of a generation; nil if it, or a folder on the way to it, is unusual
    # (contract 6.2.2, 6.2.4 to 6.2.8).
    def read(target, path, most)
      root = File.lstat(@root)
      return unless root.directory? && (root.mode & 0o022).zero? && [0, Process.euid].include?(root.uid)

      folder = "#{@root}/#{target}"
      return unless File.lstat("#{@root}/generations").directory?

      from = 0
      while (to = path.index("/", from))
        return unless File.lstat("#{folder}#{path[0, to]}").directory?

        from = to + 1
      end
      bytes = File.open("#{folder}#{path}", FLAGS) do |file|
        stat = file.stat
        file.read(stat.size + 1) || "".b if stat.file? && stat.size <= most
      end
      # A writer that stops overwrites files, once their generation is gone.
      bytes if bytes && bytes.bytesize <= most && File.lstat(folder).directory?
    end
  end
  private_constant :Quick
end
