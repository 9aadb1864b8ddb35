//! What the committee certified, as an application or operator reads and publishes it.

use std::sync::Arc;

use knhk_mesh_core::certified::{Certificate, Certified, Conflict, Facts};
use knhk_mesh_core::identity::Committee;

use super::notices::Notice;
use super::{AdmissionError, Trust};
use crate::mesh::Mesh;

impl Trust {
    /// Takes a certificate in, stores and spreads it. Whether it was new.
    async fn publish(self: &Arc<Self>, certificate: Certificate) -> Result<bool, AdmissionError> {
        let key = certificate.key().to_owned();
        let news = {
            let (mut state, now) = (self.lock(), self.now());
            let notice = Notice::Certified(certificate.into());
            let news = state.known.take(notice, &self.appointed, now)?;
            if state.known.facts.get(&key).is_none() {
                return Err(AdmissionError::FactsFull { max: Facts::MAX });
            }
            news
        };
        self.spread_and_store(news).await
    }
}

impl Mesh {
    /// Publishes what a quorum of the committee certified, at every member. Returns when this node
    /// has it on disk; false if it was known, or a later version is. Links carry it on from here.
    /// A certificate of a void node ([`knhk_mesh_core::certified::Fact::void`]) denies or forgets
    /// it as [`Mesh::deny`] does in a mesh without a committee.
    ///
    /// # Errors
    /// [`AdmissionError`]; nothing was changed.
    pub async fn publish_fact(&self, certificate: Certificate) -> Result<bool, AdmissionError> {
        self.inner.trust.publish(certificate).await
    }

    /// Version and value of what is certified for `key`, as far as this node knows.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<(u64, Vec<u8>)> {
        let state = self.inner.trust.lock();
        let fact = state.known.facts.get(key)?.fact();
        Some((fact.version(), fact.value().to_vec()))
    }

    /// Everything that is certified, by key, with its proof.
    #[must_use]
    pub fn facts(&self) -> Vec<Certified> {
        self.inner.trust.lock().known.facts.iter().cloned().collect()
    }

    /// Certificates that contradict each other: more than f members lied, and
    /// [`Conflict::signers_of_both`] names them.
    #[must_use]
    pub fn fact_conflicts(&self) -> Vec<Conflict> {
        self.inner.trust.lock().known.facts.conflicts().cloned().collect()
    }

    /// Who certifies in this mesh.
    #[must_use]
    pub fn committee(&self) -> Option<&Committee> {
        self.inner.trust.appointed.committee.as_ref()
    }
}
