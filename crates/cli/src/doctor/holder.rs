//! Which process holds a port, where the system tells (Linux, and only of processes that this user
//! may look into).
//!
//! ```text
//!   /proc/net/udp   port ─> inode of the socket
//!   /proc/N/fd/*    link to socket:[inode] ─> process N
//! ```

/// Name and number of the process that holds `port`; `protocol` is UDP or TCP.
#[cfg(target_os = "linux")]
pub(super) fn of_port(port: u16, protocol: &str) -> Option<String> {
    let table = protocol.to_ascii_lowercase();
    let inodes: Vec<String> = ["", "6"]
        .iter()
        .filter_map(|family| std::fs::read_to_string(format!("/proc/net/{table}{family}")).ok())
        .flat_map(|text| inodes_at(&text, port))
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let number: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let holds = open.any(|file| {
            let leads_to = std::fs::read_link(file.path()).unwrap_or_default();
            sockets.iter().any(|socket| leads_to.as_os_str() == socket.as_str())
        });
        let name = || std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        holds.then(|| format!("{} (process {number})", name().trim()))
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of_port(_port: u16, _protocol: &str) -> Option<String> {
    None
}

/// Inodes of the sockets bound to `port`: the tenth column where the second ends in the port.
#[cfg(target_os = "linux")]
fn inodes_at(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let here = rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&ending)));
    here.filter_map(|row| row.get(9).map(|&inode| inode.to_owned())).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let holder = of_port(port, "UDP").unwrap();
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    }
}
