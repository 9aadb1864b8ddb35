//! What `config check` says about a configuration that is right: what does nothing yet, and what a
//! thoughtful colleague would mention.

use super::effective::{Effective, Row};
use super::place::Origin;
use super::topology::Topology;

/// Slots 0-15 of an author may hold records of this many bytes, whatever `max_payload` says.
const LARGE_SLOTS: u64 = 16;
const LARGE_PAYLOAD: u64 = 16_384;

/// A remark about a configuration without errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The key, if it is about one.
    pub path: Option<String>,
    /// Where it was set.
    pub origin: Origin,
    /// The remark.
    pub message: String,
}

impl Effective {
    /// Remarks, in the order of the table; the last one is the worst case of memory.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> = self.rows().iter().filter_map(waiting).collect();
        let mut about = |path: &str, message: String| {
            let origin = self.values.origin(path);
            notes.push(Note { path: Some(path.into()), origin, message });
        };
        if let Some(capability) = self.topology.waits_for() {
            about("topology", format!("accepted, not used yet: `run` waits for {capability}"));
        }
        if self.network.global_accelerator && self.node.advertise.is_empty() {
            let message = "`run` needs the accelerator's address: --advertise ip:port";
            about("network.global_accelerator", message.into());
        }
        if self.network.port.is_some() && self.network.port_range.is_some() {
            let message = "not used: `network.port` goes before it";
            about("network.port_range", message.into());
        }
        if self.node.bind.is_some() {
            for path in ["network.port", "network.port_range"] {
                if self.values.is_given(path) {
                    about(path, "not used: `node.bind` goes before it".into());
                }
            }
        }
        if !self.network.quic {
            for path in ["network.cert_rotation_hours", "security.key_rotation_hours"] {
                if self.values.is_given(path) {
                    about(path, "no effect: TCP has no TLS key".into());
                }
            }
        }
        self.about_size(&mut about);
        for name in &self.strays {
            let origin = Origin::Environment(name.clone());
            let message = format!("the environment variable {name} is no key and was not read");
            notes.push(Note { path: None, origin, message });
        }
        notes.push(self.memory());
        notes
    }

    fn about_size(&self, about: &mut impl FnMut(&str, String)) {
        let one_cell = matches!(self.topology, Topology::FlatMesh | Topology::SingleRegionMesh);
        let Some(count) = self.agent_count.filter(|_| one_cell) else { return };
        if count.max > self.mesh.max_authors {
            let most = self.mesh.max_authors;
            about("agent_count", format!("only {most} of {count} can write: mesh.max_authors"));
        }
    }

    /// What an author may store is bounded, and so is everything together.
    #[must_use]
    pub fn worst_case_bytes(&self) -> u64 {
        let mesh = &self.mesh;
        let small = mesh.max_slots.saturating_sub(LARGE_SLOTS) * mesh.max_payload;
        mesh.max_authors.saturating_mul(small + LARGE_SLOTS * LARGE_PAYLOAD)
    }

    fn memory(&self) -> Note {
        let mesh = &self.mesh;
        let bytes = self.worst_case_bytes();
        let unit = |shift: u32| bytes as f64 / (1u64 << shift) as f64;
        let size = match bytes {
            0..0x4000_0000 => format!("{:.1} MiB", unit(20)),
            _ => format!("{:.1} GiB", unit(30)),
        };
        let message = format!(
            "worst case of the state at each node: {size}, if {} authors fill {} slots of {} bytes",
            mesh.max_authors, mesh.max_slots, mesh.max_payload
        );
        Note { path: None, origin: Origin::Default, message }
    }
}

fn waiting(row: &Row<'_>) -> Option<Note> {
    let capability = row.key.waits_for?;
    let origin = row.setting.origin.clone();
    let message = format!("accepted, not used yet: waits for {capability}");
    let note = Note { path: Some(row.path.into()), origin, message };
    note.origin.is_given().then_some(note)
}
