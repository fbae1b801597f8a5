//! The few DER encodings (ITU-T X.690 §10) that a SubjectPublicKeyInfo needs.

/// Universal tags (X.690 §8.1.2).
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Appends one element with the shortest form of its length.
pub(crate) fn push(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let bytes = content.len().to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let significant = bytes.split_at(zeros).1;
    match (significant, u8::try_from(significant.len())) {
        ([], _) => out.push(0),
        ([short @ 0..=0x7f], _) => out.push(*short),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(significant);
        }
        (_, Err(_)) => {} // a length of 256 bytes can't come from a usize
    }
    out.extend_from_slice(content);
}
