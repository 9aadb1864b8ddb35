//! Replicated data types. The state is a set of slots with one writer each; what an application
//! sees is a fold over the records that the authors of a key keep in theirs.
//!
//! ```text
//!  Op --draft--> Draft --> own slot --> frame --> every replica's slots
//!       ^                                               |
//!       | what this replica holds of the key            | Contribution, one per author
//!       |                                               v
//!       `---------------------------------------- view: lww, multi, counter, set, max, min
//! ```
//!
//! An author keeps one record per key (in sets per key and member) and replaces it. So memory is
//! bounded by slots, writers of one key never collide, and a malicious author spoils its own
//! records only. What the replacement would lose, the record carries itself: a counter the sums, a
//! register or a member what its writer had seen ([`seen`]).

pub mod hlc;
pub mod op;
pub mod seen;
pub mod store;
pub mod value;
pub mod view;

pub use hlc::Clock;
pub use op::{Draft, Key, Op, draft};
pub use store::Store;
pub use value::{Family, key_of};
pub use view::{Contribution, Lww, Sibling};

#[cfg(test)]
mod tests;
