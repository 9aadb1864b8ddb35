//! What a scenario must not say although each of its figures is in range: it names nodes that never
//! exist, or asks for what would be ignored.

use super::file::{At, File, Hostile, Restart, Side, Who};
use super::stage::SEEDS;

/// What is wrong with the moment `at`, in words.
pub(super) fn moment(file: &File, at: &At) -> Result<(), String> {
    let joining: u64 = file.at.iter().filter_map(|at| at.join).map(|join| join.0).sum();
    let nodes = (file.agents.0 + joining) as usize;
    let ways = file.network.latency.as_ref().map(|ways| ways.0.clone()).unwrap_or_default();
    for side in at.cut.iter().flat_map(|cut| [&cut.from.0, &cut.to.0]) {
        side.group(&ways)?;
        if let Side::Range(first, end) = *side {
            exist(nodes, &Who::Range(first, end))?;
        }
    }
    if let Some(split) = at.split.filter(|split| split.0 as usize >= nodes) {
        return Err(format!("a split at {} cuts nobody off: there are {nodes} nodes", split.0));
    }
    let named = [
        at.adversary.as_ref().map(|hostile| &hostile.who.0),
        at.slow.as_ref().map(|slow| &slow.who.0),
        at.clock.as_ref().map(|clock| &clock.who.0),
        at.kill.as_ref().map(|who| &who.0),
        at.restart.as_ref().map(|restart| &restart.who.0),
        at.leave.as_ref().map(|leave| &leave.who.0),
    ];
    named.into_iter().flatten().try_for_each(|who| exist(nodes, who))?;
    let written = [at.write.as_ref().map(|w| w.node.0), at.delete.as_ref().map(|d| d.node.0)];
    for node in written.into_iter().flatten() {
        exist(nodes, &Who::Range(node as usize, node as usize + 1))?;
    }
    if let Some(hostile) = &at.adversary
        && matches!(hostile.who.0, Who::All | Who::Down | Who::Range(0..SEEDS, _))
    {
        return Err(format!(
            "the first {SEEDS} nodes are everybody's seeds: they are never hostile"
        ));
    }
    if let Some(hostile) = &at.adversary {
        aimed(nodes, hostile)?;
    }
    match &at.restart {
        Some(Restart { who, .. }) if matches!(who.0, Who::Any(_) | Who::Share(_) | Who::All) => {
            Err("who starts again is `down`, or nodes by number such as `7` or `10..20`".into())
        }
        _ => Ok(()),
    }
}

/// Who aims at somebody says at whom, by number, and nobody else does.
fn aimed(nodes: usize, hostile: &Hostile) -> Result<(), String> {
    let kind = hostile.kind.0;
    match hostile.hides.as_ref().map(|who| who.0) {
        Some(who @ Who::Range(..)) if kind.aims() => exist(nodes, &who),
        _ if kind.aims() => Err(format!("{kind} `hides` nodes by number, such as `7` or `3..5`")),
        Some(_) => {
            Err(format!("`hides` says whom a censor or an eclipse hides; {kind} hides nobody"))
        }
        None => Ok(()),
    }
}

/// Whether there are ever as many nodes as `who` names.
fn exist(nodes: usize, who: &Who) -> Result<(), String> {
    match *who {
        Who::Range(_, end) if end > nodes => {
            Err(format!("node {} never exists: there are {nodes}, from 0", end - 1))
        }
        Who::Any(count) if count > nodes => Err(format!("{count} nodes: there are {nodes}")),
        _ => Ok(()),
    }
}
