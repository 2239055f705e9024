//! TLS: which versions and ciphers count, and how the chain of a host is verified.

use std::sync::{Arc, Mutex};

use keystart_process::lock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite as suite, default_provider};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::refusal::Refusal;

/// Makes the configuration for all connections of a fetch: TLS 1.2 and 1.3, with the ciphers of AWS's own client.
pub(super) fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, Refusal> {
    let failed = || Refusal::new("InvalidCaBundle", "TLS cannot be set up with these authorities.");
    let suites = vec![
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..default_provider() });
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let webpki = webpki.build().map_err(|_| failed())?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|_| failed())?.dangerous();
    let verifier = ChainVerifier { webpki, sound: Mutex::default() };
    let mut config = config.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    // The connections of a fetch are opened together, so no ticket comes in time for another one.
    config.resumption = Resumption::disabled();
    // Without it, a server that speaks HTTP/2 alone accepts the connection and then speaks that.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The verifier of rustls, which verifies a chain of certificates once for a host.
///
/// The connections of a fetch are opened together, to the same host. Each server still proves with a
/// signature in its handshake that it has the key of its certificate.
#[derive(Debug)]
struct ChainVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    sound: Mutex<Vec<SoundChain>>,
}

/// A chain that was verified for a host.
#[derive(Debug)]
struct SoundChain {
    host: ServerName<'static>,
    certificates: Vec<CertificateDer<'static>>,
}

impl SoundChain {
    fn is(&self, host: &ServerName<'_>, first: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> bool {
        self.host == *host && self.certificates.split_first() == Some((first, others))
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if lock(&self.sound).iter().any(|sound| sound.is(host, first, others)) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.webpki.verify_server_cert(first, others, host, ocsp, now)?;
        let certificates = [first].into_iter().chain(others).map(|certificate| certificate.clone().into_owned());
        lock(&self.sound).push(SoundChain { host: host.to_owned(), certificates: certificates.collect() });
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
    use rustls::sign::CertifiedKey;
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        CertificateError, ClientConnection, ConnectionCommon, ServerConnection, SideData, SupportedProtocolVersion,
    };
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    /// An authority that the client trusts.
    struct Authority(Issuer<'static, KeyPair>);

    impl Authority {
        fn new() -> (Self, Certificate) {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let own = params.self_signed(&key).unwrap();
            (Self(Issuer::new(params, key)), own)
        }

        /// Returns what a server presents: the chain of a host, and a key, by default the chain's own.
        fn server(&self, host: &str, key: Option<KeyPair>) -> Server {
            let own = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&own, &self.0).unwrap();
            Server { chain: vec![certificate.der().clone()], key: key.unwrap_or(own) }
        }
    }

    struct Server {
        chain: Vec<CertificateDer<'static>>,
        key: KeyPair,
    }

    impl Server {
        fn with_key(&self, key: KeyPair) -> Self {
            Self { chain: self.chain.clone(), key }
        }
    }

    /// Presents a chain whether the key is that of its certificate or not.
    #[derive(Debug)]
    struct Presented(Arc<CertifiedKey>);

    impl ResolvesServerCert for Presented {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    /// Shakes hands with a server as a host, and returns why the client refuses it.
    fn shake_hands(
        config: &Arc<ClientConfig>,
        host: &str,
        server: &Server,
        version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        shake_hands_for(config, host, server, version, b"http/1.1")
    }

    /// Shakes hands with a server that speaks one protocol alone.
    fn shake_hands_for(
        config: &Arc<ClientConfig>,
        host: &str,
        server: &Server,
        version: &'static SupportedProtocolVersion,
        protocol: &[u8],
    ) -> Result<(), Error> {
        let key = PrivateKeyDer::try_from(server.key.serialize_der()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        let presented = Presented(Arc::new(CertifiedKey::new(server.chain.clone(), key)));
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let mut of_server = builder.with_no_client_auth().with_cert_resolver(Arc::new(presented));
        of_server.alpn_protocols = vec![protocol.to_vec()];
        let mut server = ServerConnection::new(Arc::new(of_server)).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
        while client.is_handshaking() {
            pass(&mut client, &mut server);
            server.process_new_packets()?;
            pass(&mut server, &mut client);
            client.process_new_packets()?;
        }
        Ok(())
    }

    fn pass<A: SideData, B: SideData>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes).unwrap();
        }
    }

    fn config_of(authority: &Certificate) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        config(roots).unwrap()
    }

    fn other_key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    #[test]
    fn a_chain_that_was_verified_counts_only_with_its_own_key() {
        for version in [&TLS12, &TLS13] {
            let (authority, own) = Authority::new();
            let (config, server) = (config_of(&own), authority.server("a.test", None));
            let forged = server.with_key(other_key());
            for _ in 0..2 {
                assert_eq!(shake_hands(&config, "a.test", &server, version), Ok(()), "{version:?}");
                let refused = shake_hands(&config, "a.test", &forged, version);
                assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::BadSignature)), "{version:?}");
            }
        }
    }

    #[test]
    fn a_chain_that_was_verified_counts_for_no_other_host() {
        let (authority, own) = Authority::new();
        let (config, of_a, of_b) =
            (config_of(&own), authority.server("a.test", None), authority.server("b.test", None));
        for (host, server) in [("a.test", &of_a), ("b.test", &of_b), ("a.test", &of_a)] {
            assert_eq!(shake_hands(&config, host, server, &TLS13), Ok(()), "{host}");
        }
        for (host, server) in [("a.test", &of_b), ("b.test", &of_a), ("c.test", &of_a)] {
            let refused = shake_hands(&config, host, server, &TLS13);
            let is_of_name = |error: &Error| {
                matches!(error, Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }))
            };
            assert!(refused.as_ref().is_err_and(is_of_name), "{host}: {refused:?}");
        }
    }

    #[test]
    fn a_chain_of_another_authority_is_refused_each_time() {
        let ((ours, own), (stranger, _)) = (Authority::new(), Authority::new());
        let config = config_of(&own);
        assert_eq!(shake_hands(&config, "a.test", &ours.server("a.test", None), &TLS13), Ok(()));
        let foreign = stranger.server("a.test", None);
        for _ in 0..2 {
            let refused = shake_hands(&config, "a.test", &foreign, &TLS13);
            assert!(matches!(refused, Err(Error::InvalidCertificate(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_server_of_http_2_alone_refuses_the_connection() {
        for version in [&TLS12, &TLS13] {
            let (authority, own) = Authority::new();
            let (config, server) = (config_of(&own), authority.server("a.test", None));
            assert_eq!(shake_hands_for(&config, "a.test", &server, version, b"http/1.1"), Ok(()));
            assert_eq!(
                shake_hands_for(&config, "a.test", &server, version, b"h2"),
                Err(Error::NoApplicationProtocol),
                "{version:?}"
            );
        }
    }

    #[test]
    fn the_chain_of_a_host_is_verified_once() {
        let (authority, own) = Authority::new();
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).unwrap();
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let verifier = ChainVerifier { webpki: webpki.build().unwrap(), sound: Mutex::default() };
        let (server, host) = (authority.server("a.test", None), ServerName::try_from("a.test").unwrap());
        let verify = || verifier.verify_server_cert(&server.chain[0], &server.chain[1..], &host, &[], UnixTime::now());
        assert!(verify().is_ok() && verify().is_ok());
        assert_eq!(lock(&verifier.sound).len(), 1);
    }
}
