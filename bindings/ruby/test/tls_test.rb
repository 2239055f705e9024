# frozen_string_literal: true

require "support"
require "net/http"
require "openssl"
require "pp"
require "socket"

class TlsTest < KeystartTest
  # Makes an authority, one below it, and certificates for both ends, new in each run.
  module Certificates
    module_function

    def key = OpenSSL::PKey::EC.generate("prime256v1")

    def certificate(name, key, issuer, signer, authority: false)
      made = OpenSSL::X509::Certificate.new
      made.version = 2
      made.serial = rand(2**64)
      made.subject = OpenSSL::X509::Name.new([["CN", name]])
      made.issuer = issuer&.subject || made.subject
      made.public_key = key
      made.not_before = Time.now - 60
      made.not_after = Time.now + 3600
      extensions = OpenSSL::X509::ExtensionFactory.new(issuer || made, made)
      made.add_extension(extensions.create_extension("basicConstraints", authority ? "CA:TRUE" : "CA:FALSE", true))
      made.add_extension(extensions.create_extension("subjectAltName", "DNS:localhost")) unless authority
      made.sign(signer, "SHA256")
    end

    ROOT_KEY = key
    ROOT = certificate("root", ROOT_KEY, nil, ROOT_KEY, authority: true)
    MIDDLE_KEY = key
    MIDDLE = certificate("middle", MIDDLE_KEY, ROOT, ROOT_KEY, authority: true)
    SERVER_KEY = key
    SERVER = certificate("server", SERVER_KEY, ROOT, ROOT_KEY)
    CLIENT_KEY = key
    CLIENT = certificate("client", CLIENT_KEY, MIDDLE, MIDDLE_KEY)
    PARTS = { "tls/cert" => CLIENT.to_pem + MIDDLE.to_pem, "tls/key" => CLIENT_KEY.to_pem }.freeze
    WITH_CA = PARTS.merge("tls/ca" => ROOT.to_pem).freeze
  end

  def test_a_server_that_wants_a_certificate_accepts_the_one_of_the_store
    @store.publish(1, Certificates::WITH_CA)
    serve do |port|
      [@client, @client.snapshot].each { |reader| assert_equal "/CN=client", ask(port, reader.tls("tls")) }
    end
  end

  def test_only_the_authority_of_the_store_is_trusted
    key = Certificates.key
    other = Certificates.certificate("other", key, nil, key, authority: true)
    @store.publish(1, Certificates::PARTS.merge("tls/ca" => other.to_pem))
    serve { |port| assert_raises(OpenSSL::SSL::SSLError) { ask(port, @client.tls("tls")) } }
  end

  def test_a_part_that_is_not_text_is_reported_by_its_name
    Certificates::WITH_CA.keys.each.with_index(1) do |name, number|
      @store.publish(number, Certificates::WITH_CA.merge(name => "\xff"))
      error = assert_raises(Keystart::SecretNotText) { @client.tls("tls") }
      assert_equal name, error.secret
    end
  end

  def test_an_authority_that_is_not_a_certificate_is_an_error
    @store.publish(1, Certificates::WITH_CA.merge("tls/ca" => "no PEM"))
    assert_equal "tls/ca", assert_fails(Keystart::TlsInvalid) { @client.tls("tls") }.secret
    unreadable = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    @store.publish(2, Certificates::WITH_CA.merge("tls/ca" => unreadable))
    assert_raises(OpenSSL::OpenSSLError) { @client.tls("tls") }
  end

  def test_without_an_authority_those_of_the_system_are_trusted
    @store.publish(1, Certificates::PARTS)
    options = @client.tls("tls")
    assert_equal %i[use_ssl cert key extra_chain_cert], options.keys
    serve { |port| assert_raises(OpenSSL::SSL::SSLError) { ask(port, options) } }
  end

  def test_a_certificate_without_a_chain_has_no_chain
    @store.publish(1, Certificates::WITH_CA.merge("tls/cert" => Certificates::CLIENT.to_pem))
    assert_equal %i[use_ssl cert key cert_store], @client.tls("tls").keys
  end

  def test_an_authority_that_could_not_be_fetched_is_an_error_not_other_trust
    @store.publish(1, Certificates::PARTS, unavailable: { "tls/ca" => { "code" => "C", "message" => "m" } })
    assert_equal "tls/ca", assert_fails(Keystart::SecretUnavailable) { @client.tls("tls") }.secret
  end

  def test_certificate_and_key_come_from_one_generation
    other = Certificates.key
    later = { "tls/cert" => Certificates.certificate("later", other, nil, other).to_pem, "tls/key" => other.to_pem }
    @store.publish(1, Certificates::PARTS)
    publish_after_reading("generations/1/secrets/tls/cert") { @store.publish(2, later) }
    options = @client.tls("tls")
    assert options[:cert].check_private_key(options[:key])
    assert_equal "/CN=client", options[:cert].subject.to_s
  end

  def test_a_generation_that_is_collected_meanwhile_is_left_for_the_next
    other = Certificates.key
    later = { "tls/cert" => Certificates.certificate("later", other, nil, other).to_pem, "tls/key" => other.to_pem }
    @store.publish(1, Certificates::PARTS)
    publish_after_reading("generations/1/secrets/tls/cert") do
      @store.publish(2, later)
      @store.collect(1)
    end
    options = @client.tls("tls")
    assert options[:cert].check_private_key(options[:key])
    assert_equal "/CN=later", options[:cert].subject.to_s
  end

  def test_the_options_do_not_show_the_key
    @store.publish(1, Certificates::WITH_CA)
    inner = Certificates::CLIENT_KEY.to_pem.lines[1].chomp
    shown = [@client.tls("tls").inspect, @client.tls("tls").to_s, @client.tls("tls").pretty_inspect]
    shown.each { |text| refute_includes text, inner }
  end

  def test_a_key_with_a_passphrase_is_refused_without_asking_for_one
    encrypted = Certificates::CLIENT_KEY.to_pem(OpenSSL::Cipher.new("aes-128-cbc"), "passphrase")
    @store.publish(1, Certificates::PARTS.merge("tls/key" => encrypted))
    assert_fails(Keystart::TlsInvalid) { @client.tls("tls") }
  end

  private

  # Starts a server that asks for a certificate and answers with its subject.
  def serve
    server = OpenSSL::SSL::SSLServer.new(TCPServer.new("127.0.0.1", 0), server_context)
    port = server.to_io.local_address.ip_port
    thread = Thread.new { loop { answer(server) } }
    yield port
  ensure
    thread&.kill&.join
    server&.close
  end

  def answer(server)
    connection = server.accept
    body = connection.peer_cert.subject.to_s
    nil until connection.gets.chomp.empty?
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}")
    connection.close
  rescue OpenSSL::SSL::SSLError, Errno::ECONNRESET
    # A client that does not trust this server hangs up. That test checks the client's side.
  end

  def server_context
    context = OpenSSL::SSL::SSLContext.new
    context.cert = Certificates::SERVER
    context.key = Certificates::SERVER_KEY
    context.verify_mode = OpenSSL::SSL::VERIFY_PEER | OpenSSL::SSL::VERIFY_FAIL_IF_NO_PEER_CERT
    context.cert_store = OpenSSL::X509::Store.new.add_cert(Certificates::ROOT)
    context
  end

  def ask(port, options)
    Net::HTTP.start("localhost", port, nil, ipaddr: "127.0.0.1", **options) { |http| http.get("/").body }
  end

  # Runs the block once, between the read of this file and of the next.
  def publish_after_reading(file)
    store = strict_files(@client)
    original = store.method(:read)
    store.define_singleton_method(:read) do |path, most|
      original.call(path, most).tap { yield if path == file }
    end
  end
end
