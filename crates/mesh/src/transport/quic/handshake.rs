//! From an address to a link: dial or accept, prove, admit, resolve duplicates.
//!
//! ```text
//!   dialler                                   acceptor
//!   TLS: leaf, identity        ─────────────► verify, judge          (unknown to each other)
//!   hello: pass or join, digest ────────────► judge again, register
//!   Up ◄──────────────────────────────────── welcome: pass, digest
//!
//!   ticket, hello as early data ────────────► judge, answer at once  (met before: one round trip)
//!   Up ◄──────────────────────────────────── welcome: digest
//!   end of TLS                 ─────────────► judge again, register
//! ```
//!
//! The dialler knows that it is admitted only when the acceptor says so: in TLS 1.3 the client is
//! done before the server has seen its certificate. A session of an earlier connection skips the
//! verifier of TLS, so who is there is judged after each handshake, whatever path it took. A link
//! comes of early data only when the handshake has ended, which no replay can make it do.

use std::net::SocketAddr;
use std::sync::Arc;

use knhk_mesh_core::admission::{NotAdmitted, Pass};
use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::{Close, Lane};
use quinn::{
    Connection, ConnectionError, Incoming, RecvStream, TransportErrorCode, VarInt, ZeroRttAccepted,
};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout};

use super::super::batch::BatchError;
use super::super::gate::{self, HalfOpen};
use super::super::link::{Link, Wire as LinkWire};
use super::super::registry::Claim;
use super::super::tls::server_name;
use super::super::{DialError, Down, Target};
use super::hello::{self, Hello};
use super::ledger::Free;
use super::parting::{self, close_of, code};
use super::{Shared, Wire, endpoint, reader, writer};
use crate::admission::Proven;

/// The part of QUIC's error space that carries TLS alerts (RFC 9001, 4.8).
const ALERTS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// A peer that may have a link, and what it said first.
struct Met {
    proven: Proven,
    hello: Hello,
    /// The welcome has been said already.
    welcomed: bool,
}

/// Accepts until the endpoint closes.
pub(super) async fn accept_loop(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        let (ip, proved) = (incoming.remote_address().ip(), incoming.remote_address_validated());
        match shared.local.enter(ip, proved, Instant::now()) {
            Ok(place) => {
                tokio::spawn(accept(shared.clone(), place, incoming));
            }
            Err(gate::Refusal::Prove) if incoming.may_retry() => {
                // Just asked whether it may.
                let _ = incoming.retry();
            }
            Err(_) => incoming.refuse(),
        }
    }
}

async fn accept(shared: Arc<Shared>, place: HalfOpen, incoming: Incoming) {
    let local = &shared.local;
    let connection = match incoming.accept() {
        Ok(connecting) => connecting.into_0rtt(),
        Err(error) => return local.count_failure(&dial_error(&error)),
    };
    let Ok((connection, established)) = connection else { return };
    let met = hear(&shared, &connection, established);
    let met = match timeout(local.settings.handshake_timeout, met).await {
        Ok(Ok(met)) => met,
        Ok(Err(why)) => {
            parting::close(&connection, close_for(&why), &local.trust);
            return local.count_failure(&why);
        }
        Err(_) => {
            connection.close(code(Close::Leaving), b"");
            return local.count_failure(&DialError::TimedOut);
        }
    };
    drop(place);
    let accepted = local.accepted(met.proven.node);
    let accepted = accepted.and_then(|()| register(&shared, &connection, met.proven, false));
    let (link, replaced) = match accepted {
        Ok(registered) => registered,
        Err(why) => {
            local.count_failure(&DialError::from(why));
            return parting::close(&connection, why, &local.trust);
        }
    };
    let free = shared.ledger.free(connection.remote_address(), false);
    if !met.welcomed {
        let mut welcome = Hello::of_digest(local.greeting.answer());
        welcome.passes = met.hello.passes;
        // A fresh connection has credit: this does not wait.
        if writer::write_hello(&connection, &welcome).await.is_err() {
            link.end(Down::Lost);
        }
    }
    endpoint::widen(&connection, local.settings.profile);
    run(&shared, connection, free, (link, replaced), met.hello.digest).await;
}

