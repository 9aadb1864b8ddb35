//! A box on the way between the hostile node and its victim that counts every byte of UDP payload,
//! and lets only so many datagrams pass: the node behind it falls silent at any point it likes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What went by.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    /// Bytes to the victim.
    pub(crate) sent: u64,
    /// Bytes of the victim.
    pub(crate) got: u64,
    pub(crate) sent_datagrams: u64,
    pub(crate) got_datagrams: u64,
    /// The most by which the victim was ever ahead, in bytes.
    pub(crate) excess: i64,
}

impl Counts {
    pub(crate) fn send(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.sent_datagrams += 1;
    }

    pub(crate) fn get(&mut self, bytes: usize) {
        self.got += bytes as u64;
        self.got_datagrams += 1;
        self.excess = self.excess.max(self.got as i64 - self.sent as i64);
    }

    pub(crate) fn add(&mut self, other: Counts) {
        self.sent += other.sent;
        self.got += other.got;
        self.sent_datagrams += other.sent_datagrams;
        self.got_datagrams += other.got_datagrams;
        self.excess = self.excess.max(other.excess);
    }

    pub(crate) fn ratio(&self) -> f64 {
        self.got as f64 / self.sent.max(1) as f64
    }
}

pub(crate) struct Relay {
    /// Where the hostile node dials.
    pub(crate) addr: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Passes `up` datagrams of the hostile node on, and the answers if `down`.
    pub(crate) async fn start(victim: SocketAddr, up: u64, down: bool) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = front.local_addr().unwrap();
        let counts = Arc::new(Mutex::new(Counts::default()));
        let task = tokio::spawn(pass(front, back, victim, (up, down), Arc::clone(&counts)));
        Relay { addr, counts, task }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    front: UdpSocket,
    back: UdpSocket,
    victim: SocketAddr,
    (up, down): (u64, bool),
    counts: Arc<Mutex<Counts>>,
) {
    let (mut ours, mut theirs) = ([0; 2_048], [0; 2_048]);
    let mut client = None;
    loop {
        tokio::select! {
            biased;
            Ok((length, from)) = front.recv_from(&mut ours) => {
                client = Some(from);
                if counts.lock().unwrap().sent_datagrams < up {
                    counts.lock().unwrap().send(length);
                    let _ = back.send_to(&ours[..length], victim).await;
                }
            }
            Ok((length, _)) = back.recv_from(&mut theirs) => {
                counts.lock().unwrap().get(length);
                if let (true, Some(client)) = (down, client) {
                    let _ = front.send_to(&theirs[..length], client).await;
                }
            }
        }
    }
}
