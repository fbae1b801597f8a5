//! PEM (RFC 7468), read leniently about white space and written in one way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// Columns of a PEM body (RFC 7468 §2).
const COLUMNS: usize = 64;

/// Decodes the one PEM block labelled `label` that `text` consists of; white space is ignored.
///
/// # Errors
/// [`Error::BadPem`] for another label, a second block, or a body that isn't padded base64.
pub fn decode_pem(label: &str, text: &str) -> Result<Vec<u8>, Error> {
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .and_then(|rest| rest.strip_suffix(&format!("-----END {label}-----")))
        .ok_or(Error::BadPem)?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(&body).map_err(|_| Error::BadPem)
}

/// Encodes one PEM block: 64 columns, LF, and no newline after the last line.
#[must_use]
pub fn encode_pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / COLUMNS + 2 * label.len() + 36);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while let Some((line, tail)) = rest.split_at_checked(COLUMNS) {
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_64_columns_and_no_trailing_newline() {
        assert_eq!(
            encode_pem("X", &[0; 49]),
            format!(
                "-----BEGIN X-----\n{}\nAA==\n-----END X-----",
                "A".repeat(64)
            )
        );
        assert_eq!(encode_pem("X", &[0; 48]).lines().count(), 3);
    }

    #[test]
    fn reads_what_it_writes_and_ignores_white_space() {
        for len in [0, 1, 47, 48, 49, 200] {
            let bytes = vec![7; len];
            let text = encode_pem("PUBLIC KEY", &bytes);
            assert_eq!(decode_pem("PUBLIC KEY", &text), Ok(bytes.clone()));
            let spaced = text.replace('\n', "\r\n  \t") + "\n\n";
            assert_eq!(decode_pem("PUBLIC KEY", &spaced), Ok(bytes));
        }
    }

    #[test]
    fn refuses_other_labels_and_second_blocks() {
        let text = encode_pem("PUBLIC KEY", &[1, 2, 3]);
        assert_eq!(decode_pem("CERTIFICATE", &text), Err(Error::BadPem));
        assert_eq!(
            decode_pem("PUBLIC KEY", &format!("{text}\n{text}")),
            Err(Error::BadPem)
        );
        assert_eq!(decode_pem("PUBLIC KEY", "AQID"), Err(Error::BadPem));
        assert_eq!(decode_pem("PUBLIC KEY", ""), Err(Error::BadPem));
    }
}
