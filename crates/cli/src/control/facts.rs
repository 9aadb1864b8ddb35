//! Operations about what the committee certifies.

use knhk_mesh::Mesh;
use knhk_mesh::core::certified::{Certificate, Certified, Conflict};
use knhk_mesh::identity::{Committee, NodeId};
use serde_json::{Value as Json, json};

use super::admission::fault;
use super::protocol::{Fault, Request, text_or_base64};
use crate::exit;

/// Takes a certificate in.
pub(super) async fn publish(node: &Mesh, request: &Request) -> Result<Json, Fault> {
    let certificate = Certificate::decode(&request.value_bytes()?)
        .map_err(|_| Fault::usage("the value is no certificate"))?;
    let key = certificate.key().to_owned();
    let new = node.publish_fact(certificate).await.map_err(|error| fault(&error))?;
    Ok(json!({ "key": key, "new": new }))
}

/// What stands for a key.
pub(super) fn one(node: &Mesh, request: &Request) -> Result<Json, Fault> {
    let key = request.key_bytes()?;
    let facts = node.facts();
    let found = facts.iter().find(|certified| certified.fact().key().as_bytes() == key);
    let shown = found.zip(node.committee());
    shown.map(|(certified, committee)| shown_as(certified, committee)).ok_or_else(|| {
        let message = format!("nothing is certified for {}", String::from_utf8_lossy(&key));
        let help = "`knhk-mesh fact list` shows what is";
        Fault::new("not_found", exit::NOT_FOUND, &message, help)
    })
}

/// Everything that stands, and everything that contradicts itself.
pub(super) fn all(node: &Mesh) -> Json {
    let Some(committee) = node.committee() else { return json!({ "facts": [], "conflicts": [] }) };
    let facts = node.facts();
    let facts: Json = facts.iter().map(|certified| shown_as(certified, committee)).collect();
    let conflict = |found: &Conflict| {
        let sides = found.sides();
        let fact = sides[0].fact();
        let both = found.signers_of_both(committee);
        json!({
            "key": fact.key(),
            "version": fact.version(),
            "sides": sides.map(|side| shown_as(side, committee)),
            "signed_both": both.iter().map(NodeId::to_string).collect::<Json>(),
        })
    };
    let conflicts: Json = node.fact_conflicts().iter().map(conflict).collect();
    json!({ "facts": facts, "conflicts": conflicts })
}

fn shown_as(certified: &Certified, committee: &Committee) -> Json {
    let fact = certified.fact();
    let (value, base64) = text_or_base64(fact.value());
    let mut object = json!({
        "key": fact.key(),
        "version": fact.version(),
        "value": value,
        "signers": certified.signers(committee).map(NodeId::to_string).collect::<Json>(),
    });
    if base64.is_some() {
        object["value_base64"] = base64.into();
    }
    object
}
