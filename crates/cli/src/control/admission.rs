//! Operations about who is admitted.

use knhk_mesh::Mesh;
use knhk_mesh::admission::{AdmissionError, Denial, NotAdmitted, Void};
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
    let one = |void: &Void| {
        let up_to = (!void.is_for_ever()).then_some(void.up_to.0);
        let at_ms = void.at.map(|at| at.0);
        json!({ "node": void.node.to_string(), "at_ms": at_ms, "up_to": up_to })
    };
    all.iter().map(one).collect()
}

pub(super) fn fault(error: &AdmissionError) -> Fault {
    let message = error.to_string();
    let told = |code, exit, help| Fault::new(code, exit, &message, help);
    match error {
        AdmissionError::NoKey => {
            told("no_admission_key", 1, "a mesh has one from its beginning: mesh.admission_key")
        }
        AdmissionError::Refused(NotAdmitted::Signature) => {
            told("denied", 8, "sign with the key whose id is mesh.admission_key")
        }
        AdmissionError::Refused(NotAdmitted::NeedsQuorum) => told(
            "needs_quorum",
            8,
            "`fact sign --deny` or `--forget` by 2f + 1 members, `fact join`, `fact publish`",
        ),
        AdmissionError::Refused(NotAdmitted::NoCommittee) => {
            told("no_committee", 1, "a mesh has one from its beginning: mesh.committee")
        }
        AdmissionError::Refused(NotAdmitted::Uncertified(_)) => {
            told("denied", 8, "join the votes of a quorum of mesh.committee of this mesh")
        }
        AdmissionError::Io { .. } => told("not_stored", 1, "look after the disk of the node"),
        _ => told("failed", 1, "nothing was changed"),
    }
}
