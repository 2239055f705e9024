//! The certificate authorities to trust: those of `AWS_CA_BUNDLE` or of the AWS profile, else the bundled ones.

use std::ffi::OsString;

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keystart_config::files::FileError;
use rustix::io::Errno;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use webpki::anchor_from_trusted_cert;

use crate::files;
use crate::refusal::Refusal;

/// Loads the authorities from a file, or the bundled ones. The bundled ones serve an image that has none.
pub(super) async fn context(bundle: Option<(String, OsString)>) -> Result<TlsContext, Refusal> {
    let pem = match bundle {
        None => bundled(),
        Some((source, path)) => read(&source, path).await?,
    };
    let context = TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(pem)).build();
    context.map_err(|_| Refusal::new("InvalidCaBundle", "TLS cannot be set up with these authorities."))
}

/// Reads a file of authorities, and refuses it if one of them cannot be parsed.
pub(super) async fn read(source: &str, path: OsString) -> Result<Vec<u8>, Refusal> {
    let wrong = |what: &str| Refusal::new("InvalidCaBundle", format!("{source} {what}. Correct or unset it."));
    let read = files::on_a_thread(move || files::read(path.as_ref())).await;
    let pem = read.unwrap_or(Err(FileError::System(Errno::IO))).map_err(|error| wrong(&files::reason(error)))?;
    // The client panics if it cannot parse one.
    if is_sound(&pem) { Ok(pem) } else { Err(wrong("names a file that holds no certificate, or a broken one")) }
}

fn is_sound(pem: &[u8]) -> bool {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.is_ok_and(|all| !all.is_empty() && all.iter().all(|one| anchor_from_trusted_cert(one).is_ok()))
}

/// Returns the bundled authorities as PEM, because the client takes nothing else.
fn bundled() -> Vec<u8> {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        STANDARD.encode_string(certificate, &mut pem);
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}
