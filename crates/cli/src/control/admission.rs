//! Operations about who is admitted.

use knhk_mesh::Mesh;
use knhk_mesh::admission::{AdmissionError, Denial, NotAdmitted};
use serde_json::{Value as Json, json};

use super::protocol::{Fault, Request};

/// Takes a signed denial in, of a node or of what it was.
pub(super) async fn deny(node: &Mesh, request: &Request) -> Result<Json, Fault> {
    let denial = Denial::decode(&request.value_bytes()?)
        .map_err(|_| Fault::usage("the value is no signed denial"))?;
    let new = node.deny(denial).await.map_err(|error| fault(&error))?;
    Ok(json!({ "node": denial.node.to_string(), "new": new }))
}

/// Who is denied or forgotten.
pub(super) fn denied(node: &Mesh) -> Json {
    let all = node.denied();
    let one = |denial: &Denial| {
        let up_to = (!denial.is_for_ever()).then_some(denial.up_to.0);
        json!({ "node": denial.node.to_string(), "at_ms": denial.at.0, "up_to": up_to })
    };
    all.iter().map(one).collect()
}

fn fault(error: &AdmissionError) -> Fault {
    let message = error.to_string();
    let told = |code, exit, help| Fault::new(code, exit, &message, help);
    match error {
        AdmissionError::NoKey => {
            told("no_admission_key", 1, "a mesh has one from its beginning: mesh.admission_key")
        }
        AdmissionError::Refused(NotAdmitted::Signature) => {
            told("denied", 8, "sign with the key whose id is mesh.admission_key")
        }
        AdmissionError::Io { .. } => told("not_stored", 1, "look after the disk of the node"),
        _ => told("failed", 1, "nobody was denied"),
    }
}
