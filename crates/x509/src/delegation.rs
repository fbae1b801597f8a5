//! The delegation that a certificate hangs on (`docs/certificate-profile.md`, "On somebody's behalf").

use der::asn1::AnyRef;
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::writer::{Writer, tag};

/// On whose behalf a certificate is used, and for what alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The delegation's id.
    pub id: String,
    /// The principal at whose behest it is.
    pub on_behalf_of: String,
    /// Where alone the certificate may be used.
    pub audience: Option<String>,
    /// The SHA-256 of what alone it may be used for.
    pub purpose: Option<[u8; 32]>,
}

/// What limits have to be told apart by.
const AUDIENCE: TagNumber = TagNumber(0);
const PURPOSE: TagNumber = TagNumber(1);

impl Delegation {
    /// Whether it limits what the certificate may be used for. Then the extension is critical: who doesn't know it
    /// can't tell whether they may take the certificate.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        self.audience.is_some() || self.purpose.is_some()
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.sequence(|w| {
            w.utf8(&self.id);
            w.utf8(&self.on_behalf_of);
            if let Some(audience) = &self.audience {
                w.primitive(tag::AUDIENCE, audience.as_bytes());
            }
            if let Some(purpose) = &self.purpose {
                w.primitive(tag::PURPOSE, purpose);
            }
        });
    }

    /// Reads what [`Self::write`] writes, and no other encoding of it.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let all = AnyRef::from_der(der).ok()?;
        let mut rest = SliceReader::new(all.value()).ok()?;
        let mut next = || match rest.is_finished() {
            true => None,
            false => AnyRef::decode(&mut rest).ok(),
        };
        let text = |part: AnyRef<'_>| String::from_utf8(part.value().to_vec()).ok();
        let (id, on_behalf_of) = (text(next()?)?, text(next()?)?);
        let mut limit = next();
        let mut limited = |number| {
            let is_it = |part: &AnyRef<'_>| {
                let constructed = false;
                part.tag()
                    == Tag::ContextSpecific {
                        constructed,
                        number,
                    }
            };
            let found = limit.filter(is_it);
            if found.is_some() {
                limit = next();
            }
            found
        };
        let (audience, purpose) = (limited(AUDIENCE), limited(PURPOSE));
        let read = Self {
            id,
            on_behalf_of,
            audience: audience.map(|part| text(part).ok_or(())).transpose().ok()?,
            purpose: purpose
                .map(|part| part.value().try_into())
                .transpose()
                .ok()?,
        };
        // Whatever was read leniently, or left over, is written otherwise.
        let mut w = Writer::with_capacity(der.len());
        read.write(&mut w);
        (w.into_bytes() == der).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(delegation: &Delegation) -> Vec<u8> {
        let mut w = Writer::with_capacity(0);
        delegation.write(&mut w);
        w.into_bytes()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for (audience, purpose) in [
            (None, None),
            (Some("https://api.example"), None),
            (None, Some([7; 32])),
            (Some("x"), Some([7; 32])),
        ] {
            let delegation = Delegation {
                id: "d".repeat(36),
                on_behalf_of: "p".into(),
                audience: audience.map(str::to_owned),
                purpose,
            };
            let der = written(&delegation);
            assert_eq!(Delegation::read(&der), Some(delegation.clone()));
            for at in 0..der.len() {
                let mut bent = der.clone();
                bent[at] ^= 0x80;
                assert_ne!(
                    Delegation::read(&bent),
                    Some(delegation.clone()),
                    "byte {at}"
                );
                assert_eq!(Delegation::read(&der[..at]), None);
            }
            assert_eq!(Delegation::read(&[&der[..], &[0]].concat()), None);
        }
        // A part more, a part twice, in another order, of another length, in the long form.
        for hex in [
            "300a0c01640c01700c0178",
            "300c0c01640c0170800178800178",
            "30070c01640c01708101ff",
            "302b0c01640c01708120070707070707070707070707070707070707070707070707070707070707070707800178",
            "3081060c01640c0170",
            "31060c01640c0170",
            "30060c01640c0370",
            "30030c0164",
            "3000",
            "",
        ] {
            assert_eq!(Delegation::read(&hex::decode(hex).unwrap()), None, "{hex}");
        }
    }
}
