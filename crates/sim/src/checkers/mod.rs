//! What must hold in every run. Safety: nothing bad ever happened. Liveness: what should happen
//! did, within its bounds.

pub(crate) mod liveness;
pub(crate) mod safety;