/// Waits for the hello and judges who says it. The passes of the result are those to answer with.
async fn hear(
    shared: &Shared,
    connection: &Connection,
    established: ZeroRttAccepted,
) -> Result<Met, DialError> {
    let mut stream = connection.accept_uni().await.map_err(|error| dial_error(&error))?;
    let early = stream.is_0rtt();
    let mut welcomed = false;
    let mut said = None;
    if early {
        // Nothing is said to, and nothing heard of, a node that was denied since. It is told when
        // the handshake has ended: before that QUIC has no words for the reason.
        let proven = match shared.admitted(connection) {
            Ok(proven) => proven,
            Err(why) => {
                established.await;
                return Err(not_admitted(&why));
            }
        };
        let hello = hello::read(&mut stream).await.map_err(|error| broken(&error))?;
        if shared.local.would_register(proven.node) {
            let welcome = Hello::of_digest(shared.local.greeting.answer());
            let written = writer::write_hello(connection, &welcome).await;
            written.map_err(|error| DialError::Handshake(error.to_string()))?;
            welcomed = true;
        }
        said = Some(hello);
    }
    if !established.await
        && let Some(error) = connection.close_reason()
    {
        return Err(dial_error(&error));
    }
    let mut hello = match said {
        Some(hello) => hello,
        None => hello::read(&mut stream).await.map_err(|error| broken(&error))?,
    };
    let met = shared.introduced(connection).map_err(|why| not_admitted(&why))?;
    hello.passes = match shared.local.trust.uses_passes() && !early {
        true => take_passes(shared, connection, met.node, &hello).await?,
        false => Vec::new(),
    };
    let proven = shared.admitted(connection).map_err(|why| not_admitted(&why))?;
    Ok(Met { proven, hello, welcomed })
}

/// Hears what a node shows or brings to be admitted; the passes to answer with.
async fn take_passes(
    shared: &Shared,
    connection: &Connection,
    node: NodeId,
    hello: &Hello,
) -> Result<Vec<Pass>, DialError> {
    let trust = &shared.local.trust;
    let own: Vec<Pass> = trust.pass().into_iter().collect();
    if !hello.join {
        let shown = hello.passes.first().ok_or(NotAdmitted::Malformed);
        shown.and_then(|pass| trust.shown(&node, pass)).map_err(|why| not_admitted(&why))?;
        return Ok(own);
    }
    // Who brings a token does not say it before it knows to whom.
    let mine = Hello { passes: own.clone(), ..Hello::default() };
    let written = writer::write_hello(connection, &mine).await;
    written.map_err(|error| DialError::Handshake(error.to_string()))?;
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(2));
    let mut stream = connection.accept_uni().await.map_err(|error| dial_error(&error))?;
    let brought = hello::read(&mut stream).await.map_err(|error| broken(&error))?;
    let token = brought.token.ok_or(DialError::NotAdmitted)?;
    let pass = trust.redeem(node, token).await.map_err(|why| not_admitted(&why))?;
    trust.shown(&node, &pass).map_err(|why| not_admitted(&why))?;
    Ok([own, vec![pass]].concat())
}

/// Dials until there is a link, and then is its reader; or reports why not.
pub(super) async fn dial(shared: Arc<Shared>, target: Target, renews: bool) {
    let mut claim = match shared.local.registry.claim(target, renews) {
        Ok(claim) => claim,
        Err(_) if renews => return,
        Err(why) => return shared.local.dial_failed(target, why).await,
    };
    let free = shared.ledger.free(target.addr, true);
    let connected = connect_in_time(&shared, target, &mut claim).await;
    let registered = connected.and_then(|(connection, met)| {
        let registered = register(&shared, &connection, met.proven, true).map_err(|why| {
            connection.close(code(why), b"");
            DialError::from(why)
        })?;
        Ok((connection, registered, met.hello.digest))
    });
    drop(claim);
    match registered {
        Ok((connection, registered, digest)) => {
            run(&shared, connection, free, registered, digest).await;
        }
        // The link that was to be renewed still stands, or ends by itself.
        Err(_) if renews => {}
        Err(why) => shared.local.dial_failed(target, why).await,
    }
}

async fn connect_in_time(
    shared: &Shared,
    target: Target,
    claim: &mut Claim<'_>,
) -> Result<(Connection, Met), DialError> {
    let limit = shared.local.settings.handshake_timeout;
    // Seeds have one name together, under which no session may be found.
    let mut resumed = target.node.is_some();
    let connected = timeout(limit, connect(shared, target, claim, &mut resumed)).await;
    match connected.unwrap_or(Err(DialError::TimedOut)) {
        // The session that was resumed is not as good as its node: certificates were renewed, or
        // the other end has forgotten a pass. Once more, and everything is shown again.
        Err(DialError::NotAdmitted) if resumed => {
            let connected = timeout(limit, connect(shared, target, claim, &mut false)).await;
            connected.unwrap_or(Err(DialError::TimedOut))
        }
        other => other,
    }
}

