//! The shared half of the registry: rows in a slab, and four ways to them: by index, by id, by
//! region, and the dense list of all members that selection draws from.
//!
//! An index is used again when its peer has left, with the next generation, so that an old
//! [`PeerIx`] finds nobody. After 256 peers it is retired for ever.

use core::hash::BuildHasher as _;
use std::net::SocketAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashSet, HashTable};

use super::names::{NameIx, Names};
use super::{PeerInfo, RegisterError, Settings};
use crate::identity::{Incarnation, NodeId, PeerIx};
use crate::time::Time;

/// What the mesh says about its members. Made by registering them; see
/// [`PeerRegistry::snapshot`](super::PeerRegistry::snapshot).
#[derive(Clone, Debug)]
pub struct Directory {
    settings: Settings,
    slots: Vec<Slot>,
    free: Vec<u32>,
    members: Vec<PeerIx>,
    by_id: HashTable<u32>,
    /// By the number of the region's name.
    regions: Vec<Vec<PeerIx>>,
    names: Names,
    absent: HashSet<NodeId, FixedState>,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u8,
    row: Option<Row>,
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: NodeId,
    pub(super) addresses: Box<[SocketAddr]>,
    pub(super) incarnation: Incarnation,
    pub(super) registered: Time,
    pub(super) region: NameIx,
    pub(super) zone: NameIx,
    /// Place in `members`.
    place: u32,
    /// Place in the list of its region.
    region_place: u32,
}

impl Row {
    pub(super) fn place(&self) -> usize {
        self.place as usize
    }
}

impl Directory {
    /// Nobody yet.
    pub(super) fn new(settings: Settings) -> Self {
        Directory {
            settings,
            slots: Vec::new(),
            free: Vec::new(),
            members: Vec::new(),
            by_id: HashTable::new(),
            regions: Vec::new(),
            names: Names::default(),
            absent: HashSet::default(),
        }
    }

