//! What this process costs and may use, as the operating system tells it.

use std::time::Duration;

/// CPU time of all threads since the start; `None` where the system does not tell.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (s, ns) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        Some(Duration::new(s, ns))
    }
    #[cfg(not(unix))]
    None
}

/// Memory in use, in bytes; `None` where the system does not tell (only Linux does).
pub(crate) fn resident_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The most memory that was ever in use, in bytes; `None` where the system does not tell.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Raises the limit of open files as far as allowed. `Err` holds the limit if it is below `needed`.
pub(crate) fn allow_open_files(needed: u64) -> Result<(), u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let Some(current) = limit.current else { return Ok(()) };
        if current >= needed {
            return Ok(());
        }
        let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        let raised = Rlimit { current: Some(allowed), maximum: limit.maximum };
        let now = if setrlimit(Resource::Nofile, raised).is_ok() { allowed } else { current };
        if now < needed { Err(now) } else { Ok(()) }
    }
    #[cfg(not(unix))]
    {
        let _ = needed;
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_the_process_costs() {
        assert!(cpu_time().is_some());
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(peak_resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert_eq!(allow_open_files(16), Ok(()));
    }
}