/// Dials under an earlier session if `resume` allows it, which then says whether there was one.
async fn connect(
    shared: &Shared,
    target: Target,
    claim: &mut Claim<'_>,
    resume: &mut bool,
) -> Result<(Connection, Met), DialError> {
    let config = if *resume { &shared.client } else { &shared.afresh };
    let connecting = shared
        .endpoint
        .connect_with(config.clone(), target.addr, &server_name(target.node))
        .map_err(|error| DialError::Unreachable(error.to_string()))?;
    let (connection, early) = match connecting.into_0rtt() {
        Ok((connection, accepted)) => (connection, Some(accepted)),
        Err(connecting) => (connecting.await.map_err(|error| dial_error(&error))?, None),
    };
    *resume = early.is_some();
    let closing = CloseUnlessDone(Some(connection.clone()));
    let met = match early {
        None => introduce(shared, &connection, claim).await,
        Some(accepted) => greet_early(shared, &connection, accepted, claim).await,
    };
    if let Err(why) = &met {
        parting::heed(&connection, &shared.local.trust);
        connection.close(code(close_for(why)), b"");
    }
    closing.done();
    Ok((connection, met?))
}

/// A dial that is given up half-way tells the other end so.
struct CloseUnlessDone(Option<Connection>);

impl CloseUnlessDone {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseUnlessDone {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(code(Close::Leaving), b"");
        }
    }
}

/// Says hello with the first packet, under the session of an earlier connection.
async fn greet_early(
    shared: &Shared,
    connection: &Connection,
    accepted: ZeroRttAccepted,
    claim: &mut Claim<'_>,
) -> Result<Met, DialError> {
    let hello = Hello::of_digest(shared.local.greeting.ask());
    let greeted = writer::write_hello(connection, &hello).await;
    if !accepted.await {
        if let Some(error) = connection.close_reason() {
            return Err(dial_error(&error));
        }
        // The other end has lost the session. What was said early is forgotten.
        return introduce(shared, connection, claim).await;
    }
    greeted.map_err(|error| DialError::Handshake(error.to_string()))?;
    let proven = shared.admitted(connection).map_err(|why| not_admitted(&why))?;
    claim.node(proven.node)?;
    let hello = welcome(connection).await?;
    Ok(Met { proven, hello, welcomed: true })
}

/// Says hello after a whole handshake.
async fn introduce(
    shared: &Shared,
    connection: &Connection,
    claim: &mut Claim<'_>,
) -> Result<Met, DialError> {
    let trust = &shared.local.trust;
    let proven = shared.introduced(connection).map_err(|why| not_admitted(&why))?;
    claim.node(proven.node)?;
    let mut hello = Hello::of_digest(shared.local.greeting.ask());
    if trust.uses_passes() {
        match (trust.pass(), trust.token()) {
            (Some(pass), _) => hello.passes.push(pass),
            (None, Some(token)) => {
                hello.token = Some(join(shared, connection, proven.node, token).await?);
            }
            (None, None) => return Err(DialError::NotAdmitted),
        }
    }
    let greeted = writer::write_hello(connection, &hello).await;
    let said = welcome(connection).await?;
    greeted.map_err(|error| DialError::Handshake(error.to_string()))?;
    for pass in &said.passes {
        if trust.shown(&proven.node, pass).is_err() {
            // Not the other end's own, so it is for this node. A disk that does not take it is no
            // reason to stay out: the token is good for the same node again.
            let (trust, pass) = (Arc::clone(trust), pass.clone());
            let _ = tokio::task::spawn_blocking(move || trust.take_pass(&pass)).await;
        }
    }
    let proven = shared.admitted(connection).map_err(|why| not_admitted(&why))?;
    Ok(Met { proven, hello: said, welcomed: true })
}

/// Asks the other end for its pass, and gives the token only if it may admit this node.
async fn join(
    shared: &Shared,
    connection: &Connection,
    node: NodeId,
    token: crate::admission::Token,
) -> Result<crate::admission::Token, DialError> {
    let ask = Hello { join: true, ..Hello::default() };
    let written = writer::write_hello(connection, &ask).await;
    written.map_err(|error| DialError::Handshake(error.to_string()))?;
    let shown = welcome(connection).await?;
    let pass = shown.passes.first().ok_or(DialError::NotAdmitted)?;
    match shared.local.trust.shown(&node, pass) {
        Ok(claim) if claim.may_admit => Ok(token),
        Ok(_) => Err(DialError::CannotAdmit),
        Err(why) => Err(not_admitted(&why)),
    }
}

async fn welcome(connection: &Connection) -> Result<Hello, DialError> {
    let mut stream: RecvStream =
        connection.accept_uni().await.map_err(|error| dial_error(&error))?;
    match hello::read(&mut stream).await {
        Ok(hello) => Ok(hello),
        // The connection may have ended with a reason of its own.
        Err(error) => Err(match connection.close_reason() {
            Some(reason) => dial_error(&reason),
            None => broken(&error),
        }),
    }
}

