//! What holds for all values and all bytes, and what another reader of Cap'n Proto makes of ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use capnp::message::{Reader, ReaderOptions, SegmentArray};
use notme_wire::conformance::{Choice, Colour, Lists, ListsPoint, Node, Scalars, Shape};
use notme_wire::conformance::{ShapeBox, ShapeFill, ShapeOrigin, ShapeUnion};
use notme_wire::identity::{AgentIdentity, CABundle, KeyEntry};
use notme_wire::{DecodeError, EncodeError, Message, runtime};
use proptest::collection::vec;
use proptest::prelude::*;

fn scalars() -> impl Strategy<Value = Scalars> {
    let small = (
        any::<bool>(),
        any::<i8>(),
        any::<bool>(),
        any::<i16>(),
        any::<i32>(),
    );
    let others = (
        any::<i64>(),
        any::<u8>(),
        any::<u16>(),
        any::<u32>(),
        any::<u64>(),
        colour(),
    );
    (small, others).prop_map(|(small, others)| Scalars {
        flag: small.0,
        tiny: small.1,
        flagged: small.2,
        small: small.3,
        medium: small.4,
        large: others.0,
        tiny_unsigned: others.1,
        small_unsigned: others.2,
        medium_unsigned: others.3,
        large_unsigned: others.4,
        colour: others.5,
    })
}

fn colour() -> impl Strategy<Value = Colour> {
    prop_oneof![
        Just(Colour::Red),
        Just(Colour::Green),
        Just(Colour::UltraViolet)
    ]
}

fn point() -> impl Strategy<Value = ListsPoint> {
    (any::<i32>(), any::<i32>(), ".*").prop_map(|(x, y, label)| ListsPoint { x, y, label })
}

fn lists() -> impl Strategy<Value = Lists> {
    let bits = (
        vec(any::<bool>(), 0..70),
        vec(any::<i8>(), 0..4),
        vec(any::<u8>(), 0..4),
    );
    let small = (vec(any::<i16>(), 0..4), vec(any::<u16>(), 0..4));
    let medium = (vec(any::<i32>(), 0..4), vec(any::<u32>(), 0..4));
    let large = (vec(any::<i64>(), 0..4), vec(any::<u64>(), 0..4));
    let pointers = (
        vec(colour(), 0..4),
        vec(".*", 0..4),
        vec(vec(any::<u8>(), 0..9), 0..4),
    );
    let nested = (
        vec(scalars(), 0..3),
        vec(vec(any::<u16>(), 0..4), 0..4),
        vec(vec(point(), 0..3), 0..3),
    );
    (bits, small, medium, large, pointers, nested).prop_map(
        |(bits, small, medium, large, pointers, nested)| Lists {
            flags: bits.0,
            tiny: bits.1,
            bytes: bits.2,
            small: small.0,
            small_unsigned: small.1,
            medium: medium.0,
            medium_unsigned: medium.1,
            large: large.0,
            large_unsigned: large.1,
            colours: pointers.0,
            texts: pointers.1,
            blobs: pointers.2,
            structs: nested.0,
            nested: nested.1,
            grid: nested.2,
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let which = prop_oneof![
        Just(ShapeUnion::Nothing),
        any::<u32>().prop_map(ShapeUnion::Side),
        ".*".prop_map(ShapeUnion::Label),
        vec(point(), 0..3).prop_map(ShapeUnion::Corners),
        (any::<u16>(), ".*")
            .prop_map(|(width, caption)| ShapeUnion::Box(ShapeBox { width, caption })),
    ];
    let fill = prop_oneof![
        Just(ShapeFill::None),
        colour().prop_map(ShapeFill::Colour),
        vec(any::<u8>(), 0..9).prop_map(ShapeFill::Image),
        any::<bool>().prop_map(ShapeFill::Transparent),
    ];
    let agent =
        (".*", ".*", ".*", ".*").prop_map(|(name, provider, model, definition)| AgentIdentity {
            name,
            provider,
            model,
            definition,
        });
    let origin = (any::<i32>(), any::<i32>(), proptest::option::of(agent))
        .prop_map(|(x, y, by)| ShapeOrigin { x, y, by });
    (".*", which, fill, origin).prop_map(|(name, which, fill, origin)| Shape {
        name,
        which,
        fill,
        origin,
    })
}

/// A value survives its encoding, and the reference implementation's reader calls it canonical.
fn survives<T: Message + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = value.to_canonical_capnp().unwrap();
    assert_eq!(T::from_canonical_capnp(&bytes).as_ref(), Ok(value));
    let segments = [bytes.as_slice()];
    let message = Reader::new(SegmentArray::new(&segments), ReaderOptions::new());
    assert!(message.is_canonical().unwrap(), "{value:?}");
}

/// What can be read at all can be written, and reads as the same again.
fn settles<T: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = T::from_capnp(bytes) {
        let canonical = value.to_canonical_capnp().unwrap();
        assert_eq!(T::from_canonical_capnp(&canonical), Ok(value));
    }
}

