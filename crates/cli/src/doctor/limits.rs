//! What the system allows this process: open files, and how much a UDP socket may hold back.

use knhk_mesh::config_file::Effective;

use super::Check;
use crate::process;

const OPEN_FILES: &str = "open_files";
/// What a node opens besides its links: records, logs, the control socket and its clients.
const OPEN_BESIDE_LINKS: u64 = 64;

/// The limits that matter with this configuration.
pub(super) fn check(effective: &Effective) -> Vec<Check> {
    let mut checks = vec![open_files(effective)];
    if effective.network.quic {
        checks.extend(buffers());
    }
    checks
}

fn open_files(effective: &Effective) -> Check {
    // QUIC carries all links over one socket.
    let links =
        if effective.network.quic { 0 } else { effective.core_config().most_links() as u64 };
    let needed = links + OPEN_BESIDE_LINKS;
    match process::allow_open_files(needed) {
        Ok(()) => Check::ok(OPEN_FILES, format!("{needed} are needed and allowed")),
        Err(allowed) => {
            let detail = format!("{needed} are needed, {allowed} are allowed");
            let help = format!("ulimit -n {needed}, or LimitNOFILE={needed} in a systemd unit");
            Check::fail(OPEN_FILES, detail, help)
        }
    }
}

/// The buffers of a UDP socket, as the system caps them; `None` where it does not tell.
#[cfg(target_os = "linux")]
fn buffers() -> Option<Check> {
    const UDP_BUFFERS: &str = "udp_buffers";
    let wanted = knhk_mesh::transport::quic::SOCKET_BUFFER_BYTES;
    let cap = |name: &str| -> Option<usize> {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let (read, write) = (cap("rmem_max")?, cap("wmem_max")?);
    if read.min(write) >= wanted {
        return Some(Check::ok(
            UDP_BUFFERS,
            format!("up to {} KiB each way", read.min(write) / 1024),
        ));
    }
    let detail = format!(
        "the system allows {} KiB to receive and {} KiB to send, below {} KiB: bursts are lost \
         and sent again",
        read / 1024,
        write / 1024,
        wanted / 1024
    );
    let help = format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}");
    Some(Check::warn(UDP_BUFFERS, detail, help))
}

#[cfg(not(target_os = "linux"))]
fn buffers() -> Option<Check> {
    None
}
