//! The one place that says who is in. Asked by TLS during a handshake, again after each handshake
//! (a resumed session skips TLS's question), and again for every live link when something changes
//! or ends.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use knhk_mesh_core::admission::{Claim, Denial, Denials, NEVER, NotAdmitted, Pass, Token};
use knhk_mesh_core::certified::Facts;
use knhk_mesh_core::config::Admission;
use knhk_mesh_core::identity::{Incarnation, Keypair, NodeId, Signer};
use knhk_mesh_core::time::WallMs;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use webpki::KeyUsage;

use super::chain::{self, Anchors};
use super::known::{Appointed, Known, MAX_USES, News};
use super::notices::{self, Heard, Notice};
use super::{AdmissionError, Credentials, Proven, Unproven, Void, certificates, keep};
use crate::clock::WallClock;
use crate::transport::Settings;

/// Nodes whose passes are remembered for as long as their sessions may be resumed.
const MAX_SHOWN: usize = 8_192;
/// A denied node that dials is told so at most so often; in between TLS refuses it.
const TELL_DENIED_EVERY: Duration = Duration::from_secs(10);
/// Names of the files in a data folder.
const NOTICES_FILE: &str = "notices";
const PASS_FILE: &str = "node.pass";
/// More than all denials, used tokens, certified facts and conflicts take.
const MAX_FILE: u64 = 4 << 20;

pub(crate) struct Trust {
    keypair: Arc<Keypair>,
    own: NodeId,
    pub(super) appointed: Appointed,
    admission: Admission,
    credentials: Credentials,
    clock: WallClock,
    folder: Option<PathBuf>,
    state: Mutex<State>,
    anchors: RwLock<Arc<Anchors>>,
    /// Counts changes after which every live link is judged again.
    changes: watch::Sender<u64>,
    fresh: Mutex<Fresh>,
    news: Notify,
    saving: tokio::sync::Mutex<()>,
}

/// What is new: told to nobody yet, and not done by the node.
#[derive(Default)]
struct Fresh {
    notices: Vec<Notice>,
    /// No more of them than can be known, so none is ever dropped.
    voids: BTreeMap<NodeId, Incarnation>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) known: Known,
    token: Option<Token>,
    pass: Option<Pass>,
    /// Who showed a pass to this process, and until when it holds.
    shown: HashMap<NodeId, WallMs>,
    /// Who is denied and dialled all the same, and when it was last let in to hear it.
    told: HashMap<NodeId, Instant>,
}

impl Trust {
    /// Reads what the data folder has. Blocks on the disk.
    pub(crate) fn open(settings: &Settings) -> Result<Arc<Self>, AdmissionError> {
        let own = settings.keypair.node_id();
        let trust = Trust {
            keypair: settings.keypair.clone(),
            own,
            appointed: Appointed {
                mesh: settings.mesh,
                admission_key: settings.admission_key,
                committee: settings.committee.clone(),
            },
            admission: settings.admission.clone(),
            credentials: settings.credentials.clone(),
            clock: settings.clock.clone(),
            folder: settings.folder.clone(),
            state: Mutex::default(),
            anchors: RwLock::new(Arc::new(Anchors::Themselves)),
            changes: watch::Sender::new(0),
            fresh: Mutex::default(),
            news: Notify::new(),
            saving: tokio::sync::Mutex::new(()),
        };
        trust.load_notices()?;
        match &trust.credentials {
            Credentials::Key => {}
            Credentials::Token { token, file } => {
                let token = match (token, file) {
                    (None, Some(file)) => keep::read_token(file)?,
                    (token, _) => token.clone(),
                };
                trust.open_pass(token)?;
            }
            Credentials::Certificate { roots, .. } => {
                let roots = Anchors::Roots(trust.appointed.mesh, certificates::read_roots(roots)?);
                *trust.anchors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
            }
        }
        Ok(Arc::new(trust))
    }

