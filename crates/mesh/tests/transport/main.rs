//! What every transport promises to the owner of its links.

mod pair;

mod admission;
mod back_pressure;
mod exchange;
mod memory;
mod quic;
