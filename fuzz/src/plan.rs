//! The input as decisions: bytes in order, zeros when they are used up.

/// A cursor over the input.
pub struct Plan<'a>(&'a [u8]);

impl<'a> Plan<'a> {
    /// Reads `input` from its start.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Plan(input)
    }

    /// Nothing is left to decide.
    #[must_use]
    pub const fn done(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// The next byte, below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// As many bytes as the next two say, little-endian; fewer at the end.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A copy of `bytes` with one byte altered, at a place of the plan's choice.
    #[must_use]
    pub fn altered(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let place = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        let value = self.byte();
        if !bytes.is_empty() {
            let place = place % bytes.len();
            bytes[place] ^= value;
        }
        bytes
    }
}
