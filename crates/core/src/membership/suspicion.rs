//! What a node says about members that it does not reach: a signed list in its slot 1, replicated
//! like any other record. An entry names the member *and* the age of its member record, so whatever
//! the member signs later about itself makes the entry void: only it can refute, and it always can.
//!
//! Whose entries count is not up to who accuses. Each age of each member has its own observers:
//!
//! ```text
//!   rank(observer) = mix(observer's id ^ mix(member's id, incarnation, seq))
//!   the 31 listed members with the lowest ranks; 16 of them certify a death
//! ```
//!
//! Lists of members that differ a little give draws that differ a little, and a refutation draws
//! anew: an id that was ground to observe somebody serves until that one speaks.

use crate::codec::{Reader, Writer};
use crate::error::Refused;
use crate::identity::{Incarnation, NodeId, Seq};
use crate::rng::mix;
use crate::time::WallMs;

/// Observers of one member.
const OBSERVERS: usize = 31;

/// When a member last spoke about itself: incarnation and place of its member record.
pub type Age = (Incarnation, Seq);

/// One member that the author of the list does not reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Suspicion {
    /// The member.
    pub node: NodeId,
    /// Of its member record; void when there is a newer one.
    pub age: Age,
    /// Since when it is not reached, in seconds since 1970 by mesh time.
    pub since: u32,
}

impl Suspicion {
    /// Most entries of one list: 13 KiB.
    pub const MAX: usize = 255;
    const LEN: usize = 32 + 8 + 8 + 4;

    /// The payload of the list; entries beyond [`Suspicion::MAX`] are left out.
    #[must_use]
    pub fn encode(list: &[Suspicion]) -> Vec<u8> {
        let list = &list[..list.len().min(Self::MAX)];
        let mut w = Writer::with_capacity(1 + list.len() * Self::LEN);
        w.u8(list.len() as u8);
        for Suspicion { node, age: (incarnation, seq), since } in list {
            w.bytes(&node.0).u64(incarnation.0).u64(seq.0).u32(*since);
        }
        w.into_vec()
    }

    /// Reads the payload of a list. Bytes behind it are of later versions and passed over.
    ///
    /// # Errors
    /// [`Refused`] if it is none; its author then suspects nobody.
    pub fn decode(payload: &[u8]) -> Result<Vec<Self>, Refused> {
        let mut r = Reader::new(payload);
        let count = usize::from(r.u8()?);
        let one = |_| {
            let (node, age) = (NodeId(r.array()?), (Incarnation(r.u64()?), Seq(r.u64()?)));
            Ok(Suspicion { node, age, since: r.u32()? })
        };
        (0..count).map(one).collect()
    }
}

/// Wall time as suspicions say it.
pub(super) fn seconds(wall: WallMs) -> u32 {
    u32::try_from(wall.0 / 1_000).unwrap_or(u32::MAX)
}

/// Who observes a member of some age, drawn from all that are listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    salt: u64,
    /// The highest rank of an observer.
    last: u64,
    /// Observers whose entries make a certificate.
    pub(super) quorum: usize,
}

/// What a draw needs of a node's id.
pub(super) fn short(id: &NodeId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Draw {
    /// The draw for `node` at `age`; `listed` are all other members, by [`short`], in any order.
    pub(super) fn new(node: &NodeId, age: Age, listed: &[u64], ranks: &mut Vec<u64>) -> Self {
        let salt = mix(short(node) ^ mix(age.0.0 ^ mix(age.1.0)));
        ranks.clear();
        ranks.extend(listed.iter().filter(|id| **id != short(node)).map(|id| mix(id ^ salt)));
        let observers = ranks.len().min(OBSERVERS);
        let last = match observers {
            0 => 0,
            _ => *ranks.select_nth_unstable(observers - 1).1,
        };
        Draw { salt, last, quorum: observers / 2 + 1 }
    }

    /// Whether it is an observer.
    pub(super) fn appoints(&self, id: &NodeId) -> bool {
        mix(short(id) ^ self.salt) <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u64) -> NodeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&mix(n + 1).to_le_bytes());
        NodeId(id)
    }

    fn draw(members: &[NodeId], of: &NodeId, age: Age) -> (Draw, Vec<NodeId>) {
        let listed: Vec<u64> = members.iter().map(short).collect();
        let draw = Draw::new(of, age, &listed, &mut Vec::new());
        let appointed = |m: &&NodeId| *m != of && draw.appoints(m);
        (draw, members.iter().filter(appointed).copied().collect())
    }

    const AGE: Age = (Incarnation(7), Seq(3));

    proptest! {
        #[test]
        fn a_list_survives_its_encoding(
            entries in proptest::collection::vec(any::<([u8; 32], u64, u64, u32)>(), 0..300),
        ) {
            let one = |(node, incarnation, seq, since)| {
                let age = (Incarnation(incarnation), Seq(seq));
                Suspicion { node: NodeId(node), age, since }
            };
            let list: Vec<Suspicion> = entries.into_iter().map(one).collect();
            let mut bytes = Suspicion::encode(&list);
            bytes.extend_from_slice(b"of a later version");
            let kept = list[..list.len().min(Suspicion::MAX)].to_vec();
            prop_assert_eq!(Suspicion::decode(&bytes), Ok(kept));
            prop_assert!(bytes.len() <= 16_384, "a reserved slot holds it");
        }

        #[test]
        fn arbitrary_bytes_are_refused_calmly(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            if let Ok(list) = Suspicion::decode(&bytes) {
                prop_assert!(list.len() <= Suspicion::MAX);
            }
        }
    }

    #[test]
    fn in_a_small_mesh_all_others_observe() {
        for n in 2..=32u64 {
            let members: Vec<NodeId> = (0..n).map(id).collect();
            let (draw, observers) = draw(&members, &members[0], AGE);
            assert_eq!(observers, members[1..], "of {n}");
            let others = members.len() - 1;
            // A third that lies or is silent neither makes nor prevents a certificate.
            let liars = (members.len() - 1) / 3;
            assert!(liars < draw.quorum && (liars == 0 || others - liars >= draw.quorum), "of {n}");
        }
    }

    #[test]
    fn in_a_large_mesh_31_do_and_each_word_of_the_member_draws_others() {
        let members: Vec<NodeId> = (0..1_000).map(id).collect();
        let (first, observers) = draw(&members, &members[5], AGE);
        assert_eq!((observers.len(), first.quorum), (31, 16));
        let (_, later) = draw(&members, &members[5], (AGE.0, Seq(4)));
        let same = later.iter().filter(|id| observers.contains(id)).count();
        assert!(same < 10, "{same} of 31 observe it again");
    }

    #[test]
    fn lists_that_differ_a_little_appoint_nearly_the_same() {
        let members: Vec<NodeId> = (0..1_000).map(id).collect();
        let (_, of_all) = draw(&members, &members[5], AGE);
        let (_, of_most) = draw(&members[..950], &members[5], AGE);
        let common = of_all.iter().filter(|id| of_most.contains(id)).count();
        assert!(common >= 26, "{common} of 31");
        let stay = of_all.iter().filter(|id| members[..950].contains(id));
        assert!(stay.clone().all(|id| of_most.contains(id)), "who is in both lists stays");
    }

    #[test]
    fn nobody_observes_in_a_mesh_of_one() {
        let (draw, observers) = draw(&[id(1)], &id(1), AGE);
        assert_eq!((draw.quorum, observers.len()), (1, 0));
    }
}
