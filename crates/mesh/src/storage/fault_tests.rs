//! A disk that fails, fills up, loses its power or rots, and what a store says and keeps.
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::messages::sink::OwnRecord;
use proptest::prelude::*;
use redb::{Database, StorageBackend};
use tokio::sync::mpsc::error::TryRecvError;

use super::backup::{BackupError, RestoreError, Trust, restore};
use super::file::FILE_NAME;
use super::*;
use crate::test_folder::Folder;

const NODE: NodeId = NodeId([1; 32]);
const MESH: MeshId = MeshId([2; 32]);

/// A disk in memory. What was written and not synced may be lost, each write by itself.
#[derive(Clone, Debug, Default)]
struct FakeDisk(Arc<Mutex<Platters>>);

#[derive(Debug, Default)]
struct Platters {
    synced: Vec<u8>,
    /// As the process sees it.
    now: Vec<u8>,
    /// Writes since the last sync.
    loose: Vec<(usize, Vec<u8>)>,
    /// Bytes that fit.
    room: Option<u64>,
    /// Operations that still succeed.
    healthy_for: Option<usize>,
}

impl Platters {
    fn operate(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.healthy_for {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the disk is gone"))?;
        }
        Ok(())
    }
}

impl FakeDisk {
    fn with<R>(&self, change: impl FnOnce(&mut Platters) -> R) -> R {
        change(&mut self.0.lock().unwrap())
    }

    fn fail_after(&self, operations: usize) {
        self.with(|disk| disk.healthy_for = Some(operations));
    }

    fn repair(&self) {
        self.with(|disk| (disk.healthy_for, disk.room) = (None, None));
    }

    /// The disk after a loss of power: of the writes that were not synced those that `kept` names.
    fn after_power_loss(&self, kept: &[bool]) -> FakeDisk {
        self.with(|disk| {
            let mut left = disk.synced.clone();
            left.resize(disk.now.len(), 0);
            for ((at, bytes), _) in disk.loose.iter().zip(kept).filter(|(_, kept)| **kept) {
                left[*at..*at + bytes.len()].copy_from_slice(bytes);
            }
            FakeDisk(Arc::new(Mutex::new(Platters {
                synced: left.clone(),
                now: left,
                ..Platters::default()
            })))
        })
    }
}

