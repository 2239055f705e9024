//! The bytes of a secret in memory: zeroed when dropped, never shown. It does not read or write files.

use std::fmt;

use zeroize::Zeroizing;

/// Owns the bytes of one secret. It has no `Display`, and `Debug` shows nothing, not even the length.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let canary = format!("canary-{}", std::process::id());
        let secret = SecretBytes::from(canary.as_bytes());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "SecretBytes(redacted) Some(SecretBytes(redacted))");
    }
}
