//! Control messages: one encoding each, and calm about any bytes.

use proptest::prelude::*;

use super::*;
use crate::digest::{Position, Prefix, Root, Summary};
use crate::frame::Class;
use crate::identity::{Incarnation, NodeId, Seq};
use crate::time::WallMs;

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Cell), Just(Class::Region), Just(Class::Global)]
}

fn any_refs() -> impl Strategy<Value = Vec<FrameRef>> {
    let one = (any::<[u8; 32]>(), any::<[u64; 3]>()).prop_map(|(author, [i, s, tag])| FrameRef {
        author: NodeId(author),
        incarnation: Incarnation(i),
        seq_lo: Seq(s),
        tag,
    });
    proptest::collection::vec(one, 0..4)
}

/// Disjoint ascending ranges: the children of the root, each with one kind of content.
fn any_ranges() -> impl Strategy<Value = Vec<Range>> {
    let content = prop_oneof![
        any::<[u64; 4]>().prop_map(|[a, b, at, count]| {
            let mut children = Box::new([Summary::default(); 16]);
            let sum = (u128::from(a) << 64) | u128::from(b);
            children[at as usize % 16] = Summary { sum, count: count as u32 };
            Err(children)
        }),
        any::<bool>().prop_map(Ok::<bool, Box<[Summary; 16]>>),
    ];
    proptest::collection::btree_map(0u8..16, (content, any::<[u32; 2]>()), 0..5).prop_map(|all| {
        let range = |(nibble, (content, tags)): (u8, (Result<bool, _>, [u32; 2]))| {
            let prefix = Prefix::ROOT.child(nibble)?;
            let first = prefix.first().0;
            let items = vec![
                (Position(first), u64::from(tags[0])),
                (Position(first + 1), u64::from(tags[1])),
            ];
            let content = match content {
                Ok(answer) => RangeContent::Items { answer, items },
                Err(children) => RangeContent::Branches(children),
            };
            Some(Range { prefix, content })
        };
        all.into_iter().filter_map(range).collect()
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let digest = (any_class(), any::<bool>(), any::<[u8; 32]>(), any::<u32>(), any::<u64>())
        .prop_map(|(class, reply, root, count, wall)| {
            let (root, wall) = (Root(root), WallMs(wall));
            Message::Digest(Digest { class, reply, root, count, wall })
        });
    let ranges = (any_class(), any::<u32>(), any::<u8>(), any::<u64>(), any_ranges()).prop_map(
        |(class, session, step, salt, ranges)| {
            Message::Ranges(Ranges { class, session, step, salt, ranges })
        },
    );
    prop_oneof![
        digest,
        ranges,
        any_refs().prop_map(Message::Have),
        any_refs().prop_map(Message::Want),
        Just(Message::Prune),
        Just(Message::Recover),
        any::<u32>().prop_map(Message::Recovered),
        any::<bool>().prop_map(Message::Alive),
        any::<[u8; 32]>().prop_map(|id| Message::Ask(NodeId(id))),
        any::<[u8; 32]>().prop_map(|id| Message::Vouch(NodeId(id))),
    ]
}

proptest! {
    #[test]
    fn a_message_survives_its_encoding(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn what_decodes_is_the_only_encoding(
        message in any_message(), at: prop::sample::Index, bit in 0u8..8, cut: bool,
    ) {
        let mut bytes = message.encode().to_vec();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(other) = Message::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(
        tag in 0u8..24, rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = Bytes::from([vec![tag], rest].concat());
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

#[test]
fn ranges_out_of_order_or_overlapping_are_refused() {
    let range = |nibble| Range {
        prefix: Prefix::ROOT.child(nibble).unwrap(),
        content: RangeContent::Items { answer: false, items: vec![] },
    };
    let decode = |ranges| {
        let message = Ranges { class: Class::Cell, session: 1, step: 0, salt: 0, ranges };
        Message::decode(&Message::Ranges(message).encode())
    };
    assert!(decode(vec![range(1), range(2)]).is_ok());
    assert_eq!(decode(vec![range(2), range(1)]), Err(Refused::Malformed));
    assert_eq!(decode(vec![range(1), range(1)]), Err(Refused::Malformed));
    let whole = Range { prefix: Prefix::ROOT, ..range(0) };
    assert_eq!(decode(vec![whole, range(3)]), Err(Refused::Malformed));
}

#[test]
fn a_signed_message_is_its_own_encoding() {
    let bytes = Bytes::from_static(&[1, 2, 3]);
    assert_eq!(Message::decode(&bytes), Ok(Message::Signed(bytes.clone())));
    assert_eq!(Message::Signed(bytes.clone()).encode(), bytes);
}

#[test]
fn close_codes_are_positions() {
    assert!(Close::ALL.iter().enumerate().all(|(i, close)| close.code() as usize == i));
    assert_eq!(Lane::ALL.len(), 4);
}
