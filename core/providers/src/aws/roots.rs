//! The certificate authorities to trust: those of `AWS_CA_BUNDLE` or of the AWS profile, else the bundled ones.
//!
//! Of the bundled ones the library has only the names and keys that a chain is compared with, so nothing is parsed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use keystart_config::files::{FileError, read_at_most};
use rustix::io::Errno;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use webpki::anchor_from_trusted_cert;

use crate::files;
use crate::refusal::Refusal;

/// The most certificates in a folder. Debian's has 140.
const MOST_FILES: usize = 4_096;
/// The ends of the subjects of authorities that Mozilla has dropped. webpki-roots 1.0.10 still has them.
const DROPPED: [&[u8]; 2] = [b"emSign Root CA - C1", b"emSign ECC Root CA - C3"];

/// Loads the authorities from a file or a folder, or the bundled ones. The bundled ones serve an image that has none.
pub(super) async fn load(bundle: Option<(String, OsString)>) -> Result<RootCertStore, Refusal> {
    let Some((source, path)) = bundle else {
        return Ok(bundled());
    };
    let mut roots = RootCertStore::empty();
    for certificate in read(&source, path).await? {
        roots.add(certificate).map_err(|_| wrong(&source, "holds a broken certificate"))?;
    }
    Ok(roots)
}

/// Returns the authorities that Mozilla trusts.
fn bundled() -> RootCertStore {
    let is_dropped = |subject: &[u8]| DROPPED.iter().any(|end| subject.ends_with(end));
    webpki_roots::TLS_SERVER_ROOTS.iter().filter(|root| !is_dropped(&root.subject)).cloned().collect()
}

/// Reads the authorities in a file or a folder, and refuses all if one of them cannot be parsed.
pub(super) async fn read(source: &str, path: OsString) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let read = files::on_a_thread(move || authorities(Path::new(&path))).await;
    let unread = || Err(files::reason(FileError::System(Errno::IO)));
    read.unwrap_or_else(unread).map_err(|what| wrong(source, &what))
}

fn wrong(source: &str, what: &str) -> Refusal {
    Refusal::new("InvalidCaBundle", format!("{source} {what}. Correct or unset it."))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    if path.is_dir() {
        return in_folder(path);
    }
    let file = files::read(path).map_err(files::reason)?;
    let found = certificates(&file).filter(|found| !found.is_empty());
    found.ok_or_else(|| "names a file that holds no certificate for servers, or a broken one".to_owned())
}

/// Reads a folder as OpenSSL does: the files that are named by the hash of a subject, such as `5ed36f99.0`.
fn in_folder(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: io::Error| format!("names a folder that cannot be read: {}", error.kind());
    let (mut found, mut left, mut files) = (Vec::new(), files::LARGEST, 0);
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if !is_hashed(name.as_encoded_bytes()) {
            continue;
        }
        files += 1;
        let file = match read_at_most(&path.join(name), left) {
            Ok(file) if files <= MOST_FILES => file,
            Ok(_) | Err(FileError::TooLarge) => {
                return Err(format!("names a folder of certificates with more than {} bytes", files::LARGEST));
            }
            // The link of a certificate that was removed: OpenSSL does not find it either.
            Err(FileError::System(Errno::NOENT)) => continue,
            Err(_) => return Err("names a folder with a certificate that cannot be read".to_owned()),
        };
        left -= file.len() as u64;
        found.extend(certificates(&file).ok_or("names a folder with a broken certificate")?);
    }
    if found.is_empty() {
        return Err("names a folder without certificates under the names that openssl rehash makes".to_owned());
    }
    Ok(found)
}

/// Returns whether a file has a name under which OpenSSL looks for certificates.
fn is_hashed(name: &[u8]) -> bool {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() > 9 && name[8] == b'.' && name[..8].iter().all(hex) && name[9..].iter().all(u8::is_ascii_digit)
}

/// Returns the certificates in a file that OpenSSL trusts for servers; `None` if one of them is broken.
fn certificates(file: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    // What OpenSSL writes too: the second label is an old name, and the first one has settings behind the certificate.
    let text = String::from_utf8_lossy(file)
        .replace(" TRUSTED CERTIFICATE-----", " CERTIFICATE-----")
        .replace(" X509 CERTIFICATE-----", " CERTIFICATE-----");
    let mut found = Vec::new();
    for section in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let section = section.ok()?;
        let (certificate, settings) = split(&section)?;
        if is_for_servers(settings)? {
            let certificate = CertificateDer::from(certificate.to_vec());
            anchor_from_trusted_cert(&certificate).ok()?;
            found.push(certificate);
        }
    }
    Some(found)
}

