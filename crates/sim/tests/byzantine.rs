//! Beside a third of liars, of each kind alone and of all together, everything holds that is
//! promised to the honest.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::drill::Byzantine;
use knhk_mesh_sim::drill::byzantine::{Figures, MIXED};

fn play(drill: &Byzantine) -> Figures {
    let figures = drill.run(&|_, _| ()).unwrap();
    for kind in &figures.kinds {
        println!("{kind:?}");
    }
    figures
}

#[test]
fn timing() {
    for kind in Kind::ALL {
        let t = std::time::Instant::now();
        play(&Byzantine { kinds: vec![kind], agents: 19, writes: 40, ..Byzantine::default() });
        println!("{kind} {:?}", t.elapsed());
    }
}

#[test]
fn beside_liars_of_every_kind_and_of_all_together_the_promises_hold() {
    let figures = play(&Byzantine { agents: 19, writes: 40, threads: 2, ..Byzantine::default() });
    assert_eq!(figures.broken(), None);
    let names: Vec<&str> = figures.kinds.iter().map(|kind| &*kind.kind).collect();
    let expected: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).chain([MIXED]).collect();
    assert_eq!(names, expected);
    assert!(figures.kinds.iter().all(|kind| kind.rounds > 0 && kind.liars == 6));
}
