//! How every command ends: the exit codes, which stay what they are (docs/CLI.md).

/// It failed, or did not converge.
pub(crate) const FAILED: u8 = 1;
/// The words of the command line, or of a request, are wrong.
pub(crate) const WRONG_USAGE: u8 = 2;
/// No node answers, or no link stands with the peer.
pub(crate) const UNREACHABLE: u8 = 3;
/// No answer in time.
pub(crate) const TIMEOUT: u8 = 4;
/// What was asked for is not there.
pub(crate) const NOT_FOUND: u8 = 5;
/// Something else is in its place.
pub(crate) const CONFLICT: u8 = 6;
/// Cut off from the quorum: nothing was written.
pub(crate) const PARTITIONED: u8 = 7;
/// The node may not do it.
pub(crate) const DENIED: u8 = 8;
/// The configuration is wrong (EX_CONFIG of sysexits.h): service managers do not start it again.
pub(crate) const BAD_CONFIGURATION: u8 = 78;
/// Another process uses the key of this node: started again, it would only drive the other one out.
pub(crate) const KEY_IN_USE: u8 = 79;
/// Ended by a signal.
pub(crate) const INTERRUPTED: u8 = 130;