impl StorageBackend for FakeDisk {
    fn len(&self) -> io::Result<u64> {
        self.with(|disk| Ok(disk.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|disk| {
            disk.operate()?;
            let at = offset as usize;
            let held = disk.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(held);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|disk| {
            disk.operate()?;
            if disk.room.is_some_and(|room| len > room) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.now.resize(len as usize, 0);
            disk.loose.retain(|(at, bytes)| at + bytes.len() <= len as usize);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|disk| {
            disk.operate()?;
            (disk.synced, disk.loose) = (disk.now.clone(), Vec::new());
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|disk| {
            disk.operate()?;
            let at = offset as usize;
            disk.now[at..at + data.len()].copy_from_slice(data);
            disk.loose.push((at, data.to_vec()));
            Ok(())
        })
    }
}

fn open_on(disk: &FakeDisk) -> Result<(Store, Found, mpsc::Receiver<Answer>), StoreError> {
    let (sender, receiver) = mpsc::channel(64);
    let (disk, path) = (disk.clone(), PathBuf::from("fake"));
    let (store, found) = Store::open_with(path.clone(), NODE, MESH, sender, move || {
        let opened = Database::builder().create_with_backend(disk.clone());
        opened.map_err(|error| file::refused(&path, error))
    })?;
    Ok((store, found, receiver))
}

fn batch(id: u64, slot: u16, bytes: &[u8]) -> Persist {
    let record = OwnRecord { slot: Slot(slot), bytes: Bytes::copy_from_slice(bytes) };
    Persist { id: PersistId(id), incarnation: Incarnation(40), records: vec![record] }
}

/// Persists and waits for the answer.
fn stored(
    store: &Store,
    answers: &mut mpsc::Receiver<Answer>,
    batch: Persist,
) -> Result<(), StoreFault> {
    assert!(store.persist(batch).is_none());
    answers.blocking_recv().unwrap().1
}

fn until(mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !done() {
        assert!(std::time::Instant::now() < end, "in vain");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_disk_that_fails_is_told_refuses_and_takes_what_it_owes_when_it_is_back() {
    let disk = FakeDisk::default();
    let (store, _, mut answers) = open_on(&disk).unwrap();
    assert_eq!(stored(&store, &mut answers, batch(1, 16, b"kept")), Ok(()));
    assert_eq!(store.health(), Health::Good);
    disk.fail_after(0);
    let refused = stored(&store, &mut answers, batch(2, 17, b"owed"));
    assert!(refused.unwrap_err().0.contains("the disk is gone"));
    assert!(matches!(store.health(), Health::Failed(_)), "said before it was answered");
    assert!(stored(&store, &mut answers, batch(3, 16, b"owed too")).is_err());
    let copy = store.back_up("/nowhere".into()).blocking_recv().unwrap();
    assert!(matches!(copy, Err(BackupError::Failed)), "{copy:?}");
    disk.repair();
    until(|| store.health() == Health::Good);
    assert_eq!(stored(&store, &mut answers, batch(4, 18, b"new")), Ok(()));
    store.close();
    let (store, found, _answers) = open_on(&disk).unwrap();
    assert_eq!(found.records, ["owed too", "owed", "new"].map(Bytes::from));
    store.close();
}

#[test]
fn a_full_disk_is_told_as_such() {
    let disk = FakeDisk::default();
    let (store, _, mut answers) = open_on(&disk).unwrap();
    disk.with(|disk| disk.room = Some(disk.now.len() as u64));
    let large = vec![7; 16 << 10];
    let fault = (0..2_000)
        .find_map(|i| stored(&store, &mut answers, batch(i, 16 + i as u16, &large)).err());
    let fault = fault.expect("it holds no 32 MB").0;
    assert!(fault.to_lowercase().contains("full") || fault.contains("space"), "{fault}");
    disk.repair();
    until(|| store.health() == Health::Good);
    store.close();
}

#[test]
fn a_failure_at_any_operation_of_a_commit_loses_nothing_that_was_acknowledged() {
    for healthy in 0..200 {
        let disk = FakeDisk::default();
        let (store, _, mut answers) = open_on(&disk).unwrap();
        assert_eq!(stored(&store, &mut answers, batch(1, 16, b"first")), Ok(()));
        disk.fail_after(healthy);
        let second = stored(&store, &mut answers, batch(2, 16, b"second"));
        store.close();
        // What the process could not write is lost with it.
        disk.repair();
        let (store, found, _answers) = open_on(&disk).unwrap();
        let held = &found.records[0];
        assert!(held == "second" || (second.is_err() && held == "first"), "{held:?} {healthy}");
        store.close();
        if second.is_ok() {
            assert!(healthy > 3, "the failure was never reached");
            return;
        }
    }
    panic!("a commit takes more than 200 operations");
}

#[test]
fn a_failure_while_opening_is_told() {
    let disk = FakeDisk::default();
    open_on(&disk).unwrap().0.close();
    for healthy in 0.. {
        disk.fail_after(healthy);
        match open_on(&disk) {
            Err(StoreError::Unusable { reason, .. }) => {
                assert!(reason.to_string().contains("the disk is gone"), "{reason}");
            }
            Err(other) => panic!("{other}"),
            Ok((store, ..)) => {
                disk.repair();
                store.close();
                assert!(healthy > 3);
                return;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Power goes while writes are on their way; any part of what was not synced may be there.
    #[test]
    fn a_loss_of_power_keeps_what_was_acknowledged(
        writes in 1usize..12, cut in 0usize..60, kept in prop::collection::vec(any::<bool>(), 400),
    ) {
        let disk = FakeDisk::default();
        let (store, _, mut answers) = open_on(&disk).unwrap();
        let mut acknowledged = BTreeMap::new();
        disk.fail_after(usize::MAX);
        for i in 0..writes {
            if i + 1 == writes {
                disk.fail_after(cut);
            }
            let (slot, value) = (16 + (i % 5) as u16, format!("value {i}"));
            if stored(&store, &mut answers, batch(i as u64, slot, value.as_bytes())).is_ok() {
                acknowledged.insert(slot, (i, value));
            }
        }
        let left = disk.after_power_loss(&kept);
        disk.fail_after(0);
        store.close();
        let (store, found, _answers) = open_on(&left).expect("a crash is no damage");
        store.close();
        for (slot, (i, value)) in acknowledged {
            let in_doubt = i + 5 < writes + 1 && writes - 1 == i + 5;
            let held = found.records.iter().any(|bytes| bytes == value.as_bytes());
            let newer = format!("value {}", i + 5);
            let held = held || (in_doubt && found.records.iter().any(|b| b == newer.as_bytes()));
            prop_assert!(held, "slot {slot} lost {value}");
        }
    }

    /// A file that rots is refused, or holds what it held: never something else.
    #[test]
    fn rot_and_truncation_are_told(
        at in any::<prop::sample::Index>(), flip in 1u8.., truncate: bool,
    ) {
        let disk = FakeDisk::default();
        let (store, _, mut answers) = open_on(&disk).unwrap();
        for slot in 16..40 {
            prop_assert!(stored(&store, &mut answers, batch(1, slot, &[slot as u8; 700])).is_ok());
        }
        store.close();
        let before = open_on(&disk).unwrap();
        let whole = before.1.records.clone();
        before.0.close();
        disk.with(|disk| {
            let at = at.index(disk.now.len());
            if truncate { disk.now.truncate(at) } else { disk.now[at] ^= flip }
            disk.synced.clone_from(&disk.now);
        });
        match open_on(&disk) {
            Ok((store, found, _answers)) => {
                store.close();
                // An empty file is a new store; what a node makes of that is its key's matter.
                let new = found.records.is_empty() && found.incarnation.is_none();
                let told = found.records.len();
                prop_assert!(found.records == whole || (truncate && new), "{told} records");
            }
            Err(StoreError::Damaged { .. } | StoreError::Version { .. }) => {}
            Err(StoreError::Foreign { .. }) => prop_assert!(false, "its owner is verified as well"),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let disk = FakeDisk::default();
    let set_format = |format: Option<u64>| {
        let database = Database::builder().create_with_backend(disk.clone()).unwrap();
        let write = database.begin_write().unwrap();
        {
            let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
            let mut meta = write.open_table(meta).unwrap();
            match format {
                Some(format) => meta.insert("format", format.to_le_bytes().as_slice()).map(drop),
                None => meta.remove("format").map(drop),
            }
            .unwrap();
        }
        write.commit().unwrap();
    };
    open_on(&disk).unwrap().0.close();
    for (format, told) in [(Some(3), 3), (None, 1)] {
        set_format(format);
        let refused = open_on(&disk).err();
        assert!(
            matches!(refused, Some(StoreError::Version { found, known: 2, .. }) if found == told),
            "{refused:?}"
        );
    }
    set_format(Some(2));
    open_on(&disk).unwrap().0.close();
}

fn on_disk(folder: &Folder) -> (Store, Found, mpsc::Receiver<Answer>) {
    let (sender, receiver) = mpsc::channel(64);
    let (store, found) = Store::open(&folder.0, NODE, MESH, sender).unwrap();
    (store, found, receiver)
}

#[test]
fn a_restored_copy_asks_peers_until_its_node_has_written_again() {
    let (folder, copies) = (Folder::new("backed-up"), Folder::new("copies"));
    file::create_folder(&copies.0).unwrap();
    let copy = copies.0.join("copy");
    let (store, _, mut answers) = on_disk(&folder);
    assert_eq!(stored(&store, &mut answers, batch(1, 16, b"then")), Ok(()));
    let summary = store.back_up(copy.clone()).blocking_recv().unwrap().unwrap();
    assert_eq!((summary.records, summary.incarnation), (1, Incarnation(40)));
    let again = store.back_up(copy.clone()).blocking_recv().unwrap();
    assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
    let nowhere = store.back_up(copies.0.join("no/such")).blocking_recv().unwrap();
    assert!(matches!(nowhere, Err(BackupError::Io { .. })), "{nowhere:?}");
    assert_eq!(std::fs::read_dir(&copies.0).unwrap().count(), 1, "nothing is left behind");
    assert_eq!(stored(&store, &mut answers, batch(2, 16, b"later")), Ok(()));
    let there = restore(&copy, &folder.0, NODE, MESH, Trust::AskPeers);
    assert!(matches!(there, Err(RestoreError::Exists { .. })), "{there:?}");
    store.close();
    assert!(!on_disk(&folder).1.outdated);

    let back = Folder::new("restored");
    let restored = restore(&copy, &back.0, NODE, MESH, Trust::AskPeers).unwrap();
    assert_eq!(restored, summary);
    for _ in 0..2 {
        let (store, found, _answers) = on_disk(&back);
        assert!(found.outdated && found.incarnation == Some(Incarnation(40)));
        assert_eq!(found.records, ["then"]);
        store.close();
    }
    let (store, _, mut answers) = on_disk(&back);
    assert_eq!(stored(&store, &mut answers, batch(3, 16, b"now")), Ok(()));
    store.close();
    assert!(!on_disk(&back).1.outdated, "it is the newest from then on");

    let trusted = Folder::new("trusted");
    restore(&copy, &trusted.0, NODE, MESH, Trust::Newest).unwrap();
    assert!(!on_disk(&trusted).1.outdated);
    // The file itself is marked, however it came into the folder.
    let copied = Folder::new("copied-by-hand");
    file::create_folder(&copied.0).unwrap();
    std::fs::copy(&copy, copied.0.join(FILE_NAME)).unwrap();
    assert!(on_disk(&copied).1.outdated);
}

#[test]
fn a_copy_of_another_node_or_mesh_or_no_copy_at_all_is_refused() {
    let (folder, copies, back) =
        (Folder::new("of-one"), Folder::new("its-copies"), Folder::new("not-restored"));
    file::create_folder(&copies.0).unwrap();
    let copy = copies.0.join("copy");
    let (store, _, mut answers) = on_disk(&folder);
    assert_eq!(stored(&store, &mut answers, batch(1, 16, b"mine")), Ok(()));
    store.back_up(copy.clone()).blocking_recv().unwrap().unwrap();
    store.close();
    assert!(matches!(answers.try_recv(), Err(TryRecvError::Empty | TryRecvError::Disconnected)));
    let refused = |from: &Path, node, mesh| {
        let refused = restore(from, &back.0, node, mesh, Trust::AskPeers).unwrap_err();
        assert!(!back.0.join(FILE_NAME).exists(), "{refused}");
        assert_eq!(std::fs::read_dir(&back.0).unwrap().count(), 0, "nothing is left behind");
        refused.to_string()
    };
    assert!(refused(&copy, NodeId([9; 32]), MESH).contains("another node key"));
    assert!(refused(&copy, NODE, MeshId([9; 32])).contains("another mesh"));
    assert!(refused(&copies.0.join("none"), NODE, MESH).contains("cannot open"));
    let text = copies.0.join("text");
    std::fs::write(&text, "hello").unwrap();
    assert!(refused(&text, NODE, MESH).contains("damaged"));
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.windows(4).position(|four| four == b"mine").unwrap();
    bytes[middle] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    assert!(refused(&copy, NODE, MESH).contains("damaged"));
}
