//! What repair sends: entries become signed messages that anybody can verify. Records of one frame
//! travel together, as the whole frame if that is smaller than their proofs; heads come last, so
//! that a floor arrives after the records that it leaves alive.

use bytes::Bytes;

use super::entry::{Entry, EntryIx};
use super::{Hash, Store};
use crate::codec::Writer;
use crate::frame::{FrameRef, Slot, Tag, merkle, write_head, write_proof};

/// Signed messages and how many entries they carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// To be sent in this order.
    pub messages: Vec<Bytes>,
    /// Bytes of all messages.
    pub len: usize,
    /// Entries that did not fit the budget.
    pub left_out: usize,
}

impl Exported {
    fn push(&mut self, message: Bytes) {
        self.len += message.len();
        self.messages.push(message);
    }
}

impl Store {
    /// Messages that carry `entries`, until `budget` bytes are reached; entries that do not live
    /// any more are passed over.
    #[must_use]
    pub fn export(&self, entries: &[EntryIx], budget: usize) -> Exported {
        let mut wanted: Vec<(EntryIx, &Entry)> =
            entries.iter().filter_map(|&ix| Some((ix, self.entries.get(ix as usize)?))).collect();
        wanted.sort_unstable_by_key(|(ix, e)| (e.slot == Slot::HEAD, e.frame, e.index, *ix));
        wanted.dedup_by_key(|(ix, _)| *ix);
        let mut out = Exported::default();
        for group in wanted.chunk_by(|a, b| a.1.frame == b.1.frame && a.1.slot != Slot::HEAD) {
            if out.len >= budget {
                out.left_out += group.len();
                continue;
            }
            match group[0].1.slot {
                Slot::HEAD => {
                    out.push(write_head(&self.frames[group[0].1.frame as usize].header, None))
                }
                Slot::CONVICTION => self.export_proofs(group, &mut out),
                _ => out.push(self.export_frame(group)),
            }
        }
        out
    }

    fn export_proofs(&self, markers: &[(EntryIx, &Entry)], out: &mut Exported) {
        for (_, marker) in markers {
            for [a, b] in self.authors[marker.author as usize].proofs() {
                out.push(write_head(a, Some(b)));
            }
        }
    }

    /// The records of one frame: as proofs, or whole if that is smaller.
    fn export_frame(&self, records: &[(EntryIx, &Entry)]) -> Bytes {
        let state = &self.frames[records[0].1.frame as usize];
        let count = usize::from(state.header.fields.count);
        let indexes: Vec<u16> = records.iter().map(|(_, e)| e.index).collect();
        let siblings: usize =
            indexes.iter().map(|&i| merkle::siblings(usize::from(i), count)).sum();
        let proof_len: usize =
            records.iter().map(|(_, e)| 2 + e.bytes.len()).sum::<usize>() + 32 * siblings + 2;
        let whole_len = state.header.fields.body_len as usize;
        if state.live_count() == count && whole_len <= proof_len {
            return self.export_whole(records[0].1.frame);
        }
        let computed = state.leaves().map(|leaves| merkle::paths(leaves, &indexes));
        let path = |i: usize| -> &[Hash] {
            match (&records[i].1.path, &computed) {
                (Some(path), _) => path,
                (None, Some(paths)) => &paths[i],
                (None, None) => &[],
            }
        };
        let parts: Vec<(u16, &[Hash], &[u8])> =
            (0..records.len()).map(|i| (indexes[i], path(i), &*records[i].1.bytes)).collect();
        write_proof(&state.header, &parts)
    }

    fn export_whole(&self, frame: u32) -> Bytes {
        let state = &self.frames[frame as usize];
        let room = 1 + state.header.wire_len() + state.header.fields.body_len as usize;
        let mut w = Writer::with_capacity(room);
        w.u8(Tag::Frame as u8);
        state.header.write(&mut w);
        for entry in state.live() {
            w.bytes(&self.entries[entry as usize].bytes);
        }
        Bytes::from(w.into_vec())
    }

    /// The live records of a frame that somebody asks for; its head if none lives.
    #[must_use]
    pub fn entries_of_frame(&self, wanted: &FrameRef) -> Vec<EntryIx> {
        let Some(frame) = self.find_frame(wanted) else { return Vec::new() };
        self.frames[frame as usize].live()
    }

    /// How an entry's frame is named to peers; `None` for convictions.
    #[must_use]
    pub fn frame_ref(&self, entry: EntryIx) -> Option<FrameRef> {
        let entry = self.entries.get(entry as usize).filter(|e| !e.is_marker())?;
        let fields = &self.frames[entry.frame as usize].header.fields;
        Some(FrameRef::of(fields))
    }
}
