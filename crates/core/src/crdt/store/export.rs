//! What repair sends: entries become signed messages that anybody can verify. Records of one frame
//! travel together, as the whole frame if that is smaller than their proofs; heads come last, so
//! that a floor arrives after the records that it leaves alive.

use bytes::Bytes;

use super::entry::{Entry, EntryIx};
use super::{Hash, Store};
use crate::codec::Writer;
use crate::frame::header::MAX_BODY;
use crate::frame::{FrameRef, Record, Slot, Tag, merkle, write_head, write_proof};

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
    /// Messages that carry `entries`, until `budget` bytes are reached: the last entry may go
    /// beyond it. Entries that do not live any more are passed over. No message has more than
    /// 256 KiB beside its header.
    #[must_use]
    pub fn export(&self, entries: &[EntryIx], budget: usize) -> Exported {
        let mut wanted: Vec<(EntryIx, &Entry)> =
            entries.iter().filter_map(|&ix| Some((ix, self.entries.get(ix as usize)?))).collect();
        wanted.sort_unstable_by_key(|(ix, e)| (e.slot == Slot::HEAD, e.frame, e.index, *ix));
        wanted.dedup_by_key(|(ix, _)| *ix);
        let together =
            |a: &Entry, b: &Entry| a.frame == b.frame && !a.is_marker() && b.slot != Slot::HEAD;
        let mut out = Exported::default();
        // In ascending order, as the groups are.
        let mut frames_sent: Vec<u32> = Vec::new();
        for group in wanted.chunk_by(|a, b| together(a.1, b.1)) {
            if out.len >= budget {
                out.left_out += group.len();
                continue;
            }
            let frame = group[0].1.frame;
            match group[0].1.slot {
                // Its records brought the header along.
                Slot::HEAD if frames_sent.binary_search(&frame).is_ok() => {}
                Slot::HEAD => {
                    out.push(write_head(&self.frames[group[0].1.frame as usize].header, None));
                }
                Slot::CONVICTION => self.export_conviction(group[0].1, &mut out),
                _ => {
                    self.export_records(group, budget, &mut out);
                    frames_sent.push(frame);
                }
            }
        }
        out
    }

    fn export_conviction(&self, marker: &Entry, out: &mut Exported) {
        for [a, b] in self.authors[marker.author as usize].proofs_at(self.position(marker)) {
            out.push(write_head(a, Some(b)));
        }
    }

    /// The records of one frame: as proofs, or whole if that is smaller.
    fn export_records(&self, records: &[(EntryIx, &Entry)], budget: usize, out: &mut Exported) {
        let frame = records[0].1.frame;
        let state = &self.frames[frame as usize];
        let proof_len = |e: &Entry| {
            let count = usize::from(state.header.fields.count);
            2 + 32 * merkle::siblings(usize::from(e.index), count) + e.bytes.len()
        };
        let proofs_len = 2 + records.iter().map(|(_, e)| proof_len(e)).sum::<usize>();
        if state.header.fields.body_len as usize <= proofs_len
            && let Some(whole) = self.whole_frame(frame)
        {
            return out.push(whole);
        }
        let mut rest = records;
        while !rest.is_empty() && out.len < budget {
            let mut len = 0;
            let fits = |(_, e): &&(EntryIx, &Entry)| {
                len += proof_len(e);
                len <= MAX_BODY
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            out.push(self.proof(frame, now));
            rest = later;
        }
        out.left_out += rest.len();
    }

    fn proof(&self, frame: u32, records: &[(EntryIx, &Entry)]) -> Bytes {
        let state = &self.frames[frame as usize];
        let indexes: Vec<u16> = records.iter().map(|(_, e)| e.index).collect();
        let count = usize::from(state.header.fields.count);
        let read =
            |tree: &[Hash]| indexes.iter().map(|&i| merkle::path_in(tree, count, i)).collect();
        let read: Option<Vec<Vec<Hash>>> = state.tree().map(read);
        let path = |i: usize| -> &[Hash] {
            match (&records[i].1.path, &read) {
                (Some(path), _) => path,
                (None, Some(paths)) => &paths[i],
                (None, None) => &[],
            }
        };
        let parts: Vec<(u16, &[Hash], &[u8])> =
            (0..records.len()).map(|i| (indexes[i], path(i), &*records[i].1.bytes)).collect();
        write_proof(&state.header, &parts)
    }

    /// The frame as its author sealed it, if all of it lives. Not if it would not read: an author
    /// can lie about length and latest stamp in a frame that it spreads as proofs only.
    fn whole_frame(&self, frame: u32) -> Option<Bytes> {
        let state = &self.frames[frame as usize];
        let fields = &state.header.fields;
        if state.live_count() != usize::from(fields.count) {
            return None;
        }
        let room = 1 + state.header.wire_len() + fields.body_len as usize;
        let mut w = Writer::with_capacity(room);
        w.u8(Tag::Frame as u8);
        state.header.write(&mut w);
        let mut latest = None;
        for entry in state.live() {
            let bytes = &self.entries[entry as usize].bytes;
            latest = latest.max(Record::stored(bytes).map(|record| record.head.hlc));
            w.bytes(bytes);
        }
        let reads = w.len() == room && latest == Some(fields.hlc_max);
        reads.then(|| Bytes::from(w.into_vec()))
    }

    /// The live records of a frame that somebody asks for; its author's head if none lives.
    #[must_use]
    pub fn entries_of_frame(&self, wanted: &FrameRef) -> Vec<EntryIx> {
        let Some(frame) = self.find_frame(wanted) else { return Vec::new() };
        let live = self.frames[frame as usize].live();
        if live.is_empty() {
            self.entry_at(&wanted.author, Slot::HEAD).into_iter().collect()
        } else {
            live
        }
    }

    /// How an entry's frame is named to peers; `None` for convictions.
    #[must_use]
    pub fn frame_ref(&self, entry: EntryIx) -> Option<FrameRef> {
        let entry = self.entries.get(entry as usize).filter(|e| !e.is_marker())?;
        let fields = &self.frames[entry.frame as usize].header.fields;
        Some(FrameRef::of(fields))
    }
}
