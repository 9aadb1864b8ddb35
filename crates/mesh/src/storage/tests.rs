//! What a store promises: acknowledged means readable after a restart, and every fault is told.
use super::file::FILE_NAME;
use super::*;
use crate::test_folder::Folder;
use knhk_mesh_core::frame::Slot;
use knhk_mesh_core::messages::sink::OwnRecord;

const NODE_A: NodeId = NodeId([1; 32]);
const MESH_A: MeshId = MeshId([2; 32]);

fn open(folder: &Folder) -> Result<(Store, Found, mpsc::Receiver<Answer>), StoreError> {
    let (sender, receiver) = mpsc::channel(16);
    let (store, found) = Store::open(&folder.0, NODE_A, MESH_A, sender)?;
    Ok((store, found, receiver))
}

fn batch(id: u64, slot: u16, bytes: &'static [u8]) -> Persist {
    let record = OwnRecord { slot: Slot(slot), bytes: Bytes::from_static(bytes) };
    Persist { id: PersistId(id), incarnation: Incarnation(40 + id), records: vec![record] }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    let (store, found, mut answers) = open(&folder).unwrap();
    assert!(found.incarnation.is_none() && found.records.is_empty());
    for one in [batch(1, 16, b"old"), batch(2, 17, b"other"), batch(3, 16, b"new")] {
        assert!(store.persist(one).is_none());
    }
    for id in 1..=3 {
        assert_eq!(answers.recv().await, Some((PersistId(id), Ok(()))));
    }
    tokio::task::spawn_blocking(|| store.close()).await.unwrap();
    let (_store, found, _answers) = open(&folder).unwrap();
    assert_eq!(found.incarnation, Some(Incarnation(43)));
    assert_eq!(found.records, [Bytes::from("new"), Bytes::from("other")]);
}

#[tokio::test]
async fn closing_commits_what_waits() {
    let folder = Folder::new("closing");
    let (store, _, _answers) = open(&folder).unwrap();
    (0..10).for_each(|id| drop(store.persist(batch(id, 16 + id as u16, b"x"))));
    tokio::task::spawn_blocking(|| store.close()).await.unwrap();
    assert_eq!(open(&folder).unwrap().1.records.len(), 10);
}

#[tokio::test]
async fn a_store_of_another_key_or_mesh_is_refused_and_stays_as_it_is() {
    let folder = Folder::new("foreign");
    open(&folder).unwrap().0.close();
    for (node, mesh, named) in
        [(NodeId([9; 32]), MESH_A, "node key"), (NODE_A, MeshId([9; 32]), "mesh")]
    {
        let refused = Store::open(&folder.0, node, mesh, mpsc::channel(1).0).err();
        assert!(
            matches!(refused, Some(StoreError::Foreign { what, .. }) if what == named),
            "{refused:?}"
        );
    }
    open(&folder).unwrap().0.close();
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = Folder::new("in-use");
    let (_held, _, _answers) = open(&folder).unwrap();
    assert!(matches!(open(&folder).err(), Some(StoreError::InUse { .. })));
}

#[test]
fn a_damaged_file_is_named() {
    let folder = Folder::new("damaged");
    create_folder(&folder.0).unwrap();
    std::fs::write(folder.0.join(FILE_NAME), vec![7; 20_000]).unwrap();
    assert!(matches!(open(&folder).err(), Some(StoreError::Damaged { .. })));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new("file-in-the-way");
    std::fs::write(&folder.0, "a file").unwrap();
    let refused = open(&folder).err();
    std::fs::remove_file(&folder.0).unwrap();
    assert!(matches!(refused, Some(StoreError::Unusable { .. })), "{refused:?}");
}

#[cfg(unix)]
#[test]
fn folder_and_file_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    let (_store, _, _answers) = open(&folder).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(mode(&folder.0.join(FILE_NAME)), 0o600);
}

#[test]
fn memory_answers_at_once() {
    assert_eq!(Store::Memory.persist(batch(7, 16, b"x")), Some((PersistId(7), Ok(()))));
    assert!(Store::Memory.has_room());
}

#[tokio::test]
async fn an_inspection_finds_what_a_start_would_and_changes_nothing() {
    let folder = Folder::new("inspected");
    assert!(inspect(&folder.0, Some(NODE_A), MESH_A).is_ok());
    assert!(!folder.0.exists(), "nothing was made");
    let (store, _, _answers) = open(&folder).unwrap();
    let used = inspect(&folder.0, Some(NODE_A), MESH_A);
    assert!(matches!(used, Err(StoreError::InUse { .. })), "{used:?}");
    store.close();
    assert!(inspect(&folder.0, Some(NODE_A), MESH_A).is_ok());
    assert!(inspect(&folder.0, None, MESH_A).is_ok());
    let foreign = |node, mesh| match inspect(&folder.0, Some(node), mesh) {
        Err(StoreError::Foreign { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(foreign(NodeId([9; 32]), MESH_A), "node key");
    assert_eq!(foreign(NODE_A, MeshId([9; 32])), "mesh");
    std::fs::write(folder.0.join(FILE_NAME), b"no database at all").unwrap();
    let damaged = inspect(&folder.0, Some(NODE_A), MESH_A);
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}
