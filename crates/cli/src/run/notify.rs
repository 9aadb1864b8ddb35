//! What a service manager is told (systemd's protocol of `NOTIFY_SOCKET`): a datagram, sent once,
//! to nobody if there is no service manager.

use std::os::unix::net::UnixDatagram;

/// Says `state`, such as `READY=1`. That nobody listens is no failure.
pub(super) fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
        let _ = UnixDatagram::unbound().and_then(|from| send(&from, &socket, state.as_bytes()));
    }
}

fn send(from: &UnixDatagram, socket: &std::ffi::OsStr, state: &[u8]) -> std::io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        // A leading @ stands for the zero byte of a name without a file.
        if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return from.send_to_addr(state, &address);
        }
    }
    from.send_to(state, socket)
}

/// Says that the configuration is being read again; `READY=1` follows.
pub(super) fn tell_reloading() {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let us = i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec) / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
}
