//! Slowing down whoever tries codes: per source, and all wrong ones together, and never for good.

use std::collections::VecDeque;

use crate::limits::Bucket;

/// Wrong tries a source may make at once, and per minute afterwards.
const PER_SOURCE: u32 = 5;
/// Wrong tries that all sources together may make at once, and per minute afterwards. A code
/// is 16 random characters and more: this is about noise, not about luck, so it stops no right one.
const IN_TOTAL: u32 = 60;
/// Sources that are remembered; the one that was quiet for longest is forgotten first.
const MAX_SOURCES: usize = 1024;

/// The wrong tries of late. Times are Unix seconds.
#[derive(Debug)]
pub struct Throttle {
    total: Bucket,
    sources: VecDeque<(String, Bucket)>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            total: Bucket::new(IN_TOTAL, 0),
            sources: VecDeque::new(),
        }
    }
}

impl Throttle {
    /// Whether somebody at `source` may try now; if not, in how many seconds. What others do keeps nobody from it.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn permit(&self, source: &str, now: u64) -> Result<(), u64> {
        let own = self.sources.iter().find(|(name, _)| name == source);
        let wait = own.and_then(|(_, bucket)| bucket.wait(now));
        wait.map_or(Ok(()), Err)
    }

    /// Counts a wrong try, whosever it is.
    ///
    /// # Errors
    /// The seconds to wait, if all together have made too many: nothing more is said of this one.
    pub fn failed(&mut self, source: Option<&str>, now: u64) -> Result<(), u64> {
        if let Some(source) = source {
            self.take(source, now);
        }
        match self.total.wait(now) {
            Some(secs) => Err(secs),
            None => {
                self.total.take(now);
                Ok(())
            }
        }
    }

    fn take(&mut self, source: &str, now: u64) {
        let known = self.sources.iter().position(|(name, _)| name == source);
        let (name, mut bucket) = known
            .and_then(|at| self.sources.remove(at))
            .unwrap_or_else(|| (source.to_owned(), Bucket::new(PER_SOURCE, now)));
        bucket.take(now);
        if self.sources.len() >= MAX_SOURCES {
            self.sources.pop_front();
        }
        self.sources.push_back((name, bucket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_five_tries_and_then_one_in_twelve_seconds() {
        let mut throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(throttle.permit("a", 1000), Ok(()));
            throttle.failed(Some("a"), 1000).unwrap();
        }
        assert_eq!(throttle.permit("a", 1000), Err(12));
        assert_eq!(throttle.permit("b", 1000), Ok(()));
        assert_eq!(throttle.permit("a", 1011), Err(1));
        assert_eq!(throttle.permit("a", 1012), Ok(()));
        throttle.failed(Some("a"), 1012).unwrap();
        assert_eq!(throttle.permit("a", 1012), Err(12));
        assert_eq!(throttle.permit("a", 1012 + 60), Ok(()));
    }

    #[test]
    fn all_wrong_tries_together_are_counted_and_keep_nobody_from_trying() {
        let mut throttle = Throttle::default();
        for i in 0..60 {
            assert_eq!(throttle.permit(&format!("{i}"), 1000), Ok(()));
            assert_eq!(throttle.failed(Some(&format!("{i}")), 1000), Ok(()));
        }
        assert_eq!(throttle.failed(Some("60"), 1000), Err(1));
        assert_eq!(throttle.failed(None, 1000), Err(1));
        assert_eq!(throttle.permit("operator", 1000), Ok(()));
        assert_eq!(throttle.failed(None, 1001), Ok(()));
        assert_eq!(throttle.failed(None, 1001), Err(1));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_clocks_may_go_back() {
        let mut throttle = Throttle::default();
        for i in 0..3000 {
            throttle.failed(Some(&format!("{i}")), 1000 + i).unwrap();
        }
        assert_eq!(throttle.sources.len(), MAX_SOURCES);
        assert!(throttle.permit("2999", 0).is_ok());
    }
}