impl Shared {
    /// Who is at the other end, judged now: whatever path TLS took, a node that is not admitted now
    /// gets no link.
    pub(super) fn admitted(&self, connection: &Connection) -> Result<Proven, NotAdmitted> {
        self.local.trust.admits_chain(&chain(connection).ok_or(NotAdmitted::Signature)?)
    }

    /// Who is at the other end, if it may show a pass.
    fn introduced(&self, connection: &Connection) -> Result<Proven, NotAdmitted> {
        self.local.trust.introduces(&chain(connection).ok_or(NotAdmitted::Signature)?)
    }
}

/// The certificates of the other end, as TLS or the resumed session has them.
pub(super) fn chain(connection: &Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity()?.downcast().ok().map(|chain| *chain)
}

fn register(
    shared: &Shared,
    connection: &Connection,
    proven: Proven,
    dialled: bool,
) -> Result<(Link, Option<Link>), Close> {
    let addr: SocketAddr = connection.remote_address();
    let trust = shared.local.trust.clone();
    let wire = LinkWire::Quic(Wire { connection: connection.clone(), trust });
    let link = Link::new(proven.node, addr, dialled, wire);
    link.admitted_until(proven.until, shared.local.trust.now());
    let replaced = shared.local.registry.register(&link)?;
    Ok((link, replaced))
}

/// The life of a link, from its first event to its last.
async fn run(
    shared: &Shared,
    connection: Connection,
    mut free: Free,
    (link, replaced): (Link, Option<Link>),
    digest: Option<bytes::Bytes>,
) {
    let settings = &shared.local.settings;
    if shared.local.up(&link, replaced).await {
        tokio::spawn(writer::write_batches(
            link.clone(),
            connection.clone(),
            settings.compression,
            endpoint::uni_streams(settings.profile),
        ));
        let heard = match digest {
            Some(digest) => {
                shared.local.deliver(&link, digest.len(), Lane::Digest, vec![digest]).await
            }
            None => true,
        };
        if heard {
            reader::read_batches(shared, &link, &connection, &mut free).await;
        }
    }
    parting::heed(&connection, &shared.local.trust);
    shared.local.down(&link, down(connection.close_reason())).await;
}

fn down(reason: Option<ConnectionError>) -> Down {
    match reason {
        Some(ConnectionError::ApplicationClosed(close)) => Down::There(close_of(close.error_code)),
        Some(ConnectionError::TimedOut) => Down::Silent,
        _ => Down::Lost,
    }
}

/// What the other end is told about a dial that failed here.
fn close_for(why: &DialError) -> Close {
    match why {
        DialError::NotAdmitted | DialError::CannotAdmit => Close::Denied,
        DialError::AlreadyLinked | DialError::AlreadyDialling | DialError::Myself => {
            Close::Duplicate
        }
        DialError::NoRoom | DialError::Full => Close::Full,
        DialError::Handshake(_) => Close::Protocol,
        _ => Close::Leaving,
    }
}

fn not_admitted(why: &NotAdmitted) -> DialError {
    match why {
        NotAdmitted::CannotAdmit => DialError::CannotAdmit,
        NotAdmitted::Busy => DialError::Busy,
        _ => DialError::NotAdmitted,
    }
}

fn broken(error: &BatchError) -> DialError {
    DialError::Handshake(error.to_string())
}

pub(super) fn dial_error(error: &ConnectionError) -> DialError {
    match error {
        ConnectionError::TransportError(error) => handshake_error(error.code, || error.to_string()),
        // The other end's words are anybody's, and would reach a terminal.
        ConnectionError::ConnectionClosed(close) => {
            handshake_error(close.error_code, || close.error_code.to_string())
        }
        ConnectionError::ApplicationClosed(close) => close_of(close.error_code).map_or_else(
            || DialError::Handshake(format!("closed with code {}", close.error_code)),
            DialError::from,
        ),
        ConnectionError::TimedOut => DialError::TimedOut,
        other => DialError::Handshake(other.to_string()),
    }
}

/// The alert says the reason, whichever end found it.
fn handshake_error(error: TransportErrorCode, text: impl Fn() -> String) -> DialError {
    let number = u64::from(error);
    if error == TransportErrorCode::CONNECTION_REFUSED {
        return DialError::Busy;
    }
    if !ALERTS.contains(&number) {
        return DialError::Handshake(text());
    }
    match AlertDescription::from((number & 0xff) as u8) {
        AlertDescription::BadCertificate => DialError::WrongKey,
        AlertDescription::AccessDenied => DialError::NotAdmitted,
        AlertDescription::NoApplicationProtocol => DialError::OtherMesh,
        _ => DialError::Handshake(text()),
    }
}
