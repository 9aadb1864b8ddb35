//! From an address to a link: dial or accept, prove, admit, resolve duplicates.
//!
//! The dialler knows that it is admitted only when the acceptor says so: in TLS 1.3 the client is
//! done before the server has seen its certificate. So the acceptor's first stream is a welcome, an
//! empty batch; and the dialler's first stream, which leaves with its certificate, is its hello.

use std::net::SocketAddr;
use std::sync::Arc;

use knhk_mesh_core::identity::NodeId;
use knhk_mesh_core::messages::Close;
use quinn::{Connection, ConnectionError, Incoming, RecvStream, TransportErrorCode};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::super::link::{Link, Wire as LinkWire};
use super::super::local::HalfOpen;
use super::super::registry::Claim;
use super::super::tls::{node_of_chain, server_name};
use super::super::{DialError, Down, Target};
use super::{Shared, Wire, code, reader, writer};

/// The part of QUIC's error space that carries TLS alerts (RFC 9001, 4.8).
const ALERTS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// Accepts until the endpoint closes.
pub(super) async fn accept_loop(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        match HalfOpen::enter(&shared.local) {
            Some(place) => {
                tokio::spawn(accept(shared.clone(), place, incoming));
            }
            None => incoming.refuse(),
        }
    }
}

async fn accept(shared: Arc<Shared>, place: HalfOpen, incoming: Incoming) {
    let local = &shared.local;
    let hello = async {
        let connection = incoming.accept()?.await?;
        let hello = connection.accept_uni().await?;
        Ok::<_, ConnectionError>((connection, hello))
    };
    let (connection, hello) = match timeout(local.settings.handshake_timeout, hello).await {
        Ok(Ok(heard)) => heard,
        Ok(Err(error)) => return local.count_failure(&dial_error(&error)),
        Err(_) => return local.count_failure(&DialError::TimedOut),
    };
    drop(place);
    let accepted = match admitted(&shared, &connection) {
        Some(node) => {
            local.accepted(node).and_then(|()| register(&shared, &connection, node, false))
        }
        None => Err(Close::Denied),
    };
    let (link, replaced) = match accepted {
        Ok(registered) => registered,
        Err(why) => {
            local.count_failure(&DialError::from(why));
            return connection.close(code(why), b"");
        }
    };
    // A fresh connection has credit for one stream: this does not wait.
    if writer::greet(&connection).await.is_err() {
        link.end(Down::Lost);
    }
    run(&shared, connection, link, replaced, hello).await;
}

/// Dials until there is a link, and then is its reader; or reports why not.
pub(super) async fn dial(shared: Arc<Shared>, target: Target) {
    let mut claim = match shared.local.registry.claim(target) {
        Ok(claim) => claim,
        Err(why) => return shared.local.dial_failed(target, why).await,
    };
    let heard =
        timeout(shared.local.settings.handshake_timeout, connect(&shared, target, &mut claim));
    let registered = match heard.await {
        Ok(Ok((connection, node, welcome))) => register(&shared, &connection, node, true)
            .map(|(link, replaced)| (connection.clone(), link, replaced, welcome))
            .map_err(|why| {
                connection.close(code(why), b"");
                DialError::from(why)
            }),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(DialError::TimedOut),
    };
    drop(claim);
    match registered {
        Ok((connection, link, replaced, welcome)) => {
            run(&shared, connection, link, replaced, welcome).await;
        }
        Err(why) => shared.local.dial_failed(target, why).await,
    }
}

async fn connect(
    shared: &Shared,
    target: Target,
    claim: &mut Claim<'_>,
) -> Result<(Connection, NodeId, RecvStream), DialError> {
    let name = server_name(target.node);
    let connection = shared
        .endpoint
        .connect_with(shared.client.clone(), target.addr, &name)
        .map_err(|error| DialError::Unreachable(error.to_string()))?
        .await
        .map_err(|error| dial_error(&error))?;
    let Some(node) = admitted(shared, &connection) else {
        connection.close(code(Close::Denied), b"");
        return Err(DialError::NotAdmitted);
    };
    if let Err(why) = claim.node(node) {
        connection.close(code(Close::Duplicate), b"");
        return Err(why);
    }
    let greeted = writer::greet(&connection).await;
    let welcome = connection.accept_uni().await.map_err(|error| dial_error(&error))?;
    greeted.map_err(|error| DialError::Handshake(error.to_string()))?;
    Ok((connection, node, welcome))
}

/// Who is at the other end, asked again after the handshake: whatever path TLS took, a node that is
/// not admitted now gets no link.
fn admitted(shared: &Shared, connection: &Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_of_chain(&chain).filter(|node| shared.local.settings.admission.admits(node))
}

fn register(
    shared: &Shared,
    connection: &Connection,
    node: NodeId,
    dialled: bool,
) -> Result<(Link, Option<Link>), Close> {
    let addr: SocketAddr = connection.remote_address();
    let wire = LinkWire::Quic(Wire(connection.clone()));
    let link = Link::new(node, addr, dialled, wire);
    let replaced = shared.local.registry.register(&link)?;
    Ok((link, replaced))
}

/// The life of a link, from its first event to its last.
async fn run(
    shared: &Shared,
    connection: Connection,
    link: Link,
    replaced: Option<Link>,
    first: RecvStream,
) {
    let settings = &shared.local.settings;
    if shared.local.up(&link, replaced).await {
        tokio::spawn(writer::write_batches(
            link.clone(),
            connection.clone(),
            settings.compression,
            super::endpoint::uni_streams(settings.profile),
        ));
        reader::read_batches(shared, &link, &connection, first).await;
    }
    shared.local.down(&link, down(connection.close_reason())).await;
}

fn down(reason: Option<ConnectionError>) -> Down {
    match reason {
        Some(ConnectionError::ApplicationClosed(close)) => {
            Down::There(close_of(close.error_code.into_inner()))
        }
        Some(ConnectionError::TimedOut) => Down::Silent,
        _ => Down::Lost,
    }
}

fn close_of(code: u64) -> Option<Close> {
    Close::ALL.into_iter().find(|close| u64::from(close.code()) == code)
}

fn dial_error(error: &ConnectionError) -> DialError {
    match error {
        ConnectionError::TransportError(error) => handshake_error(error.code, || error.to_string()),
        ConnectionError::ConnectionClosed(close) => {
            handshake_error(close.error_code, || close.to_string())
        }
        ConnectionError::ApplicationClosed(close) => close_of(close.error_code.into_inner())
            .map_or_else(|| DialError::Handshake(close.to_string()), DialError::from),
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