    fn load_notices(&self) -> Result<(), AdmissionError> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.appointed.anybody()) else {
            return Ok(());
        };
        let read = keep::read(folder, NOTICES_FILE, MAX_FILE);
        let failed = |source| AdmissionError::Io { path: folder.join(NOTICES_FILE), source };
        let Some(bytes) = read.map_err(failed)? else { return Ok(()) };
        let (mut rest, mut state) = (bytes.as_slice(), self.lock());
        // Whoever is denied in what is missing would come in until somebody tells it.
        let damaged = || AdmissionError::Damaged { path: folder.join(NOTICES_FILE) };
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (message, behind) = behind.split_at_checked(length).ok_or_else(damaged)?;
            let Ok(Heard::Notices(notices)) = notices::decode(message) else {
                return Err(damaged());
            };
            rest = behind;
            // What is over, or signed by whom nobody appointed, is passed over.
            for notice in notices {
                let _ = state.known.take(notice, &self.appointed, self.clock.now());
            }
        }
        Ok(())
    }

    /// The pass of an earlier start goes before the token, which may be used up by now.
    fn open_pass(&self, token: Option<Token>) -> Result<(), AdmissionError> {
        let key = self.appointed.admission_key.as_ref().ok_or(AdmissionError::NoKey)?;
        let now = self.clock.now();
        let kept = match &self.folder {
            None => None,
            Some(folder) => {
                let failed = |source| AdmissionError::Io { path: folder.join(PASS_FILE), source };
                keep::read(folder, PASS_FILE, MAX_FILE).map_err(failed)?
            }
        };
        let kept = kept.and_then(|bytes| Pass::decode(&bytes).ok());
        let good = |pass: &Pass| {
            pass.check(key, &self.appointed.mesh, now).is_ok_and(|claim| claim.node == self.own)
        };
        let mut state = self.lock();
        state.pass = kept.filter(good);
        let Some(token) = token else {
            return if state.pass.is_some() { Ok(()) } else { Err(AdmissionError::NoToken) };
        };
        let refused = AdmissionError::Token;
        token.check(key, &self.appointed.mesh).map_err(refused)?;
        if let Some(node) = token.node {
            if node != self.own {
                return Err(refused(NotAdmitted::OtherNode));
            }
            let pass = Pass::of_token(token)?;
            pass.check(key, &self.appointed.mesh, now).map_err(refused)?;
            state.pass = Some(pass.clone());
            drop(state);
            return self.keep_pass(&pass);
        }
        if state.pass.is_none() && now >= token.redeem_by {
            return Err(refused(NotAdmitted::Expired));
        }
        state.token = Some(token);
        Ok(())
    }

    fn keep_pass(&self, pass: &Pass) -> Result<(), AdmissionError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let failed = |source| AdmissionError::Io { path: folder.join(PASS_FILE), source };
        keep::replace(folder, PASS_FILE, &pass.encode()).map_err(failed)
    }

    pub(crate) fn now(&self) -> WallMs {
        self.clock.now()
    }

    /// Wakes when every live link has to be judged again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What TLS asks during a full handshake: who is it, and may it come as far as the hello?
    pub(crate) fn prove(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<Proven, Unproven> {
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner).clone();
        anchors.prove(chain, now, usage)
    }

    /// What can be said without a pass: `Err` if no pass would help.
    pub(crate) fn may_introduce(&self, node: &NodeId) -> Result<(), NotAdmitted> {
        if self.lock().known.denies(node) {
            return Err(NotAdmitted::Denied);
        }
        if self.admission.admits(node) { Ok(()) } else { Err(NotAdmitted::OtherNode) }
    }

    /// Whether a node that proved its key is admitted now, and until when.
    pub(crate) fn admits(&self, node: &NodeId) -> Result<WallMs, NotAdmitted> {
        self.may_introduce(node)?;
        if !matches!(self.credentials, Credentials::Token { .. }) {
            return Ok(NEVER);
        }
        match self.lock().shown.get(node) {
            Some(until) if *until > self.now() => Ok(*until),
            Some(_) => Err(NotAdmitted::Expired),
            None => Err(NotAdmitted::OtherNode),
        }
    }

    /// The same for the node behind a chain that TLS has verified at some time: everything is asked
    /// again.
    pub(crate) fn admits_chain(&self, chain: &[CertificateDer<'_>]) -> Result<Proven, NotAdmitted> {
        let proven = self.introduces(chain)?;
        let until = self.admits(&proven.node)?.min(proven.until);
        Ok(Proven { until, ..proven })
    }

    /// The node behind a chain, if it may show a pass.
    pub(crate) fn introduces(&self, chain: &[CertificateDer<'_>]) -> Result<Proven, NotAdmitted> {
        let now = UnixTime::since_unix_epoch(Duration::from_millis(self.now().0));
        let proven = self.prove(chain, now, KeyUsage::client_auth()).map_err(|why| match why {
            Unproven::Expired => NotAdmitted::Expired,
            Unproven::BadProof | Unproven::NotIssued => NotAdmitted::Signature,
        })?;
        self.may_introduce(&proven.node).map(|()| proven)
    }

    /// Whether links begin with passes.
    pub(crate) fn uses_passes(&self) -> bool {
        matches!(self.credentials, Credentials::Token { .. })
    }

    /// What this node shows, once it has it.
    pub(crate) fn pass(&self) -> Option<Pass> {
        self.lock().pass.clone()
    }

    /// What this node brings if it has no pass.
    pub(crate) fn token(&self) -> Option<Token> {
        let state = self.lock();
        state.token.clone().filter(|_| state.pass.is_none())
    }

    /// Checks a pass that came over a link of `node` and remembers it.
    pub(crate) fn shown(&self, node: &NodeId, pass: &Pass) -> Result<Claim, NotAdmitted> {
        let key = self.appointed.admission_key.as_ref().ok_or(NotAdmitted::Signature)?;
        let now = self.now();
        let claim = pass.check(key, &self.appointed.mesh, now)?;
        if claim.node != *node {
            return Err(NotAdmitted::OtherNode);
        }
        let mut state = self.lock();
        if state.shown.len() >= MAX_SHOWN {
            state.shown.retain(|_, until| *until > now);
        }
        if state.shown.len() >= MAX_SHOWN
            && let Some(first) = state.shown.keys().next().copied()
        {
            state.shown.remove(&first);
        }
        state.shown.insert(*node, claim.until);
        Ok(claim)
    }

    /// Another node admitted this one: from now on that is what it shows. Blocks on the disk.
    pub(crate) fn take_pass(&self, pass: &Pass) -> Result<(), AdmissionError> {
        let key = self.appointed.admission_key.as_ref().ok_or(AdmissionError::NoKey)?;
        let claim = pass.check(key, &self.appointed.mesh, self.now())?;
        if claim.node != self.own {
            return Err(NotAdmitted::OtherNode.into());
        }
        self.keep_pass(pass)?;
        self.lock().pass = Some(pass.clone());
        Ok(())
    }

    /// Admits `node` by the token that it brought: once, and on disk before anybody hears of it.
    pub(crate) async fn redeem(
        self: &Arc<Self>,
        node: NodeId,
        token: Token,
    ) -> Result<Pass, NotAdmitted> {
        let id = token.id;
        let Some(pass) = self.note_use(node, token)? else {
            let state = self.lock();
            let known = state.known.used(&id).ok_or(NotAdmitted::Busy)?;
            return Ok(known.pass.clone());
        };
        if !self.save().await {
            self.lock().known.forget_use(&id);
            return Err(NotAdmitted::Busy);
        }
        self.tell(Notice::Used(pass.clone()).into());
        Ok(pass)
    }

    /// The pass of `node`, noted; `None` if it had brought the same token before.
    fn note_use(&self, node: NodeId, token: Token) -> Result<Option<Pass>, NotAdmitted> {
        let key = self.appointed.admission_key.as_ref().ok_or(NotAdmitted::Signature)?;
        let now = self.now();
        token.check(key, &self.appointed.mesh)?;
        let mut state = self.lock();
        if let Some(known) = state.known.used(&token.id) {
            return if known.node == node { Ok(None) } else { Err(NotAdmitted::Used) };
        }
        let by = state.pass.as_ref().and_then(Pass::bound_token).cloned();
        let by = by.ok_or(NotAdmitted::CannotAdmit)?;
        let pass = Pass::sign(&self.keypair, by, &self.appointed.mesh, token, node, now);
        let claim = pass.check(key, &self.appointed.mesh, now)?;
        state.known.note_use(&claim, pass.clone(), now)?;
        Ok(Some(pass))
    }

    /// Takes the operator's denial in, stores and spreads it. Whether it was new.
    pub(crate) async fn deny(self: &Arc<Self>, denial: Denial) -> Result<bool, AdmissionError> {
        if !self.appointed.anybody() {
            return Err(AdmissionError::NoKey);
        }
        let new = {
            let mut state = self.lock();
            let listed = state.known.denials.of(&denial.node).is_some();
            let full = state.known.denials.len() >= Denials::MAX;
            let new = state.known.take(Notice::Denied(denial), &self.appointed, self.now())?;
            if full && !listed {
                return Err(AdmissionError::Full { max: Denials::MAX });
            }
            new
        };
        self.spread_and_store(new).await
    }

    /// Tells and does what is new and returns when all of it is on disk; whether it was new.
    pub(super) async fn spread_and_store(
        self: &Arc<Self>,
        news: Option<News>,
    ) -> Result<bool, AdmissionError> {
        let new = news.is_some();
        self.take_up(news);
        // Also if it was known: the caller hears that it is on disk.
        if self.save().await {
            return Ok(new);
        }
        let path = self.folder.clone().unwrap_or_default().join(NOTICES_FILE);
        Err(AdmissionError::Io { path, source: std::io::ErrorKind::Other.into() })
    }

    /// A message of a peer: takes in what is new. What to answer, where an answer would be sent.
    pub(crate) fn heard(
        self: &Arc<Self>,
        message: &[u8],
        answers: bool,
    ) -> Result<Vec<Bytes>, knhk_mesh_core::error::Refused> {
        use knhk_mesh_core::error::Refused;
        let heard = notices::decode(message)?;
        if !self.appointed.anybody() {
            return Ok(Vec::new());
        }
        let now = self.now();
        match heard {
            Heard::Summary(_) if !answers => Ok(Vec::new()),
            Heard::Summary(hash) => {
                let state = self.lock();
                if state.known.hash(now) == hash {
                    return Ok(Vec::new());
                }
                let mut answer = notices::encode(&state.known.all(now));
                // So that the other end tells what is missing here.
                answer.push(state.known.summary(now));
                Ok(answer)
            }
            Heard::Notices(notices) => {
                let mut fresh = Vec::new();
                let mut verdict = Ok(Vec::new());
                let mut state = self.lock();
                for notice in notices {
                    match state.known.take(notice, &self.appointed, now) {
                        Ok(news) => fresh.extend(news),
                        Err(_) => {
                            // One forgery, and the rest is not worth a check.
                            verdict = Err(Refused::Signature);
                            break;
                        }
                    }
                }
                drop(state);
                if !fresh.is_empty() {
                    self.take_up(fresh);
                    let trust = Arc::clone(self);
                    tokio::spawn(async move { trust.save().await });
                }
                verdict
            }
        }
    }

    /// What proves that the node behind a chain is denied, as a message; empty if nothing does.
    pub(crate) fn denial_of(&self, chain: &[CertificateDer<'_>]) -> Bytes {
        let node = chain.get(1).and_then(chain::public_key);
        let notice = node.and_then(|node| self.lock().known.denial_of(&node));
        notice.and_then(|notice| notices::encode(&[notice]).pop()).unwrap_or_default()
    }

    /// The other end of a connection gave this as its reason to close it: one notice which says
    /// that this node is void is taken in, and everything else passed over.
    pub(crate) fn heed_denial(self: &Arc<Self>, reason: &[u8]) {
        if let Ok(Heard::Notices(said)) = notices::decode(reason)
            && let [notice] = said.as_slice()
            && notice.voids(&self.own)
        {
            let _ = self.heard(reason, false);
        }
    }

    /// Whether a node that dials is let through TLS: also one that is denied, as often as it is
    /// worth telling it so.
    pub(crate) fn may_dial(&self, node: &NodeId) -> Result<(), NotAdmitted> {
        let may = self.may_introduce(node);
        if may != Err(NotAdmitted::Denied) {
            return may;
        }
        let (now, mut state) = (Instant::now(), self.lock());
        // No more entries than denials.
        match state.told.insert(*node, now) {
            Some(last) if now < last + TELL_DENIED_EVERY => {
                state.told.insert(*node, last);
                may
            }
            _ => Ok(()),
        }
    }

    /// What a fresh link is told first; `None` where nothing is ever denied or used.
    pub(crate) fn summary(&self) -> Option<Bytes> {
        self.appointed.anybody().then(|| self.lock().known.summary(self.now()))
    }

    /// Whether there is something that another node may have missed.
    pub(crate) fn knows_something(&self) -> bool {
        !self.lock().known.is_empty(self.now())
    }

    /// Who is denied or forgotten.
    pub(crate) fn denied(&self) -> Vec<Void> {
        self.lock().known.voids().collect()
    }

    /// Tells and does what is new, and lets live links be judged again if somebody was denied.
    fn take_up(&self, news: impl IntoIterator<Item = News>) {
        let mut denied = false;
        for news in news {
            denied |= news.void.is_some();
            self.tell(news);
        }
        if denied {
            self.changed();
        }
    }

    fn tell(&self, news: News) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        // Hardly anybody can make more than that; what is dropped here, the summaries bring.
        if fresh.notices.len() < Denials::MAX + MAX_USES + Facts::MAX + Facts::MAX_CONFLICTS {
            fresh.notices.push(news.notice);
        }
        if let Some((node, up_to)) = news.void {
            let before = fresh.voids.entry(node).or_insert(up_to);
            *before = up_to.max(*before);
        }
        drop(fresh);
        self.news.notify_one();
    }

    /// Waits for [`Trust::take_news`] to have something.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// What the node itself has to make void, and what is to be told to every link.
    pub(crate) fn take_news(&self) -> (BTreeMap<NodeId, Incarnation>, Vec<Bytes>) {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        let messages = notices::encode(&fresh.notices);
        (fresh.voids, messages)
    }

    /// Writes down what is known; false if the disk did not take it.
    async fn save(self: &Arc<Self>) -> bool {
        if self.folder.is_none() {
            return true;
        }
        let trust = Arc::clone(self);
        let _one_at_a_time = self.saving.lock().await;
        let saved = tokio::task::spawn_blocking(move || {
            let Some(folder) = &trust.folder else { return true };
            let all = trust.lock().known.all(trust.now());
            let mut bytes = Vec::new();
            for message in notices::encode(&all) {
                bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&message);
            }
            keep::replace(folder, NOTICES_FILE, &bytes).is_ok()
        });
        saved.await.unwrap_or(false)
    }

    /// This node's certificate under the operator's roots, checked; `None` where it signs its own.
    /// Blocks on the disk.
    pub(crate) fn certificate(&self) -> Result<Option<CertificateDer<'static>>, AdmissionError> {
        let Credentials::Certificate { certificate: path, .. } = &self.credentials else {
            return Ok(None);
        };
        let first = certificates::read(path)?.into_iter().next();
        Ok(first)
    }

    /// Whether a fresh chain of this node would convince another one.
    pub(crate) fn check_own(&self, chain: &[CertificateDer<'_>]) -> Result<(), AdmissionError> {
        let now = UnixTime::since_unix_epoch(Duration::from_millis(self.now().0));
        let reason = match self.prove(chain, now, KeyUsage::client_auth()) {
            Ok(proven) if proven.node == self.own => return Ok(()),
            Ok(_) => "it is for another node".to_owned(),
            Err(why) => why.to_string(),
        };
        let path = match &self.credentials {
            Credentials::Certificate { certificate, .. } => certificate.clone(),
            _ => PathBuf::new(),
        };
        Err(AdmissionError::NotOurs { path, reason })
    }

    /// Reads the roots again; every link is then judged by them. Blocks on the disk.
    pub(crate) fn reload_roots(&self) -> Result<(), AdmissionError> {
        if let Credentials::Certificate { roots, .. } = &self.credentials {
            let roots = Anchors::Roots(self.appointed.mesh, certificates::read_roots(roots)?);
            *self.anchors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
            self.changed();
        }
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({:?})", self.credentials)
    }
}
