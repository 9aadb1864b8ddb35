//! Standard output: results, whole or in lines. A reader that went away, as `| head -1` does, wants
//! no more of them: nothing is told, and a command that would go on ends.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use crate::failure::Failure;

/// Between two looks whether somebody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writes a result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes a result that may be no text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new("output", &error, "give standard output room to write to"))
        }
        _ => Ok(()),
    }
}

/// Writes a result and a newline.
pub(crate) fn print_line(line: &dyn Display) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Ends when nobody reads standard output any more; never where the system does not tell.
pub(crate) async fn reader_gone() {
    while is_read() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(unix)]
fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let told = poll(&mut asked, Some(&at_once)).is_ok();
    !told || !asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn is_read() -> bool {
    true
}