    /// Number of members listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no member is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The id of the member at `index`, in the order of registration.
    #[must_use]
    pub fn id_at(&self, index: usize) -> Option<NodeId> {
        self.slots.get(index)?.row.as_ref().map(|row| row.id)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn members(&self) -> &[PeerIx] {
        &self.members
    }

    pub(super) fn region(&self, name: &str) -> &[PeerIx] {
        let known = self.names.find(name).and_then(|ix| self.regions.get(usize::from(ix)));
        known.map_or(&[], Vec::as_slice)
    }

    pub(super) fn name(&self, ix: NameIx) -> &str {
        self.names.text(ix)
    }

    pub(super) fn row(&self, ix: PeerIx) -> Option<&Row> {
        let slot = self.slots.get(ix.index())?;
        slot.row.as_ref().filter(|_| slot.generation == ix.generation())
    }

    /// The member at `index` now, whatever its generation.
    pub(super) fn at(&self, index: u32) -> Option<PeerIx> {
        let slot = self.slots.get(index as usize)?;
        slot.row.as_ref().map(|_| PeerIx::new(index as usize, slot.generation))
    }

    fn row_mut(&mut self, ix: PeerIx) -> Option<&mut Row> {
        let slot = self.slots.get_mut(ix.index())?;
        slot.row.as_mut().filter(|_| slot.generation == ix.generation())
    }

    pub(super) fn find(&self, id: &NodeId) -> Option<PeerIx> {
        let is_it =
            |ix: &u32| self.slots[*ix as usize].row.as_ref().is_some_and(|row| row.id == *id);
        self.at(*self.by_id.find(hash(id), is_it)?)
    }

    /// Whether `peer` can be written at all.
    pub(super) fn check(&self, peer: &PeerInfo) -> Result<(), RegisterError> {
        if peer.addresses.len() > PeerInfo::MAX_ADDRESSES {
            return Err(RegisterError::TooManyAddresses);
        }
        if peer.region.len().max(peer.zone.len()) > PeerInfo::MAX_NAME {
            return Err(RegisterError::NameTooLong);
        }
        // Two new names at most.
        let unknown = |name: &str| self.names.find(name).is_none();
        let new = usize::from(unknown(&peer.region)) + usize::from(unknown(&peer.zone));
        if new > self.names.room() { Err(RegisterError::TooManyNames) } else { Ok(()) }
    }

    /// Whether [`Directory::update`] would write anything: it unshares the directory.
    pub(super) fn would_change(&self, ix: PeerIx, peer: &PeerInfo) -> bool {
        let Some(row) = self.row(ix) else { return false };
        if peer.incarnation < row.incarnation {
            return false;
        }
        peer.incarnation > row.incarnation
            || *peer.addresses != *row.addresses
            || peer.region != self.name(row.region)
            || peer.zone != self.name(row.zone)
    }

    /// Writes a checked peer over what was known of it.
    pub(super) fn update(&mut self, ix: PeerIx, peer: PeerInfo) {
        let Some((old_region, old_zone)) = self.row(ix).map(|row| (row.region, row.zone)) else {
            return;
        };
        // Given back first, so that the check of the room holds whatever the names are.
        self.leave_region(ix);
        self.names.give_back(old_region);
        self.names.give_back(old_zone);
        let region = self.names.take(&peer.region);
        let zone = self.names.take(&peer.zone);
        if let Some(row) = self.row_mut(ix) {
            row.addresses = peer.addresses.into();
            row.incarnation = peer.incarnation;
            (row.region, row.zone) = (region, zone);
        }
        self.enter_region(ix);
    }

    /// Writes a checked peer that is not listed yet.
    pub(super) fn insert(&mut self, peer: PeerInfo, now: Time) -> Result<PeerIx, RegisterError> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.slots.len() < PeerIx::MAX => {
                self.slots.push(Slot { generation: 0, row: None });
                self.slots.len() - 1
            }
            None => return Err(RegisterError::Exhausted),
        };
        let ix = PeerIx::new(index, self.slots[index].generation);
        self.absent.remove(&peer.id);
        let row = Row {
            id: peer.id,
            addresses: peer.addresses.into(),
            incarnation: peer.incarnation,
            registered: now,
            region: self.names.take(&peer.region),
            zone: self.names.take(&peer.zone),
            place: self.members.len() as u32,
            region_place: 0,
        };
        self.slots[index].row = Some(row);
        self.members.push(ix);
        let slots = &self.slots;
        // Every index in the table has a row; a wrong hash would only lose one that has none.
        let rehash = |ix: &u32| slots[*ix as usize].row.as_ref().map_or(0, |row| hash(&row.id));
        self.by_id.insert_unique(hash(&peer.id), index as u32, rehash);
        self.enter_region(ix);
        Ok(ix)
    }

    /// Takes a member out everywhere; nothing if it is none.
    pub(super) fn remove(&mut self, ix: PeerIx) {
        if self.row(ix).is_none() {
            return;
        }
        self.leave_region(ix);
        let slot = &mut self.slots[ix.index()];
        let Some(row) = slot.row.take() else { return };
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(ix.index() as u32);
        }
        if let Ok(entry) =
            self.by_id.find_entry(hash(&row.id), |found| *found as usize == ix.index())
        {
            entry.remove();
        }
        self.names.give_back(row.region);
        self.names.give_back(row.zone);
        self.members.swap_remove(row.place());
        if let Some(moved) = self.members.get(row.place()).copied()
            && let Some(moved) = self.row_mut(moved)
        {
            moved.place = row.place;
        }
    }

    fn enter_region(&mut self, ix: PeerIx) {
        let Some(region) = self.row(ix).map(|row| usize::from(row.region)) else { return };
        if self.regions.len() <= region {
            self.regions.resize_with(region + 1, Vec::new);
        }
        let place = self.regions[region].len() as u32;
        self.regions[region].push(ix);
        if let Some(row) = self.row_mut(ix) {
            row.region_place = place;
        }
    }

    fn leave_region(&mut self, ix: PeerIx) {
        let Some((region, place)) = self.row(ix).map(|row| (row.region, row.region_place)) else {
            return;
        };
        let list = &mut self.regions[usize::from(region)];
        list.swap_remove(place as usize);
        if list.is_empty() {
            *list = Vec::new();
        }
        if let Some(moved) = list.get(place as usize).copied()
            && let Some(moved) = self.row_mut(moved)
        {
            moved.region_place = place;
        }
    }

    /// How many members are absent: not listed, but not left either.
    pub(super) fn absent(&self) -> usize {
        self.absent.len()
    }

    pub(super) fn absent_ids(&self) -> impl Iterator<Item = &NodeId> {
        self.absent.iter()
    }

    pub(super) fn is_absent(&self, id: &NodeId) -> bool {
        self.absent.contains(id)
    }

    /// Counts `id` as a member although it is not listed; at most as many as there may be peers.
    pub(super) fn remember_absent(&mut self, id: NodeId) {
        if self.absent.len() < self.settings.max_peers {
            self.absent.insert(id);
        }
    }

    pub(super) fn forget_absent(&mut self, id: &NodeId) -> bool {
        self.absent.remove(id)
    }
}

fn hash(id: &NodeId) -> u64 {
    FixedState::default().hash_one(id)
}
