//! Frames: the unit that travels. An author signs the Merkle root of up to 256 records once, so the
//! price of a signature is shared, and any one record can still be proven alone.
//!
//! ```text
//!  header: author, incarnation, seq, prev_root, root ... signature
//!                                                 |
//!                                            o----+----o          root over leaves
//!                                         o--+--o   o--+--o
//!   body:                                 r0   r1   r2   r3       leaf = mesh, class, author,
//!                                                                 incarnation, seq, record
//!
//!   bytes --Sealed::read--> Sealed --Job--> verify --> Verified --> Node
//!           lengths, ranges         signature, root    the only way into the state
//! ```
//!
//! Four things travel in signed form: a whole frame, a proof (header and some records with their
//! paths), a bare header, and two headers that prove a fork. [`Verified`] has no public
//! constructor: what it holds was checked.

pub mod header;
pub mod merkle;
pub mod record;
mod seal;
mod sealed;
mod verify;

pub use header::{Class, Extension, FrameRef, Header, SignedHeader};
pub use merkle::Hash;
pub use record::{Kind, Record, RecordHead, Slot};
pub use seal::{Chain, seal, write_head, write_proof};
pub use sealed::{Sealed, Tag};
pub use verify::{Job, Leaf, Verified, verify};
