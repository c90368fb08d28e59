//! Where something lies in a journal.

/// The number of a segment and an offset in it, bytes. Positions rise; what is before one was recorded earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(u64);

impl Position {
    /// Before everything.
    pub const NONE: Position = Position(0);

    pub fn new(segment: u32, offset: u32) -> Position {
        Position(u64::from(segment) << 32 | u64::from(offset))
    }

    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes from the beginning of the segment's file.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    pub fn to_bits(self) -> u64 {
        self.0
    }

    pub fn from_bits(bits: u64) -> Position {
        Position(bits)
    }
}
