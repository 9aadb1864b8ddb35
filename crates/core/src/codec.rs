//! Fixed little-endian encoding: a [`Reader`] that never allocates and never reads past its end,
//! and a [`Writer`] that appends. Every value has exactly one encoding, because every field has a
//! fixed width or a length in front of it, and a decoder that is done says so ([`Reader::end`]).

use crate::error::Refused;

/// A cursor over received bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Refused::Truncated`] if fewer remain.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Refused::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Refused::Truncated`] if fewer remain.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Refused> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Refused::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Refused::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, Refused> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`Refused::Truncated`] at the end.
    pub fn u16(&mut self) -> Result<u16, Refused> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`Refused::Truncated`] at the end.
    pub fn u32(&mut self) -> Result<u32, Refused> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`Refused::Truncated`] at the end.
    pub fn u64(&mut self) -> Result<u64, Refused> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    ///
    /// # Errors
    /// [`Refused::Truncated`] at the end.
    pub fn i64(&mut self) -> Result<i64, Refused> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A count of items that follow, each of at least `item_len` bytes: refused before anything is
    /// allocated if it exceeds `max` or what remains.
    ///
    /// # Errors
    /// [`Refused::Oversize`] above `max`, [`Refused::Truncated`] if the items cannot be there.
    pub fn count(&mut self, max: usize, item_len: usize) -> Result<usize, Refused> {
        let count = usize::from(self.u16()?);
        if count > max {
            return Err(Refused::Oversize);
        }
        if count * item_len > self.remaining() {
            return Err(Refused::Truncated);
        }
        Ok(count)
    }

    /// Everything that remains.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`Refused::Truncated`] if bytes remain: the message is not what its lengths say.
    pub const fn end(&self) -> Result<(), Refused> {
        if self.0.is_empty() { Ok(()) } else { Err(Refused::Truncated) }
    }
}

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Writer(Vec::with_capacity(capacity))
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, signed.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buffer.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let mut w = Writer::default();
        w.u8(1).u16(2).u32(3).u64(4).i64(-5).bytes(b"xy");
        let bytes = w.into_vec();
        let mut r = Reader::new(&bytes);
        assert_eq!(
            (r.u8(), r.u16(), r.u32(), r.u64(), r.i64()),
            (Ok(1), Ok(2), Ok(3), Ok(4), Ok(-5))
        );
        assert_eq!(r.end(), Err(Refused::Truncated));
        assert_eq!(r.take(3), Err(Refused::Truncated));
        assert_eq!(r.take(2), Ok(&b"xy"[..]));
        assert_eq!(r.end(), Ok(()));
        assert_eq!(r.u8(), Err(Refused::Truncated));
    }

    #[test]
    fn a_count_is_checked_before_anyone_allocates() {
        let bytes = 60_000u16.to_le_bytes();
        assert_eq!(Reader::new(&bytes).count(100, 1), Err(Refused::Oversize));
        assert_eq!(Reader::new(&bytes).count(65_535, 1), Err(Refused::Truncated));
        assert_eq!(Reader::new(&[2, 0, 7, 7]).count(2, 1), Ok(2));
    }
}
