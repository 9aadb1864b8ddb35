//! What no single value shows: combinations that cannot be. Each rule looks at values that are
//! right by themselves and says nothing when one of them was refused already.

mod links;
mod members;
mod shape;

use super::diagnostics::Diagnostic;
use super::place::Origin;
use super::values::Values;

/// All conflicts of `values`, which have their defaults.
pub(super) fn check(values: &Values, found: &mut Vec<Diagnostic>) {
    let mut rules = Rules { values, found };
    rules.scopes();
    rules.links();
    rules.timing();
    rules.members();
    rules.committee();
    rules.paths();
    rules.seeds();
    rules.place_of_node();
    rules.regions();
    rules.counts();
    rules.levels();
    rules.telemetry();
}

pub(super) struct Rules<'a> {
    values: &'a Values,
    found: &'a mut Vec<Diagnostic>,
}

impl Rules<'_> {
    fn conflict(&mut self, origin: Origin, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Diagnostic::new("conflict", origin, message, help));
    }

    /// Where to point when several keys disagree: the first that somebody set.
    fn first_given(&self, paths: &[&str]) -> Origin {
        let given = paths.iter().find(|path| self.values.is_given(path));
        given.map_or(Origin::Default, |path| self.values.origin(path))
    }

    /// Keys that have no meaning in this topology.
    fn scopes(&mut self) {
        let Some(topology) = self.values.topology() else { return };
        for (path, key, setting) in self.values.in_order() {
            if setting.origin.is_given() && !topology.knows(key.scope) {
                let message = format!("`{path}` has no meaning in the topology {topology}");
                let help = format!(
                    "delete it, or set `topology`: it belongs to {}",
                    key.scope.topologies()
                );
                self.conflict(setting.origin.clone(), message, help);
            }
        }
    }
}