/// Returns whether the settings of a trusted certificate (OpenSSL's `X509_CERT_AUX`) allow it for servers: a list of
/// uses must name that one, and a list of refused uses must not. `None` if they are broken.
fn is_for_servers(settings: &[u8]) -> Option<bool> {
    const USES: u8 = 0x30;
    const REFUSED: u8 = 0xa0;
    const SERVERS: [&[u8]; 2] = [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1], &[6, 4, 0x55, 0x1d, 0x25, 0]]; // or any use
    if settings.is_empty() {
        return Some(true);
    }
    let names_servers = |list: &[u8]| SERVERS.iter().any(|use_| list.windows(use_.len()).any(|part| part == *use_));
    let mut rest = content(settings)?;
    while !rest.is_empty() {
        let (part, behind) = split(rest)?;
        match part[0] {
            USES if !names_servers(part) => return Some(false),
            REFUSED if names_servers(part) => return Some(false),
            _ => rest = behind,
        }
    }
    Some(true)
}

/// Splits what is behind the first element of DER from it.
fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = measure(der)?;
    (der.len() - head >= length).then(|| der.split_at(head + length))
}

/// Returns what is inside the first element of DER.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (head, _) = measure(der)?;
    Some(&split(der)?.0[head..])
}

/// Returns the lengths of the head and of the content of the first element of DER.
fn measure(der: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*der.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let digits = der.get(2..2 + (first & 0x7f))?;
    let value = |length: usize, digit: &u8| length.checked_mul(256)?.checked_add(usize::from(*digit));
    Some((2 + digits.len(), digits.iter().try_fold(0, value)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rustls_pki_types::TrustAnchor;

    use super::*;

    #[test]
    fn the_bundled_authorities_are_those_of_mozillas_list() {
        let of_list =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| anchor_from_trusted_cert(root).unwrap());
        let key = |root: &TrustAnchor| (root.subject.to_vec(), root.subject_public_key_info.to_vec());
        let list: BTreeMap<_, _> = of_list.map(|root| (key(&root), root.name_constraints)).collect();
        let ours: BTreeMap<_, _> =
            bundled().roots.into_iter().map(|root| (key(&root), root.name_constraints)).collect();
        assert!(ours.keys().eq(list.keys()) && ours.len() > 100, "{} and {}", ours.len(), list.len());
        // The bundled ones have the limits of their certificates, or others that Mozilla sets.
        assert!(list.iter().all(|(key, limits)| limits.is_none() || ours[key].is_some()));
    }

    #[test]
    fn only_the_names_of_hashes_count_in_a_folder() {
        for name in ["5ed36f99.0", "00000000.12"] {
            assert!(is_hashed(name.as_bytes()), "{name}");
        }
        for name in ["5ed36f99.r0", "5ed36f99.", "5ED36F99.0", "5ed36f9.00", "ca-certificates.crt", "5ed36f99.0~"] {
            assert!(!is_hashed(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn settings_behind_a_certificate_decide_whether_it_is_for_servers() {
        const SERVER: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
        const CLIENT: &[u8] = &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
        let nest = |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
        let settings = |lists: &[Vec<u8>]| is_for_servers(&nest(0x30, &lists.concat()));
        assert_eq!(is_for_servers(&[]), Some(true));
        assert_eq!(settings(&[]), Some(true));
        assert_eq!(settings(&[nest(0x30, SERVER)]), Some(true));
        assert_eq!(settings(&[nest(0x30, CLIENT)]), Some(false));
        assert_eq!(settings(&[nest(0x30, &[CLIENT, SERVER].concat())]), Some(true));
        assert_eq!(settings(&[nest(0xa0, CLIENT)]), Some(true));
        assert_eq!(settings(&[nest(0x30, CLIENT), nest(0xa0, SERVER)]), Some(false));
        assert_eq!(settings(&[nest(0xa0, SERVER)]), Some(false));
        assert_eq!(is_for_servers(&[0x30]), None);
        assert_eq!(is_for_servers(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
