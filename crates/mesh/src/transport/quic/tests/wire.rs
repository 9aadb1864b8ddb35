//! What stands between two nodes: relays that record, change their address, or let flights pass one
//! by one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// A flight is over when nothing more came for so long.
const QUIET: Duration = Duration::from_millis(200);

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Relays between whoever speaks to it and `server`.
pub(super) struct Relay {
    pub(super) addr: SocketAddr,
    /// What the client sent.
    pub(super) tape: Arc<Mutex<Vec<Vec<u8>>>>,
    moves: Arc<Semaphore>,
    task: AbortHandle,
}

impl Relay {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let near = socket().await;
        let (addr, tape) = (near.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (record, moves) = (Arc::clone(&tape), Arc::new(Semaphore::new(0)));
        let asked = Arc::clone(&moves);
        let task = tokio::spawn(async move {
            let (mut far, mut client) = (socket().await, None);
            let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                tokio::select! {
                    Ok((bytes, from)) = near.recv_from(&mut from_client) => {
                        client = Some(from);
                        record.lock().unwrap().push(from_client[..bytes].to_vec());
                        let _ = far.send_to(&from_client[..bytes], server).await;
                    }
                    Ok((bytes, _)) = far.recv_from(&mut from_server) => {
                        if let Some(client) = client {
                            let _ = near.send_to(&from_server[..bytes], client).await;
                        }
                    }
                    Ok(asked) = asked.acquire() => {
                        asked.forget();
                        // As a router does that forgot: another address, and the old one is dead.
                        far = socket().await;
                    }
                }
            }
        });
        Relay { addr, tape, moves, task: task.abort_handle() }
    }

    /// From now on the server sees the client at another address.
    pub(super) fn change_address(&self) {
        self.moves.add_permits(1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lets whole flights pass, one round trip for each permit.
pub(super) struct Flights {
    pub(super) addr: SocketAddr,
    permits: Arc<Semaphore>,
    waiting: watch::Receiver<u32>,
    task: AbortHandle,
}

impl Flights {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let (near, far) = (socket().await, socket().await);
        let addr = near.local_addr().unwrap();
        let (permits, (waits, waiting)) = (Arc::new(Semaphore::new(0)), watch::channel(0));
        let granted = Arc::clone(&permits);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (bytes, client) = near.recv_from(&mut buffer).await.unwrap();
                let mut flight = vec![buffer[..bytes].to_vec()];
                flight.extend(rest_of_flight(&near).await);
                waits.send_modify(|count| *count += 1);
                granted.acquire().await.unwrap().forget();
                for packet in flight {
                    far.send_to(&packet, server).await.unwrap();
                }
                for packet in rest_of_flight(&far).await {
                    near.send_to(&packet, client).await.unwrap();
                }
            }
        });
        Flights { addr, permits, waiting, task: task.abort_handle() }
    }

    pub(super) fn permit(&self, round_trips: usize) {
        self.permits.add_permits(round_trips);
    }

    /// Waits until so many flights of the client came as far as here.
    pub(super) async fn waits(&mut self, flights: u32) {
        let seen = self.waiting.wait_for(|count| *count >= flights);
        timeout(Duration::from_secs(20), seen).await.unwrap().unwrap();
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn rest_of_flight(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let (mut flight, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while let Ok(Ok((bytes, _))) = timeout(QUIET, socket.recv_from(&mut buffer)).await {
        flight.push(buffer[..bytes].to_vec());
    }
    flight
}
