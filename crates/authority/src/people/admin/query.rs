//! A request's query: names and values, decoded, each name once.

use crate::Error;

/// The longest query, in bytes as sent.
const MAX_BYTES: usize = 4096;

/// The parameters that a request gives.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the `?`. An empty value is none: that is how a form sends a field left blank.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::InvalidQuery("query");
        if text.len() > MAX_BYTES {
            return Err(wrong());
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = (decode(name, true), decode(value, true));
            let (Some(name), Some(value)) = decoded else {
                return Err(wrong());
            };
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(wrong());
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Takes a parameter out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.0.swap_remove(at);
        Some(value).filter(|value| !value.is_empty())
    }

    /// Takes a parameter out and reads it.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let value = self.take(name);
        let read = value.map(|value| read(&value).ok_or(Error::InvalidQuery(name)));
        read.transpose()
    }

    /// What nobody took means nothing here: a filter that was misspelt must not be none.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::InvalidQuery("query"))
        }
    }
}

/// Undoes percent-encoding; in a query `+` is a space. `None` if it isn't UTF-8 then.
pub(crate) fn decode(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if is_query => b' ',
            b'%' => {
                let digits = [char::from(rest.next()?), char::from(rest.next()?)];
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                u8::try_from(high? * 16 + low?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The query of the next page: the same, from another cursor on.
#[must_use]
pub fn next_query(query: &str, cursor: &str) -> String {
    let mut next: String = query
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"))
        .flat_map(|pair| [pair, "&"])
        .collect();
    next.extend(["cursor=", cursor]);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_stand_once() {
        let mut query = Query::parse("q=a%20b+c%C3%A4&state=&x%79=%2B").unwrap();
        assert_eq!(query.take("q").as_deref(), Some("a b cä"));
        assert_eq!(query.take("state"), None);
        assert_eq!(query.take("xy").as_deref(), Some("+"));
        assert!(query.finish().is_ok());
        let long = format!("q={}", "a".repeat(MAX_BYTES));
        for text in ["q=%", "q=%4", "q=%zz", "q=%ff", "a=1&a=2", "a=&%61=", &long] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        assert!(Query::parse("unheard=of").unwrap().finish().is_err());
        assert!(Query::parse("").unwrap().finish().is_ok());
    }

    #[test]
    fn the_next_page_is_the_same_query() {
        assert_eq!(next_query("", "B"), "cursor=B");
        assert_eq!(
            next_query("q=a%3E&cursor=A&limit=2", "B"),
            "q=a%3E&limit=2&cursor=B"
        );
    }
}
