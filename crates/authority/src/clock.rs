//! The time, as objects have it.
//!
//! In an object the platform's clock never goes back: where the machine's was ahead and was put right, it stands still
//! until it is caught up with, be that hours. A worker's clock goes back, so each message to an object says when it was
//! sent, and an object goes by that where its own is far from it.

/// How far an object's clock may be from what it was told last, in milliseconds: longer than any work takes that a
/// message has it do.
const APART_MILLIS: u64 = 15_000;
/// How much later another message may have been sent than one that arrives after it, in milliseconds.
const OVERTAKEN_MILLIS: u64 = 1_000;

/// What objects were told of the time last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told(Option<u64>);

impl Told {
    /// Takes the time at which a message was sent, in Unix milliseconds.
    #[must_use]
    pub const fn hear(self, at: u64) -> Self {
        match self.0 {
            Some(told) if at < told && told - at <= OVERTAKEN_MILLIS => self,
            _ => Self(Some(at)),
        }
    }

    /// What time it is, if an object's own clock says `own`; both in Unix milliseconds.
    #[must_use]
    pub const fn now(self, own: u64) -> u64 {
        match self.0 {
            Some(told) if own.saturating_sub(told) > APART_MILLIS => told,
            _ => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_still_is_gone_by_no_longer() {
        assert_eq!(
            Told::default().now(1_000_000),
            1_000_000,
            "nothing was told"
        );
        let told = Told::default().hear(1_000_000);
        for own in [999_000, 1_000_000, 1_000_007, 1_015_000] {
            assert_eq!(told.now(own), own);
        }
        // The machine's was put back by an hour.
        assert_eq!(told.now(4_600_000), 1_000_000);
        assert_eq!(told.hear(1_000_250).now(4_600_000), 1_000_250);
    }

    #[test]
    fn messages_may_overtake_each_other() {
        let told = Told::default().hear(1_000_000);
        assert_eq!(told.hear(999_000), told);
        assert_eq!(told.hear(998_999).now(9_000_000), 998_999, "put back again");
    }
}
