//! Sessions of earlier connections, which the next one to the same node resumes. All of them are
//! forgotten at once when admission changes: then everybody proves again who it is.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// What other nodes resume here. A session is given out once: a replay finds nothing.
pub(super) struct Accepted {
    most: usize,
    held: RwLock<Arc<ServerSessionMemoryCache>>,
}

impl Accepted {
    pub(super) fn new(most: usize) -> Self {
        Accepted { most, held: RwLock::new(ServerSessionMemoryCache::new(most)) }
    }

    pub(super) fn forget(&self) {
        let fresh = ServerSessionMemoryCache::new(self.most);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn held(&self) -> Arc<ServerSessionMemoryCache> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StoresServerSessions for Accepted {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.held().put(key, value)
    }
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.held().get(key)
    }
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.held().take(key)
    }
    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accepted")
    }
}

/// What this node resumes at others, by the name under which it dials them.
pub(super) struct Dialled {
    most: usize,
    held: RwLock<Arc<ClientSessionMemoryCache>>,
}

impl Dialled {
    pub(super) fn new(most: usize) -> Self {
        Dialled { most, held: RwLock::new(Arc::new(ClientSessionMemoryCache::new(most))) }
    }

    pub(super) fn forget(&self) {
        let fresh = Arc::new(ClientSessionMemoryCache::new(self.most));
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn held(&self) -> Arc<ClientSessionMemoryCache> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientSessionStore for Dialled {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.held().set_kx_hint(name, group);
    }
    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.held().kx_hint(name)
    }
    fn set_tls12_session(&self, _name: ServerName<'static>, _value: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _name: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.held().insert_tls13_ticket(name, value);
    }
    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.held().take_tls13_ticket(name)
    }
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialled")
    }
}