proptest! {
    #[test]
    fn values_survive(lists in lists(), shape in shape(), scalars in scalars()) {
        survives(&lists);
        survives(&shape);
        survives(&scalars);
    }

    #[test]
    fn any_bytes_are_read_or_refused(words in vec(any::<u64>(), 0..40)) {
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        settles::<Lists>(&bytes);
        settles::<CABundle>(&bytes);
    }

    /// Words that look like pointers come further than random ones.
    #[test]
    fn any_pointers_are_read_or_refused(
        words in vec((0_u64..4, -4_i32..8, 0_u64..8, 0_u64..20), 1..40),
    ) {
        let word = |(kind, offset, low, high): (u64, i32, u64, u64)| {
            let offset = u64::from(u32::from_le_bytes((offset << 2).to_le_bytes()));
            if kind == 0 { offset | low << 32 | high << 48 } else { offset | kind | low << 32 | high << 35 }
        };
        let bytes: Vec<u8> = words.into_iter().flat_map(|parts| word(parts).to_le_bytes()).collect();
        settles::<Lists>(&bytes);
        settles::<Shape>(&bytes);
        settles::<Node>(&bytes);
        settles::<Choice>(&bytes);
    }

    #[test]
    fn changed_bytes_are_read_or_refused(
        value in lists(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = value.to_canonical_capnp().unwrap();
        for (index, byte) in changes {
            *index.get_mut(&mut bytes) = byte;
        }
        settles::<Lists>(&bytes);
    }

    #[test]
    fn any_bytes_are_cbor_or_refused(bytes in vec(any::<u8>(), 0..80)) {
        if let Ok(bundle) = CABundle::from_canonical_cbor(&bytes) {
            prop_assert_eq!(bundle.to_canonical_cbor().unwrap(), bytes);
        }
    }

    #[test]
    fn bundles_survive_cbor(
        numbers in (any::<u64>(), any::<u64>(), 0..i64::MAX),
        keys in proptest::collection::btree_map(".*", vec(any::<u8>(), 0..40), 0..4),
        ids in (".*", ".*"),
    ) {
        let mut keys: Vec<_> =
            keys.into_iter().map(|(kid, public_key)| KeyEntry { kid, public_key }).collect();
        keys.sort_by_key(|key| (key.kid.len(), key.kid.clone()));
        let bundle = CABundle {
            epoch: numbers.0,
            seqno: numbers.1,
            keys,
            key_id: ids.0,
            prev_key_id: ids.1,
            issued_at: numbers.2,
            signature: vec![],
        };
        let bytes = bundle.to_canonical_cbor().unwrap();
        prop_assert_eq!(CABundle::from_canonical_cbor(&bytes), Ok(bundle));
    }
}

/// What is written can be read: the limits of both sides are the same.
#[test]
fn limits_agree() {
    let mut node = Node {
        value: 1,
        next: None,
        children: vec![],
    };
    for _ in 1..runtime::MAX_DEPTH {
        node = Node {
            value: 1,
            next: Some(Box::new(node)),
            children: vec![],
        };
    }
    survives(&node);
    let deeper = Node {
        value: 1,
        next: Some(Box::new(node)),
        children: vec![],
    };
    assert_eq!(deeper.to_canonical_capnp(), Err(EncodeError::TooDeep));

    let empty = KeyEntry {
        kid: String::new(),
        public_key: vec![],
    };
    let count = usize::try_from(runtime::MAX_EMPTY_ELEMENTS).unwrap();
    let bundle = |keys| CABundle {
        epoch: 0,
        seqno: 0,
        keys,
        key_id: String::new(),
        prev_key_id: String::new(),
        issued_at: 0,
        signature: vec![],
    };
    let bytes = bundle(vec![empty.clone(); count])
        .to_canonical_capnp()
        .unwrap();
    assert_eq!(
        CABundle::from_canonical_capnp(&bytes).unwrap().keys.len(),
        count
    );
    let more = bundle(vec![empty; count + 1]);
    assert_eq!(more.to_canonical_capnp(), Err(EncodeError::TooLarge));
}

/// An attacker's 24 bytes must not become gigabytes.
#[test]
fn claims_cost_nothing() {
    let tag = u64::from(u32::MAX >> 3) << 2;
    let words = [1 << 48, 1 | 7 << 32, tag];
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    assert_eq!(CABundle::from_capnp(&bytes), Err(DecodeError::TooMuch));
}
