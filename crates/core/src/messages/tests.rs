//! Control messages end to end.
use super::*;
