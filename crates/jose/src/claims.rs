//! Registered claims (RFC 7519 §4.1).

use serde_json::Value;

/// The largest integer that every JSON implementation reads alike (RFC 7493 §2.2).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The `aud` claim: one string or an array of strings (RFC 7519 §4.1.3).
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a>(&'a Value);

impl<'a> Audience<'a> {
    /// Reads the claim.
    #[must_use]
    pub const fn new(claim: &'a Value) -> Self {
        Self(claim)
    }

    /// Whether `audience` is one of the intended ones.
    #[must_use]
    pub fn contains(&self, audience: &str) -> bool {
        match self.0 {
            Value::String(one) => one == audience,
            Value::Array(many) => many.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// Whether the claim is a string or an array of strings.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        match self.0 {
            Value::String(_) => true,
            Value::Array(many) => many.iter().all(Value::is_string),
            _ => false,
        }
    }
}

/// A NumericDate (RFC 7519 §2) in whole Unix seconds; fractions are dropped. `None` for anything
/// that is negative, no number, or beyond 2^53 − 1.
#[must_use]
pub fn numeric_date(claim: &Value) -> Option<u64> {
    let secs = match claim.as_u64() {
        Some(secs) => secs,
        // Rare: an issuer that writes fractions. The text is the exact value.
        None => claim
            .as_f64()
            .filter(|secs| *secs >= 0.0)?
            .trunc()
            .to_string()
            .parse()
            .ok()?,
    };
    (secs <= MAX_SAFE_INTEGER).then_some(secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn audiences_are_strings_or_arrays() {
        for (claim, expected) in [
            (json!("a"), true),
            (json!(["b", "a"]), true),
            (json!("ab"), false),
            (json!(["b"]), false),
            (json!([]), false),
            (json!({"a": "a"}), false),
            (json!(null), false),
        ] {
            assert_eq!(Audience::new(&claim).contains("a"), expected, "{claim}");
        }
        assert!(!Audience::new(&json!(["a", 1])).is_well_formed());
    }

    #[test]
    fn numeric_dates_are_safe_integers() {
        for (claim, expected) in [
            (json!(0), Some(0)),
            (json!(1_795_295_166), Some(1_795_295_166)),
            (json!(1_795_295_166.9), Some(1_795_295_166)),
            (
                json!(9_007_199_254_740_991_u64),
                Some(9_007_199_254_740_991),
            ),
            (json!(9_007_199_254_740_992_u64), None),
            (json!(1e300), None),
            (json!(-1), None),
            (json!(-0.5), None),
            (json!("1"), None),
            (json!(null), None),
        ] {
            assert_eq!(numeric_date(&claim), expected, "{claim}");
        }
    }
}
