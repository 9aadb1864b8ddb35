//! What a node does not understand it stores and forwards: records of unknown kinds and headers
//! with unknown extensions reach those who may.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{agree_within, seconds};
use knhk_mesh_core::config::Config;
use knhk_mesh_core::frame::{
    Chain, Class, Extension, Job, Kind, RecordHead, Sealed, Slot, seal, verify,
};
use knhk_mesh_core::identity::{Incarnation, Keypair, Signer as _};
use knhk_mesh_core::messages::Lane;
use knhk_mesh_core::time::Hlc;
use knhk_mesh_sim::{Network, World};

/// A record of the frame is `overwritten` on the way: what is left of it travels as proofs.
fn crosses_three_nodes(overwritten: bool) {
    let config = Config { chosen_links: 1, fanout: 1, ..Config::default() };
    let mut world = World::new(3, config, Network::default(), 1);
    world.split(2);
    world.run_for(seconds(5));
    let (author, wall) = (Keypair::from_secret(&[9; 32]), world.clock().wall);
    let settings = std::sync::Arc::clone(world.node(0).settings());
    let unknown = |slot, payload: &[u8]| {
        let trace = Some([7; 24]);
        let head = RecordHead::new(Slot(slot), Kind(200), Hlc::at(wall));
        RecordHead { trace, ephemeral: true, ..head }.encode(payload)
    };
    let records: Vec<_> = (0..4).map(|i| unknown(20 + i, b"of a later version")).collect();
    let extensions =
        [Extension { kind: 7, value: b"later" }, Extension { kind: 900, value: &[0; 40] }];
    let mut chain = Chain::start(Class::Cell, Incarnation(1), Default::default());
    let frame = seal(&mut chain, &records, &extensions, &settings.mesh, &author);
    world.inject(1, 0, Lane::Delta, frame.bytes());
    if overwritten {
        let newer = seal(&mut chain, &[unknown(21, b"newer")], &[], &settings.mesh, &author);
        world.inject(1, 0, Lane::Delta, newer.bytes());
    }
    // A is gone before B and C meet.
    world.run_for(seconds(5));
    world.kill(0);
    world.heal(0);
    world.dial(1, 2);
    agree_within(&mut world, seconds(5));

    let (id, store) = (author.node_id(), world.node(2).store());
    let last = store.record(&id, Slot(23)).unwrap();
    assert_eq!(
        (last.record.head.kind, last.record.payload),
        (Kind(200), &b"of a later version"[..])
    );
    assert_eq!(last.record.head.trace, Some([7; 24]));
    let sent_on = store.export(&store.entries_by(&id), usize::MAX).messages;
    let mut extended = 0;
    for bytes in &sent_on {
        let sealed = Sealed::read(bytes, &settings.genesis.limits).unwrap();
        let verified = verify(Job::new(sealed, settings.mesh)).unwrap();
        let found: Vec<_> = verified.header().extensions().collect();
        if verified.header().fields.seq_lo.0 == 0 {
            assert_eq!(found, extensions);
            extended += 1;
        }
    }
    assert!(extended > 0);
}

#[test]
fn an_unknown_kind_and_an_unknown_extension_cross_three_nodes_whole() {
    crosses_three_nodes(false);
}

#[test]
fn an_unknown_kind_and_an_unknown_extension_cross_three_nodes_as_proofs() {
    crosses_three_nodes(true);
}
