//! Text from outside as a message shows it.

use std::fmt::Write;

const QUOTED_BYTES: usize = 64; // limits.toml: quoted.bytes

/// Returns text from outside in double quotes, safe to print (contract 8.3).
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in bytes.iter().take(QUOTED_BYTES) {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let _infallible = write!(out, "\\x{byte:02x}");
            }
            printable => out.push(char::from(*printable)),
        }
    }
    out.push_str(if bytes.len() > QUOTED_BYTES { "...\"" } else { "\"" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_printed_safely() {
        assert_eq!(quoted(b"a b~"), "\"a b~\"");
        assert_eq!(quoted(b"\"\\\n\x7f\xc3\xa9\0"), r#""\x22\x5c\x0a\x7f\xc3\xa9\x00""#);
        assert_eq!(quoted(&[b'a'; 64]), format!("\"{}\"", "a".repeat(64)));
        assert_eq!(quoted(&[b'a'; 65]), format!("\"{}...\"", "a".repeat(64)));
    }
}
