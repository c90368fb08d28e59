//! A place in a journal: the number of a segment and an offset in its file.

use std::fmt;

/// Everything before it: the position of a record's end says that the record is within.
///
/// `segment << 32 | offset`, so positions of one journal are in the order in which it was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(u64);

impl Position {
    /// Before all else; segments are counted from one.
    pub const NONE: Position = Position(0);

    pub const fn new(segment: u32, offset: u32) -> Position {
        Position((segment as u64) << 32 | offset as u64)
    }

    pub const fn from_u64(raw: u64) -> Position {
        Position(raw)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes from the start of the segment's file.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_in_the_order_of_writing() {
        let at = Position::new(3, u32::MAX);
        assert!(
            at < Position::new(4, 0) && at > Position::new(3, 8192) && Position::NONE < Position::new(1, 0)
        );
        assert_eq!((at.segment(), at.offset()), (3, u32::MAX));
        assert_eq!(Position::from_u64(at.as_u64()), at);
    }
}
