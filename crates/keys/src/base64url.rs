//! Base64 in the two alphabets of RFC 4648.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Encodes as base64url without padding (RFC 4648 §5).
#[must_use]
pub fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Encodes as standard base64 with padding (RFC 4648 §4).
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes canonical base64url without padding, as JOSE demands (RFC 7515 §2).
#[must_use]
pub fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes base64url or standard base64, padded or not: what clients send as a proof of possession.
#[must_use]
pub fn decode_base64_any(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    if text.len() - unpadded.len() > 2 || unpadded.is_empty() {
        return None;
    }
    if unpadded.contains(['+', '/']) {
        let padding = unpadded.len().next_multiple_of(4) - unpadded.len();
        STANDARD.decode(format!("{unpadded}{:=<padding$}", "")).ok()
    } else {
        URL_SAFE_NO_PAD.decode(unpadded).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_both_alphabets_with_and_without_padding() {
        let bytes = [0xfb, 0xff, 0xbf, 0x01];
        for text in ["-_-_AQ", "-_-_AQ==", "+/+/AQ==", "+/+/AQ"] {
            assert_eq!(
                decode_base64_any(text).as_deref(),
                Some(&bytes[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in ["", "=", "A", "AQ===", "A Q", "+_AQ", "AQ=A", "AR", "é"] {
            assert_eq!(decode_base64_any(text), None, "{text}");
        }
    }

    #[test]
    fn jose_text_has_no_padding_and_one_alphabet() {
        assert_eq!(
            decode_base64url("-_-_AQ"),
            Some(vec![0xfb, 0xff, 0xbf, 0x01])
        );
        for text in ["-_-_AQ==", "+/+/AQ", "AR"] {
            assert_eq!(decode_base64url(text), None, "{text}");
        }
    }
}
