//! Whether the node could listen: the first of its addresses that can be bound, as `run` takes it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use knhk_mesh::config_file::Effective;

use super::{Check, holder};

const PORT: &str = "port";

/// What became of the address.
pub(super) struct Port {
    pub(super) check: Check,
    /// Where others would reach this node: a seed there is this node itself. Empty if it cannot
    /// listen: then somebody else is there.
    pub(super) ours: Vec<SocketAddr>,
    /// Where somebody else listens already, perhaps this node itself.
    pub(super) taken: Option<SocketAddr>,
}

/// Tries the addresses in turn until one is free.
pub(super) fn check(effective: &Effective) -> Port {
    let quic = effective.network.quic;
    let protocol = if quic { "UDP" } else { "TCP" };
    let bind = |addr: SocketAddr| -> io::Result<()> {
        if quic { UdpSocket::bind(addr).map(drop) } else { TcpListener::bind(addr).map(drop) }
    };
    let mut refused = None;
    let mut taken = 0;
    for addr in effective.bind_candidates() {
        match bind(addr) {
            Ok(()) => {
                let before = match taken {
                    0 => String::new(),
                    _ => format!("; {taken} before it in the range are taken"),
                };
                let detail = format!("{addr} ({protocol}) is free{before}");
                let mut ours = effective.core_config().addresses;
                ours.push(addr);
                return Port { check: Check::ok(PORT, detail), ours, taken: None };
            }
            Err(error) => {
                taken += 1;
                refused.get_or_insert((addr, error));
            }
        }
    }
    let in_use = |(addr, error): &(SocketAddr, io::Error)| {
        (error.kind() == ErrorKind::AddrInUse).then_some(*addr)
    };
    let held = refused.as_ref().and_then(in_use);
    let check = match refused {
        Some((addr, error)) => refusal(addr, &error, protocol, taken),
        None => Check::fail(PORT, "there is no address to listen on", "give --bind IP:PORT"),
    };
    Port { check, ours: Vec::new(), taken: held }
}

fn refusal(addr: SocketAddr, error: &io::Error, protocol: &str, tried: usize) -> Check {
    let others =
        if tried > 1 { format!(", like the {} after it", tried - 1) } else { String::new() };
    match error.kind() {
        ErrorKind::AddrInUse => {
            let held = holder::of_port(addr.port(), protocol);
            let by = held.map_or(String::new(), |name| format!(" by {name}"));
            let detail = format!("{addr} ({protocol}) is taken{by}{others}");
            Check::fail(PORT, detail, "stop what holds it, or listen elsewhere: --bind IP:PORT")
        }
        ErrorKind::AddrNotAvailable => {
            let detail = format!("{} is no address of this host", addr.ip());
            let help = "bind to an address of this host, and tell others another one with \
                        --advertise";
            Check::fail(PORT, detail, help)
        }
        ErrorKind::PermissionDenied => {
            let detail = format!("this user may not listen on {addr} ({protocol})");
            Check::fail(PORT, detail, "take a port above 1023: --bind IP:PORT")
        }
        _ => Check::fail(PORT, format!("{addr} ({protocol}): {error}"), "give --bind IP:PORT"),
    }
}
