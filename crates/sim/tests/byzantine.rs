//! Beside a third of liars, of each kind alone and of all together, everything holds that is
//! promised to the honest.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use knhk_mesh_sim::adversary::Kind;
use knhk_mesh_sim::drill::Byzantine;
use knhk_mesh_sim::drill::byzantine::{Figures, MIXED, Unplayable};

fn play(drill: &Byzantine) -> Figures {
    drill.run(&|_, _| ()).unwrap()
}

#[test]
fn beside_liars_of_every_kind_and_of_all_together_the_promises_hold() {
    let figures = play(&Byzantine { agents: 19, writes: 40, threads: 2, ..Byzantine::default() });
    assert_eq!(figures.broken(), None);
    let names: Vec<&str> = figures.kinds.iter().map(|kind| &*kind.kind).collect();
    let expected: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).chain([MIXED]).collect();
    assert_eq!(names, expected);
    assert!(figures.kinds.iter().all(|kind| kind.rounds > 0 && kind.liars == 6));
    let forks = figures.kinds.iter().filter(|kind| kind.conviction_rounds.is_some());
    assert!(forks.map(|kind| &*kind.kind).any(|kind| kind == "equivocate"));
}

#[test]
fn liars_that_were_there_first_take_no_write_from_who_lost_its_disk() {
    let kinds = vec![Kind::ColdBoot];
    let drill = Byzantine { agents: 40, runs: 2, kinds, threads: 2, ..Byzantine::default() };
    assert_eq!(play(&drill).broken(), None);
}

#[test]
fn who_met_only_liars_at_first_hears_of_everything_in_time() {
    let kinds = vec![Kind::Eclipse];
    let drill = Byzantine { seed: 2, runs: 4, kinds, threads: 2, ..Byzantine::default() };
    assert_eq!(play(&drill).broken(), None);
}

#[test]
fn equal_drills_have_equal_figures_on_any_number_of_threads() {
    let kinds = vec![Kind::Eclipse, Kind::Equivocate];
    let one = Byzantine { agents: 10, writes: 20, runs: 2, kinds, ..Byzantine::default() };
    let two = Byzantine { threads: 2, ..one.clone() };
    assert_eq!(play(&one), play(&two));
}

#[test]
fn what_makes_no_drill_is_said() {
    let played = |agents, share, kinds: &[Kind]| {
        Byzantine { agents, share, kinds: kinds.to_vec(), ..Byzantine::default() }.run(&|_, _| ())
    };
    for (agents, share) in [(10, 0.05), (10, 0.9), (2, 0.5)] {
        let refused = played(agents, share, &[Kind::Silent]);
        assert!(matches!(refused, Err(Unplayable::Liars { .. })), "{agents} {share}");
    }
    assert_eq!(played(10, 0.3, &[]), Err(Unplayable::NoKind));
}
