//! Name constraints (RFC 5280 §4.2.1.10).

use notme_keys::der::{Der, tag};

use crate::general_name::{form, host_of, is_host, mailbox, text};
use crate::{GeneralName, Name};

/// Where a CA's names are to be, and where not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameConstraints<'a> {
    permitted: Vec<Subtree<'a>>,
    excluded: Vec<Subtree<'a>>,
}

/// A part of the names of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree<'a> {
    /// A mailbox, a host's mailboxes, or those of the hosts below a domain (with a dot before it).
    Email(&'a str),
    /// A host and all below it; nothing is every host.
    Dns(&'a str),
    Directory(Name<'a>),
    /// A host, or the hosts below a domain (with a dot before it).
    Uri(&'a str),
    /// An address and a mask, one after the other.
    Ip(&'a [u8]),
    /// Of a form that can't be judged, by its tag.
    Other(u8),
}

impl<'a> Subtree<'a> {
    fn read(subtree: &mut Der<'a>) -> Option<Self> {
        let mut subtree = subtree.enter(tag::SEQUENCE)?;
        let base = subtree.any()?;
        subtree.end()?; // minimum is 0, and maximum absent
        let content = base.content;
        let is_domain = |text: &&str| is_host(text.strip_prefix('.').unwrap_or(text));
        match base.tag {
            form::EMAIL => text(content)
                .filter(|text| is_domain(text) || mailbox(text).is_some())
                .map(Self::Email),
            form::DNS => text(content)
                .filter(|text| text.is_empty() || is_host(text))
                .map(Self::Dns),
            form::URI => text(content).filter(is_domain).map(Self::Uri),
            form::IP => is_network(content).then_some(Self::Ip(content)),
            form::DIRECTORY => {
                let mut inner = Der::new(content);
                let name = Name::read(&mut inner)?;
                inner.end()?;
                Some(Self::Directory(name))
            }
            form::OTHER | 0xa3 | 0xa5 | 0x88 => Some(Self::Other(base.tag)),
            _ => None,
        }
    }

    fn read_all(list: Option<Der<'a>>) -> Option<Vec<Self>> {
        let Some(mut list) = list else {
            return Some(Vec::new());
        };
        let mut subtrees = vec![Self::read(&mut list)?];
        while !list.is_empty() {
            subtrees.push(Self::read(&mut list)?);
        }
        Some(subtrees)
    }

    /// Whether that name is in it: nothing if it is of another form. What can't be told counts as `in_doubt`.
    fn holds(&self, name: &GeneralName<'_>, in_doubt: bool) -> Option<bool> {
        Some(match (self, name) {
            (Self::Email(base), GeneralName::Email(name)) => {
                let Some((local, host)) = mailbox(name) else {
                    return Some(in_doubt);
                };
                match base.split_once('@') {
                    Some((one, at)) => {
                        let is_one = one == local || (in_doubt && one.eq_ignore_ascii_case(local));
                        is_one && at.eq_ignore_ascii_case(host)
                    }
                    None => is_at(host, base),
                }
            }
            (Self::Dns(base), GeneralName::Dns(name)) => match name.strip_prefix("*.") {
                Some(domain) => is_within(domain, base) || (in_doubt && is_within(base, domain)),
                None => is_within(name, base),
            },
            (Self::Directory(base), GeneralName::Directory(name)) => name.is_below(base, in_doubt),
            // §4.2.1.10: a URI without a host's name is none that constraints allow.
            (Self::Uri(base), GeneralName::Uri(name)) => match host_of(name) {
                Some(host) => is_at(host, base),
                None => in_doubt,
            },
            (Self::Ip(network), GeneralName::Ip(address)) => is_in_network(address, network),
            (Self::Other(form), GeneralName::Other(other)) if form == other => in_doubt,
            _ => return None,
        })
    }
}

impl<'a> NameConstraints<'a> {
    pub(crate) fn read(value: &'a [u8]) -> Option<Self> {
        let mut sequence = Der::new(Der::only(value, tag::SEQUENCE)?);
        let permitted = sequence.enter(tag::explicit(0));
        let excluded = sequence.enter(tag::explicit(1));
        sequence.end()?;
        if permitted.is_none() && excluded.is_none() {
            return None;
        }
        Some(Self {
            permitted: Subtree::read_all(permitted)?,
            excluded: Subtree::read_all(excluded)?,
        })
    }

    /// How many subtrees there are: what a name costs.
    pub(crate) fn len(&self) -> usize {
        self.permitted.len() + self.excluded.len()
    }

    /// Whether that name may be certified.
    pub(crate) fn permit(&self, name: &GeneralName<'_>) -> bool {
        if self
            .excluded
            .iter()
            .any(|subtree| subtree.holds(name, true) == Some(true))
        {
            return false;
        }
        let mut of_its_form = self
            .permitted
            .iter()
            .filter_map(|subtree| subtree.holds(name, false));
        // If its form isn't there, it is free.
        of_its_form
            .next()
            .is_none_or(|first| first || of_its_form.any(|holds| holds))
    }
}

/// Whether a host is `base` or below it; nothing is above all.
fn is_within(host: &str, base: &str) -> bool {
    match host
        .len()
        .checked_sub(base.len())
        .and_then(|at| host.split_at_checked(at))
    {
        Some((before, end)) => {
            end.eq_ignore_ascii_case(base)
                && (before.is_empty() || base.is_empty() || before.ends_with('.'))
        }
        None => false,
    }
}

/// Whether a host is `base`, or below it if that begins with a dot.
fn is_at(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(domain) => host.len() > domain.len() && is_within(host, domain),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// An address and a mask of the same length, ones before zeros (RFC 4632 §3.1).
fn is_network(bytes: &[u8]) -> bool {
    let (_, mask) = bytes.split_at(bytes.len() / 2);
    matches!(bytes.len(), 8 | 32) && is_prefix(mask)
}

/// Whether all ones come before all zeros.
fn is_prefix(mask: &[u8]) -> bool {
    let bits = mask
        .iter()
        .flat_map(|byte| (0..8).map(move |at| byte << at & 0x80 != 0));
    bits.skip_while(|bit| *bit).all(|bit| !bit)
}

fn is_in_network(address: &[u8], network: &[u8]) -> bool {
    let (base, mask) = network.split_at(network.len() / 2);
    address.len() == base.len()
        && address
            .iter()
            .zip(base)
            .zip(mask)
            .all(|((a, b), mask)| a & mask == b & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_hold_what_the_standard_says() {
        use GeneralName as N;
        use Subtree as S;
        for (subtree, name, holds) in [
            (S::Dns("example.com"), N::Dns("example.com"), true),
            (S::Dns("example.com"), N::Dns("A.B.EXAMPLE.com"), true),
            (S::Dns("example.com"), N::Dns("notexample.com"), false),
            (S::Dns("example.com"), N::Dns("com"), false),
            (S::Dns(""), N::Dns("com"), true),
            (S::Dns("example.com"), N::Dns("*.example.com"), true),
            (S::Email("a@b.example"), N::Email("a@B.example"), true),
            (S::Email("a@b.example"), N::Email("A@b.example"), false),
            (S::Email("b.example"), N::Email("a@b.example"), true),
            (S::Email("b.example"), N::Email("a@c.b.example"), false),
            (S::Email(".b.example"), N::Email("a@c.b.example"), true),
            (S::Email(".b.example"), N::Email("a@b.example"), false),
            (S::Uri("td.example"), N::Uri("spiffe://td.example/a"), true),
            (
                S::Uri("td.example"),
                N::Uri("spiffe://a.td.example/a"),
                false,
            ),
            (
                S::Uri(".td.example"),
                N::Uri("spiffe://a.td.example/a"),
                true,
            ),
            (
                S::Uri(".td.example"),
                N::Uri("spiffe://td.example/a"),
                false,
            ),
            (S::Uri(".td.example"), N::Uri("spiffe://td.example"), false),
            (
                S::Ip(&[10, 1, 0, 0, 255, 255, 0, 0]),
                N::Ip(&[10, 1, 2, 3]),
                true,
            ),
            (
                S::Ip(&[10, 1, 0, 0, 255, 255, 0, 0]),
                N::Ip(&[10, 2, 2, 3]),
                false,
            ),
            (
                S::Ip(&[10, 1, 0, 0, 255, 255, 0, 0]),
                N::Ip(&[10; 16]),
                false,
            ),
        ] {
            assert_eq!(
                subtree.holds(&name, false),
                Some(holds),
                "{subtree:?} {name:?}"
            );
            assert!(subtree.holds(&name, true).unwrap_or_default() || !holds);
        }
        assert_eq!(S::Uri("a").holds(&N::Dns("a"), true), None);
    }

    #[test]
    fn what_cannot_be_told_is_not_permitted_and_is_excluded() {
        use GeneralName as N;
        use Subtree as S;
        for (subtree, name) in [
            (S::Uri("td.example"), N::Uri("urn:a")),
            (S::Uri("td.example"), N::Uri("https://10.0.0.1/")),
            (S::Uri("td.example"), N::Uri("https://u@td.example/")),
            (S::Dns("a.example.com"), N::Dns("*.example.com")),
            (S::Email("A@b.example"), N::Email("a@b.example")),
            (S::Other(0xa0), N::Other(0xa0)),
        ] {
            let of =
                |permitted: &[Subtree<'static>], excluded: &[Subtree<'static>]| NameConstraints {
                    permitted: permitted.to_vec(),
                    excluded: excluded.to_vec(),
                };
            let subtree = [subtree];
            assert!(!of(&subtree, &[]).permit(&name), "{name:?}");
            assert!(!of(&[], &subtree).permit(&name), "{name:?}");
        }
    }

    #[test]
    fn networks_have_masks_of_ones_before_zeros() {
        for (mask, is_one) in [
            ([0, 0, 0, 0], true),
            ([255, 255, 255, 255], true),
            ([255, 240, 0, 0], true),
            ([255, 0, 255, 0], false),
            ([255, 250, 0, 0], false),
            ([0, 0, 0, 1], false),
        ] {
            assert_eq!(
                is_network(&[&[10, 0, 0, 0], &mask[..]].concat()),
                is_one,
                "{mask:?}"
            );
        }
        assert!(!is_network(&[0; 4]) && !is_network(&[]) && is_network(&[0; 32]));
    }
}
