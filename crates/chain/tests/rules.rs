//! Each rule of paths and lists, by certificates that break it and no other. The limbo suite knows more, but isn't
//! there everywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use ed25519_dalek::{Signer, SigningKey};
use notme_chain::{
    Certificate, GeneralName, KeyUse, Limits, Plan, Purpose, Refusal, Revocation, RevocationList,
    Rules,
};
use notme_keys::Outcome;
use notme_keys::native::settle;
use proptest::prelude::*;

/// 2026-06-01.
const NOW: i64 = 1_780_272_000;
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
const SPIFFE: &str = "spiffe://td.example/web";

fn el(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..=0x7f => vec![tag, u8::try_from(len).unwrap()],
        _ => vec![
            tag,
            0x82,
            u8::try_from(len >> 8).unwrap(),
            u8::try_from(len & 0xff).unwrap(),
        ],
    };
    let head = if (0x80..0x100).contains(&len) {
        vec![tag, 0x81, u8::try_from(len).unwrap()]
    } else {
        head
    };
    [&head, content].concat()
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    el(0x30, &parts.concat())
}

fn name(cn: &str) -> Vec<u8> {
    let attribute = seq(&[el(6, &[0x55, 4, 3]), el(0x0c, cn.as_bytes())]);
    seq(&[el(0x31, &attribute)])
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn ext(number: u8, is_critical: bool, value: &[u8]) -> (u8, Vec<u8>) {
    let truth = if is_critical {
        el(1, &[0xff])
    } else {
        Vec::new()
    };
    (
        number,
        seq(&[el(6, &[0x55, 0x1d, number]), truth, el(4, value)]),
    )
}

fn uri(text: &str) -> Vec<u8> {
    el(0x86, text.as_bytes())
}

/// A certificate to be made: the key's seed is its key identifier too.
#[derive(Clone)]
struct Draft {
    subject: &'static str,
    seed: u8,
    issuer: (&'static str, u8),
    serial: Vec<u8>,
    times: [&'static str; 2],
    extensions: Vec<(u8, Vec<u8>)>,
}

impl Draft {
    fn ca(subject: &'static str, seed: u8, issuer: (&'static str, u8)) -> Self {
        Self {
            subject,
            seed,
            issuer,
            serial: vec![1],
            times: ["260101000000Z", "270101000000Z"],
            extensions: vec![
                ext(19, true, &seq(&[el(1, &[0xff])])),
                ext(15, true, &[3, 2, 1, 0x06]),
                ext(14, false, &el(4, &[seed])),
                ext(35, false, &seq(&[el(0x80, &[issuer.1])])),
            ],
        }
    }

    fn leaf(issuer: (&'static str, u8)) -> Self {
        let mut leaf = Self::ca("leaf", 9, issuer);
        leaf.serial = vec![0x55];
        leaf.without(19)
            .with(ext(15, true, &[3, 2, 7, 0x80]))
            .with(ext(17, false, &seq(&[uri(SPIFFE)])))
    }

    /// With this extension, instead of what it had of the kind.
    fn with(self, extension: (u8, Vec<u8>)) -> Self {
        let mut without = self.without(extension.0);
        without.extensions.push(extension);
        without
    }

    fn without(mut self, number: u8) -> Self {
        self.extensions.retain(|(other, _)| *other != number);
        self
    }

    fn der(&self) -> Vec<u8> {
        let times = self.times.map(|time| el(0x17, time.as_bytes()));
        let extensions: Vec<_> = self.extensions.iter().map(|(_, der)| der.clone()).collect();
        let spki = [
            ED25519,
            &[3, 33, 0],
            key(self.seed).verifying_key().as_bytes(),
        ]
        .concat();
        let body = seq(&[
            el(0xa0, &el(2, &[2])),
            el(2, &self.serial),
            ED25519.to_vec(),
            name(self.issuer.0),
            seq(&times),
            name(self.subject),
            el(0x30, &spki),
            el(0xa3, &seq(&extensions)),
        ]);
        signed(&body, self.issuer.1)
    }
}

fn signed(body: &[u8], seed: u8) -> Vec<u8> {
    let signature = key(seed).sign(body).to_bytes();
    seq(&[
        body.to_vec(),
        ED25519.to_vec(),
        el(3, &[&[0], &signature[..]].concat()),
    ])
}

fn list(
    issuer: (&str, u8),
    times: [&str; 2],
    serials: &[u8],
    extensions: &[(u8, Vec<u8>)],
) -> Vec<u8> {
    let [this, next] = times.map(|time| el(0x17, time.as_bytes()));
    let entry = |serial: &u8| seq(&[el(2, &[*serial]), this.clone()]);
    let entries = match serials {
        [] => Vec::new(),
        some => seq(&some.iter().map(entry).collect::<Vec<_>>()),
    };
    let mut all = vec![
        ext(35, false, &seq(&[el(0x80, &[issuer.1])])).1,
        ext(20, false, &el(2, &[1])).1,
    ];
    all.extend(extensions.iter().map(|(_, der)| der.clone()));
    let body = seq(&[
        el(2, &[1]),
        ED25519.to_vec(),
        name(issuer.0),
        this.clone(),
        next,
        entries,
        el(0xa0, &seq(&all)),
    ]);
    signed(&body, issuer.1)
}

const ROOT: (&str, u8) = ("root", 1);
const CA: (&str, u8) = ("ca", 2);

fn root() -> Draft {
    Draft::ca("root", 1, ROOT)
}

fn ca() -> Draft {
    Draft::ca("ca", 2, ROOT)
}

fn leaf() -> Draft {
    Draft::leaf(CA)
}

fn rules(revocation: Revocation<'_>) -> Rules<'_> {
    Rules {
        now: NOW,
        purpose: Some(Purpose::ClientAuth),
        may_be_ca: false,
        revocation,
        limits: Limits::default(),
    }
}

/// How many certificates the path has that was found.
fn judge(chain: &[Vec<u8>], roots: &[Vec<u8>], rules: &Rules<'_>) -> Result<usize, Refusal> {
    let read = |ders: &[Vec<u8>]| {
        let all = ders.iter().map(|der| Certificate::read(der.clone().leak()));
        all.collect::<Result<Vec<_>, _>>().map(Vec::leak)
    };
    let (chain, roots) = (read(chain)?, read(roots)?);
    let (leaf, others) = chain.split_first().unwrap();
    let plan = Plan::new(leaf, others, roots, rules)?;
    let outcomes: Vec<_> = plan.checks().iter().map(settle).collect();
    let none = vec![Outcome::Failed; outcomes.len()];
    assert_eq!(plan.clone().settle(&none), Err(Refusal::BadSignature));
    assert_eq!(plan.clone().settle(&[]), Err(Refusal::BadSignature));
    plan.settle(&outcomes).map(|path| path.certificates().len())
}

fn usual(drafts: &[Draft]) -> Result<usize, Refusal> {
    let ders: Vec<_> = drafts.iter().map(Draft::der).collect();
    let (root, chain) = ders.split_last().unwrap();
    judge(
        chain,
        std::slice::from_ref(root),
        &rules(Revocation::Ignored),
    )
}

#[test]
fn a_path_through_a_ca_leads_to_its_root() {
    assert_eq!(usual(&[leaf(), ca(), root()]), Ok(3));
    assert_eq!(usual(&[Draft::leaf(ROOT), root()]), Ok(2));
    // What isn't needed does no harm, in whatever order.
    let other = Draft::ca("other", 7, ("nobody", 8));
    assert_eq!(usual(&[leaf(), other.clone(), ca(), root()]), Ok(3));
    assert_eq!(usual(&[leaf(), root(), ca(), root()]), Ok(3));
    assert_eq!(usual(&[leaf(), other, root()]), Err(Refusal::NoPath));
    assert_eq!(usual(&[leaf(), root()]), Err(Refusal::NoPath));
    // A root that isn't pinned, though it is there.
    assert_eq!(
        usual(&[leaf(), ca(), root(), Draft::ca("root", 3, ("root", 3))]),
        Err(Refusal::NoPath)
    );
}

#[test]
fn a_ca_that_has_a_good_and_a_bad_certificate_is_found_by_the_good_one() {
    let mut expired = ca();
    expired.times = ["250101000000Z", "260101000000Z"];
    assert_eq!(usual(&[leaf(), expired.clone(), ca(), root()]), Ok(3));
    assert_eq!(usual(&[leaf(), ca(), expired, root()]), Ok(3));
    // One that somebody else signed in the root's name.
    let forged = Draft::ca("ca", 2, ("root", 1)).der();
    let mut forged = forged;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let chain = [leaf().der(), forged.clone(), ca().der()];
    assert_eq!(
        judge(&chain, &[root().der()], &rules(Revocation::Ignored)),
        Ok(3)
    );
    let chain = [leaf().der(), forged];
    assert_eq!(
        judge(&chain, &[root().der()], &rules(Revocation::Ignored)),
        Err(Refusal::BadSignature)
    );
}

#[test]
fn each_rule_is_kept() {
    let basic = |parts: &[Vec<u8>]| ext(19, true, &seq(parts));
    let bounded = |length: u8| basic(&[el(1, &[0xff]), el(2, &[length])]);
    let purposes = |last: u8| ext(37, false, &seq(&[el(6, &[0x2b, 6, 1, 5, 5, 7, 3, last])]));
    let times = |mut draft: Draft, times| {
        draft.times = times;
        draft
    };
    let serial = |mut draft: Draft, serial: &[u8]| {
        draft.serial = serial.to_vec();
        draft
    };
    let constraints = |which: u8, base: Vec<u8>| ext(30, true, &seq(&[el(0xa0 | which, &base)]));
    let future = ["260601000001Z", "270101000000Z"];
    let past = ["260101000000Z", "260531235959Z"];
    let middle = Draft::ca("middle", 4, CA);
    let below = Draft::leaf(("middle", 4));
    let profile = |text| Err(Refusal::Profile(text));
    for (what, chain, verdict) in [
        (
            "exact times",
            vec![
                times(leaf(), ["260601000000Z", "260601000000Z"]),
                ca(),
                root(),
            ],
            Ok(3),
        ),
        (
            "a leaf of the future",
            vec![times(leaf(), future), ca(), root()],
            Err(Refusal::NotYetValid(NOW + 1)),
        ),
        (
            "a leaf of the past",
            vec![times(leaf(), past), ca(), root()],
            Err(Refusal::Expired(NOW - 1)),
        ),
        (
            "a CA of the past",
            vec![leaf(), times(ca(), past), root()],
            Err(Refusal::Expired(NOW - 1)),
        ),
        (
            "a root of the past",
            vec![leaf(), ca(), times(root(), past)],
            Err(Refusal::Expired(NOW - 1)),
        ),
        (
            "no CA",
            vec![
                leaf(),
                ca().without(19).with(ext(15, true, &[3, 2, 7, 0x80])),
                root(),
            ],
            Err(Refusal::NotCa),
        ),
        (
            "a CA of other use",
            vec![leaf(), ca().with(ext(15, true, &[3, 2, 1, 2])), root()],
            Err(Refusal::KeyUsage),
        ),
        (
            "a CA of unsaid use",
            vec![leaf(), ca().without(15), root()],
            Ok(3),
        ),
        (
            "no room below the root",
            vec![leaf(), ca(), root().with(bounded(0))],
            Err(Refusal::PathTooLong),
        ),
        (
            "room for one",
            vec![leaf(), ca(), root().with(bounded(1))],
            Ok(3),
        ),
        (
            "room for one, and two",
            vec![below.clone(), middle.clone(), ca(), root().with(bounded(1))],
            Err(Refusal::PathTooLong),
        ),
        (
            "no room below the CA",
            vec![below.clone(), middle, ca().with(bounded(0)), root()],
            Err(Refusal::PathTooLong),
        ),
        (
            "an unknown extension",
            vec![leaf().with(ext(99, false, b"x")), ca(), root()],
            Ok(3),
        ),
        (
            "a critical unknown one",
            vec![leaf().with(ext(99, true, b"x")), ca(), root()],
            Err(Refusal::UnknownCriticalExtension),
        ),
        (
            "the same at a CA",
            vec![leaf(), ca().with(ext(99, true, b"x")), root()],
            Err(Refusal::UnknownCriticalExtension),
        ),
        (
            "the same at a root",
            vec![leaf(), ca(), root().with(ext(99, true, b"x"))],
            Err(Refusal::UnknownCriticalExtension),
        ),
        (
            "critical policies",
            vec![leaf().with(ext(32, true, b"x")), ca(), root()],
            Err(Refusal::UnknownCriticalExtension),
        ),
        (
            "its purpose",
            vec![leaf().with(purposes(2)), ca(), root()],
            Ok(3),
        ),
        (
            "another purpose",
            vec![leaf().with(purposes(1)), ca(), root()],
            Err(Refusal::Purpose),
        ),
        (
            "a CA of another purpose",
            vec![leaf(), ca().with(purposes(1)), root()],
            Err(Refusal::Purpose),
        ),
        ("a CA's own", vec![ca(), root()], Err(Refusal::KeyUsage)),
        (
            "another key's identifier",
            vec![
                leaf().with(ext(35, false, &seq(&[el(0x80, &[7])]))),
                ca(),
                root(),
            ],
            Err(Refusal::NoPath),
        ),
        (
            "no key's identifier",
            vec![leaf().without(35), ca(), root()],
            profile("a certificate doesn't say which key signed it"),
        ),
        (
            "a root's that is left out",
            vec![leaf(), ca(), root().without(35)],
            Ok(3),
        ),
        (
            "a serial of zero",
            vec![serial(leaf(), &[0]), ca(), root()],
            profile("a serial number is zero"),
        ),
        (
            "a root's serial of zero",
            vec![leaf(), ca(), serial(root(), &[0])],
            Ok(3),
        ),
        (
            "permitted",
            vec![
                leaf(),
                ca().with(constraints(0, seq(&[uri("td.example")]))),
                root(),
            ],
            Ok(3),
        ),
        (
            "not permitted",
            vec![
                leaf(),
                ca().with(constraints(0, seq(&[uri("other.example")]))),
                root(),
            ],
            Err(Refusal::NameConstraints),
        ),
        (
            "excluded",
            vec![
                leaf(),
                ca(),
                root().with(constraints(1, seq(&[uri("td.example")]))),
            ],
            Err(Refusal::NameConstraints),
        ),
        (
            "permitted and excluded",
            vec![
                leaf(),
                ca().with(constraints(0, seq(&[uri("td.example")]))),
                root().with(constraints(1, seq(&[uri("td.example")]))),
            ],
            Err(Refusal::NameConstraints),
        ),
        (
            "excluded names of nobody",
            vec![
                leaf(),
                ca(),
                root().with(constraints(1, seq(&[el(0xa4, &name("LEAF"))]))),
            ],
            Err(Refusal::NameConstraints),
        ),
    ] {
        assert_eq!(usual(&chain), verdict, "{what}");
    }
    for (what, draft) in [
        ("a negative serial", serial(leaf(), &[0x80])),
        ("a long serial", serial(leaf(), &[1; 21])),
        ("a serial with a zero before it", serial(leaf(), &[0, 1])),
        (
            "a critical key identifier",
            leaf().with(ext(14, true, &el(4, &[1]))),
        ),
        ("names that aren't", leaf().with(ext(17, false, b"x"))),
        ("no names", leaf().with(ext(17, false, &seq(&[])))),
        ("no use", leaf().with(ext(15, true, &[3, 2, 7, 0]))),
        (
            "use with zeros behind it",
            leaf().with(ext(15, true, &[3, 3, 7, 0x80, 0])),
        ),
        ("no purpose", leaf().with(ext(37, false, &seq(&[])))),
        (
            "signs certificates, and is no CA",
            leaf().with(ext(15, true, &[3, 2, 2, 4])),
        ),
        ("a bound below no CA", leaf().with(basic(&[el(2, &[0])]))),
        (
            "a truth that is written",
            leaf().with(basic(&[el(1, &[0])])),
        ),
        (
            "constraints below no CA",
            leaf().with(constraints(0, seq(&[uri("a")]))),
        ),
        (
            "constraints that aren't critical",
            ca().with(ext(30, false, &seq(&[el(0xa0, &seq(&[uri("a")]))]))),
        ),
        ("a CA without an identifier", ca().without(14)),
        (
            "a CA that isn't critical",
            ca().with(ext(19, false, &seq(&[el(1, &[0xff])]))),
        ),
    ] {
        assert!(Certificate::read(&draft.der()).is_err(), "{what}");
    }
    let mut twice = leaf();
    twice.extensions.push(ext(99, false, b"x"));
    twice.extensions.push(ext(99, false, b"y"));
    assert!(Certificate::read(&twice.der()).is_err());
    let good = leaf().der();
    assert!(Certificate::read(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn a_circle_ends_and_effort_is_bounded() {
    let a = Draft::ca("a", 4, ("b", 5));
    let b = Draft::ca("b", 5, ("a", 4));
    assert_eq!(
        usual(&[Draft::leaf(("a", 4)), a, b, root()]),
        Err(Refusal::NoPath)
    );
    let crowd: Vec<_> = std::iter::once(leaf())
        .chain((0..12).map(|_| ca()))
        .chain([root()])
        .collect();
    assert_eq!(usual(&crowd), Err(Refusal::TooMuch));
    let mut long = leaf();
    long.extensions.push(ext(99, false, &[0; 20_000]));
    assert_eq!(usual(&[long, ca(), root()]), Err(Refusal::TooMuch));
    // What is found first is found, whatever else is there.
    let mut crowd = vec![Draft::leaf(ROOT)];
    crowd.extend((0..8).map(|seed| Draft::ca("root", 1, ("root", 20 + seed)).without(35)));
    crowd.push(root());
    assert_eq!(usual(&crowd), Ok(2));
    // Eight CAs of one name without key identifiers, each of which may have certified each.
    let same = |seed| Draft::ca("same", seed, ("same", 99)).without(35);
    let mut crowd = vec![Draft::leaf(("same", 99)).without(35)];
    crowd.extend((10..18).map(same));
    crowd.push(root());
    assert_eq!(usual(&crowd), Err(Refusal::TooMuch));
}

#[test]
fn lists_say_who_was_taken_back() {
    const WEEK: [&str; 2] = ["260531000000Z", "260607000000Z"];
    let chain = [leaf().der(), ca().der()];
    let roots = [root().der()];
    let point = |name: &str| seq(&[el(0xa0, &el(0xa0, &uri(name)))]);
    let scope = |value: &[u8]| [ext(28, true, value)];
    let of_root = list(ROOT, WEEK, &[], &[]);
    let verdict = |lists: &[Vec<u8>], is_required: bool, chain: &[Vec<u8>]| {
        let lists = lists
            .iter()
            .map(|der| RevocationList::read(der))
            .collect::<Result<Vec<_>, _>>()?;
        let revocation = if is_required {
            Revocation::Required(&lists)
        } else {
            Revocation::IfListed(&lists)
        };
        judge(chain, &roots, &rules(revocation))
    };
    let unknown = |text| Err(Refusal::RevocationUnknown(text));
    let (missing, old) = (
        "an issuer's revocation list is missing",
        "a revocation list is not of this time",
    );
    for (what, of_ca, required, verdict_if_listed) in [
        ("nobody", list(CA, WEEK, &[], &[]), Ok(3), Ok(3)),
        ("others", list(CA, WEEK, &[0x54, 0x56], &[]), Ok(3), Ok(3)),
        (
            "it",
            list(CA, WEEK, &[0x54, 0x55], &[]),
            Err(Refusal::Revoked),
            Err(Refusal::Revoked),
        ),
        (
            "an old list",
            list(CA, ["260501000000Z", "260531000000Z"], &[], &[]),
            unknown(old),
            unknown(old),
        ),
        (
            "a list to come",
            list(CA, ["260602000000Z", "260607000000Z"], &[], &[]),
            unknown(old),
            unknown(old),
        ),
        (
            "another's list",
            list(("other", 2), WEEK, &[0x55], &[]),
            unknown(missing),
            Ok(3),
        ),
        (
            "another key's",
            list(("ca", 3), WEEK, &[0x55], &[]),
            unknown(missing),
            Ok(3),
        ),
        (
            "of CAs only",
            list(CA, WEEK, &[0x55], &scope(&seq(&[el(0x82, &[0xff])]))),
            unknown(missing),
            Ok(3),
        ),
        (
            "of users only",
            list(CA, WEEK, &[0x55], &scope(&seq(&[el(0x81, &[0xff])]))),
            Err(Refusal::Revoked),
            Err(Refusal::Revoked),
        ),
        (
            "of another place",
            list(CA, WEEK, &[0x55], &scope(&point("http://crl.example/1"))),
            unknown(missing),
            Ok(3),
        ),
        (
            "of some reasons",
            list(CA, WEEK, &[], &scope(&seq(&[el(0x83, &[7, 0x80])]))),
            Err(Refusal::UnknownCriticalExtension),
            Err(Refusal::UnknownCriticalExtension),
        ),
        (
            "a delta",
            list(CA, WEEK, &[], &[ext(27, true, &el(2, &[1]))]),
            Err(Refusal::UnknownCriticalExtension),
            Err(Refusal::UnknownCriticalExtension),
        ),
    ] {
        let lists = [of_ca, of_root.clone()];
        assert_eq!(verdict(&lists, true, &chain), required, "{what}");
        assert_eq!(verdict(&lists, false, &chain), verdict_if_listed, "{what}");
    }
    assert_eq!(
        verdict(&[list(CA, WEEK, &[], &[])], true, &chain),
        unknown(missing),
        "the CA's own"
    );
    let of_ca = list(CA, WEEK, &[], &[]);
    assert_eq!(
        verdict(&[of_ca.clone(), list(ROOT, WEEK, &[1], &[])], true, &chain),
        Err(Refusal::Revoked),
        "the CA"
    );
    // A list that somebody else made in the CA's name.
    let mut forged = of_ca.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(
        verdict(&[forged, of_root.clone()], true, &chain),
        Err(Refusal::BadSignature)
    );
    // A list of a place is for those certificates that name the place.
    let here = list(CA, WEEK, &[], &scope(&point("http://crl.example/2")));
    let placed = leaf()
        .with(ext(31, false, &seq(&[point("http://crl.example/2")])))
        .der();
    assert_eq!(
        verdict(&[here, of_root.clone()], true, &[placed, ca().der()]),
        Ok(3)
    );
    // A CA whose key may not sign lists.
    let other_use = ca().with(ext(15, true, &[3, 2, 2, 4])).der();
    assert_eq!(
        verdict(&[of_ca, of_root], false, &[leaf().der(), other_use]),
        unknown("a CA may not sign its revocation list")
    );
}

#[test]
fn a_certificate_says_whom_it_is_for() {
    let der = leaf().der();
    let leaf = Certificate::read(&der).unwrap();
    assert_eq!(leaf.alternative_names(), [GeneralName::Uri(SPIFFE)]);
    assert_eq!(leaf.subject().common_names().collect::<Vec<_>>(), ["leaf"]);
    assert_eq!(leaf.serial(), [0x55]);
    assert!(
        leaf.permits(KeyUse::DigitalSignature) && !leaf.permits(KeyUse::CertSign) && !leaf.is_ca()
    );
    assert!(leaf.key().is_some());
}

fn everything() -> Vec<u8> {
    let network = el(0x87, &[10, 0, 0, 0, 255, 0, 0, 0]);
    let subtrees = [seq(&[uri(".td.example")]), seq(&[network])].concat();
    let constraints = seq(&[el(0xa0, &subtrees)]);
    ca().with(ext(30, true, &constraints))
        .with(ext(37, false, &seq(&[el(6, &[0x2b, 6, 1, 5, 5, 7, 3, 2])])))
        .with(ext(
            17,
            false,
            &seq(&[
                uri(SPIFFE),
                el(0x82, b"*.a.example"),
                el(0x81, b"a@b.example"),
                el(0xa4, &name("x")),
            ]),
        ))
        .der()
}

proptest! {
    /// Whatever a stranger sends.
    #[test]
    fn nothing_that_is_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Certificate::read(&bytes);
        let _ = RevocationList::read(&bytes);
        let _ = Certificate::read(&seq(&[el(0x30, &bytes), ED25519.to_vec(), el(3, &[0, 1])]));
        let _ = RevocationList::read(&seq(&[el(0x30, &bytes), ED25519.to_vec(), el(3, &[0, 1])]));
    }

    /// A chain in which a few bytes are others is none, and does no harm.
    #[test]
    fn a_changed_chain_is_none(changes in proptest::collection::vec((any::<u16>(), 1..=255_u8), 1..4), which in 0..3_usize) {
        let mut chain = [leaf().der(), ca().der()];
        let mut list = list(CA, ["260531000000Z", "260607000000Z"], &[7], &[]);
        let into = match which { 0 => &mut chain[0], 1 => &mut chain[1], _ => &mut list };
        let before = into.clone();
        for (at, by) in &changes {
            let at = usize::from(*at) % into.len();
            into[at] ^= by;
        }
        prop_assume!(*into != before);
        let lists: Vec<_> = RevocationList::read(&list).into_iter().collect();
        let root = [root().der()];
        let verdict = judge(&chain, &root, &rules(Revocation::IfListed(&lists)));
        // A list that isn't one any more, or another's, is as good as none.
        prop_assert!(verdict.is_err() || which == 2, "{verdict:?}");
        let mut all = everything();
        for (at, by) in changes {
            let at = usize::from(at) % all.len();
            all[at] ^= by;
        }
        let _ = judge(&[leaf().der(), all], &root, &rules(Revocation::Ignored));
    }
}
