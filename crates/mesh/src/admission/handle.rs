//! What an application or operator asks of a running node about admission.

use std::net::SocketAddr;

use super::{AdmissionError, Denial, Void};
use crate::error::Stopped;
use crate::mesh::Mesh;
use crate::transport::BindError;

impl Mesh {
    /// Denies a node for good, at every member: its links end, it finds no new ones, and its
    /// records vanish. Or, if the denial reaches up to an incarnation only, forgets what it was
    /// until then: its records vanish and it is no member until it starts again. Returns when this
    /// node has it on disk; false if it was known. Links carry it on from here.
    ///
    /// In a mesh with a committee the admission key does not suffice: [`Mesh::publish_fact`].
    ///
    /// # Errors
    /// [`AdmissionError`]; nobody was denied.
    pub async fn deny(&self, denial: Denial) -> Result<bool, AdmissionError> {
        self.inner.trust.deny(denial).await
    }

    /// Who is denied or forgotten, as far as this node knows.
    #[must_use]
    pub fn denied(&self) -> Vec<Void> {
        self.inner.trust.denied()
    }

    /// Reads roots and certificate again, where admission is by certificate.
    ///
    /// # Errors
    /// [`Stopped`], or in the inner result what is wrong with them; then the old ones stay.
    pub async fn reload_certificates(&self) -> Result<Result<(), BindError>, Stopped> {
        self.ask(|asked| asked.transport.reload_certificates()).await
    }

    /// Gives the connections to come a fresh TLS key now; happens by itself at its age.
    ///
    /// # Errors
    /// [`Stopped`], or in the inner result why there is none; then the old one stays.
    pub async fn rotate(&self) -> Result<Result<(), BindError>, Stopped> {
        self.ask(|asked| asked.transport.rotate()).await
    }

    /// Moves to another address, as after a change of network. Links go on; messages under way
    /// arrive. What the node announced as its address stays: others dial that until its next start.
    ///
    /// # Errors
    /// [`Stopped`], or in the inner result why it stays where it was.
    pub async fn rebind(&self, addr: SocketAddr) -> Result<Result<SocketAddr, BindError>, Stopped> {
        self.ask(move |asked| asked.transport.rebind(addr).map(|()| asked.transport.local_addr()))
            .await
    }
}
