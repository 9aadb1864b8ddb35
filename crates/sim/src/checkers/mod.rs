//! What must hold in every run. Safety: nothing bad ever happened. Liveness: what should happen
//! did, within its bounds. A crowd shares one directory; a world has real membership.

pub(crate) mod liveness;
pub(crate) mod node_safety;
pub(crate) mod safety;
pub(crate) mod world_liveness;
pub(crate) mod world_safety;
