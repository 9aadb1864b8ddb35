//! What a member signed before. An honest one signs at most one value of a key and version, so it
//! writes the value's hash down, durably, before it signs. Where the list is kept is the shell's
//! business.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Fact;

/// Another value of that key and version was signed before. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this key signed another value of the same key and version before")]
pub struct SignedOther;

/// The hashes of what one member signed, in one mesh.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ballots(BTreeMap<(String, u64), [u8; 32]>);

impl Ballots {
    /// Notes that `fact` is about to be signed; false if it was noted before, which is no harm.
    /// Whoever signs after true has to have that on disk first.
    ///
    /// # Errors
    /// [`SignedOther`]: it must not be signed.
    pub fn note(&mut self, fact: &Fact) -> Result<bool, SignedOther> {
        self.note_hash(fact.key(), fact.version(), fact.value_hash())
    }

    /// The same by the hash of the value, as a list on disk has it.
    ///
    /// # Errors
    /// [`SignedOther`].
    pub fn note_hash(
        &mut self,
        key: &str,
        version: u64,
        value_hash: [u8; 32],
    ) -> Result<bool, SignedOther> {
        match self.0.entry((key.to_owned(), version)) {
            Entry::Vacant(place) => {
                place.insert(value_hash);
                Ok(true)
            }
            Entry::Occupied(before) if *before.get() == value_hash => Ok(false),
            Entry::Occupied(_) => Err(SignedOther),
        }
    }
}
