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

/// Splits one element off: its content, and what follows it. Lengths may have up to two bytes, and
/// that they are the shortest ones isn't checked: whoever reads writes again and compares.
pub(crate) fn take(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match input {
        [first, short @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*short), rest),
        [first, 0x81, low, rest @ ..] if *first == tag => (usize::from(*low), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
