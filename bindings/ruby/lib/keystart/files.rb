# frozen_string_literal: true

module Keystart
  # Something below the root is missing. The client or the snapshot decides whether it was collected
  # meanwhile or is missing for good (contract 6.2.7). In the second case it raises `failure`.
  class MissingError < StandardError
    # `name` is the secret's, or nil for a manifest.
    attr_reader :target, :name, :failure

    def initialize(target, name, failure)
      super("missing")
      @target = target
      @name = name
      @failure = failure
    end
  end
  private_constant :MissingError

  # A value was checked too long ago (contract 11.7). The client or the snapshot decides as for MissingError.
  class StaleError < MissingError; end
  private_constant :StaleError

  # The system calls on the files below one root. It knows neither what they hold nor when to wait.
  class Files
    attr_reader :root

    def initialize(root)
      @root = root
      @current = "#{root}/current"
    end

    # Returns the target of the link to the published generation, or the SystemCallError.
    def current
      File.readlink(@current)
    rescue SystemCallError => e
      e
    end

    # Returns whether there is a `current`, sound or not.
    def published? = File.symlink?(@current)

    # Returns true if the root exists and is safe, false if it is missing (contract 6.2.2).
    def root?
      stat = File.lstat(@root)
      raise insecure("the root is a symbolic link") if stat.symlink?
      raise insecure("the root is not a directory") unless stat.directory?
      raise insecure("the root belongs to another user") unless [Process.euid, 0].include?(stat.uid)
      raise insecure("the root is writable by group or others") unless (stat.mode & 0o022).zero?

      true
    rescue Errno::ENOENT
      false
    rescue SystemCallError => e
      raise unreadable("the root", e)
    end

    # Returns true for a directory, false if it is missing (contract 6.2.4).
    def folder?(path)
      stat = File.lstat("#{@root}/#{path}")
      raise insecure("#{path} is a symbolic link") if stat.symlink?
      raise insecure("#{path} is not a directory") unless stat.directory?

      true
    rescue Errno::ENOENT
      false
    rescue SystemCallError => e
      raise unreadable(path, e)
    end

    # Returns whether nothing is there, not even a link.
    def missing?(path)
      File.lstat("#{@root}/#{path}")
      false
    rescue SystemCallError => e
      Errno::ENOENT === e
    end

    # Returns at most `most` bytes and one more, :irregular if it is not a regular file, or nil if
    # it is missing.
    def read(path, most)
      File.open("#{@root}/#{path}", Quick::FLAGS) do |file|
        stat = file.stat
        stat.file? ? file.read([stat.size, most].min + 1) || "".b : :irregular
      end
    rescue Errno::ENOENT
      nil
    rescue Errno::ELOOP
      raise insecure("#{path} is a symbolic link")
    rescue Errno::ENXIO, Errno::EOPNOTSUPP # contract 8.6
      :irregular
    rescue SystemCallError => e
      raise unreadable(path, e)
    end

    def insecure(what)
      ours? ? Errors.layout_insecure(@root, what) : Errors.layout_insecure_of_other_user(@root, what)
    end

    # Names the errno, because the system's sentence differs between systems and languages.
    def unreadable(path, error) = Errors.store_unreadable(@root, error.class.name.delete_prefix("Errno::"), path)

    private

    def ours?
      File.lstat(@root).uid == Process.euid
    rescue SystemCallError
      false # gone, or may not be looked at
    end
  end
  private_constant :Files
end
