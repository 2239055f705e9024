# frozen_string_literal: true

require "socket"
require_relative "failures"

module Keystart
  # Requests to the writer and its answers, over control.sock (contract §9). It looks at no
  # generation. The first call of refresh or attempt loads it.
  class Control
    FORMAT = "keystart.control/1"
    SOCKET = "control.sock"
    LONGEST = 65_536 # limits.toml: control.line_bytes
    LONGEST_PATH = 100 # limits.toml: control.path_bytes

    # Nobody listens, or something else than an answer came.
    class SilenceError < StandardError; end

    # The time is over.
    class LateError < StandardError; end

    # The time is over, and the backlog was full all the time.
    class BusyError < LateError; end

    def initialize(files, patience)
      @files = files
      @path = "#{files.root}/#{SOCKET}"
      @patience = patience
    end

    # Asks for secrets and folders, or for all if there are none. Returns the answer as a Hash.
    def refresh(names)
      socket = connect
      exchange(socket, request(names))
    ensure
      socket&.close
    end

    # Returns a connection. While the backlog is full (EAGAIN) it tries again.
    def connect
      raise SilenceError unless listening?

      socket = Socket.new(:UNIX, :STREAM)
      socket.connect_nonblock(Socket.sockaddr_un(@path))
      socket
    rescue Errno::EAGAIN
      socket.close
      @patience.pause? ? retry : raise(BusyError)
    rescue Errno::ENOENT, Errno::ECONNREFUSED
      socket.close
      raise SilenceError
    rescue SystemCallError => e
      socket&.close
      raise unreadable(e), cause: nil
    end

    # Sends a line, and returns the answer as a Hash.
    def exchange(socket, line)
      write(socket, line)
      parse(receive_line(socket))
    end

    # Sends a line.
    def write(socket, bytes)
      until bytes.empty?
        sent = socket.write_nonblock(bytes, exception: false)
        next bytes = bytes.byteslice(sent..) unless sent == :wait_writable

        socket.wait_writable(left) || raise(LateError)
      end
    rescue SystemCallError
      raise SilenceError
    end

    private

    # Returns whether a writer may listen there (contract 9.9).
    def listening?
      return false unless @files.root? && @path.bytesize <= LONGEST_PATH

      File.lstat(@path).socket?
    rescue Errno::ENOENT
      false
    rescue SystemCallError => e
      raise unreadable(e), cause: nil
    end

    def unreadable(error) = @files.unreadable(SOCKET, error)

    # Names need no escapes. A list that does not fit into a line asks for all.
    def request(names)
      listed = line("[#{names.map { |name| %("#{name}") }.join(", ")}]")
      names.empty? || listed.bytesize > LONGEST ? line("null") : listed
    end

    def line(names) = %({"format": "#{FORMAT}", "op": "refresh", "names": #{names}}\n)

    # Returns the bytes before the first line feed.
    def receive_line(socket)
      line = "".b
      line << receive(socket, LONGEST - line.bytesize) until line.include?("\n")
      line[/\A[^\n]*/]
    rescue SystemCallError
      raise SilenceError
    end

    # Returns some bytes, at most `most`.
    def receive(socket, most)
      raise SilenceError if most.zero? # the line is too long

      some = socket.read_nonblock(most, exception: false)
      raise SilenceError unless some # the connection has ended
      return some unless some == :wait_readable

      socket.wait_readable(left) || raise(LateError)
      ""
    end

    def left = [@patience.left, 0].max

    # Reads an answer (contract 9.4).
    def parse(line)
      answer = Json.parse(line.force_encoding(Encoding::UTF_8))
      raise SilenceError unless Hash === answer && answer["format"] == FORMAT && whole?(answer)

      answer
    rescue Json::ParseError
      raise SilenceError
    end

    def whole?(answer)
      case answer["ok"]
      when true then Failures.valid?(answer["failures"])
      when false then Failures.failure?(answer["error"])
      else false
      end
    end
  end
  private_constant :Control
end
