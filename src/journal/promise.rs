//! What may happen only once the journal holds it: a promise can be kept, and cannot be kept early.
//!
//! ```text
//! record -> Position -> Promised<answer> --(Proof: so far it is written, so far it is on disk)--> answer
//! ```
//! A `Proof` comes from the flusher alone, and the value of a `Promised` comes out by a `Proof` alone.

use super::Position;
use crate::queue_args::Durability;

/// How far a journal has come. Only the journal makes it, from what its flusher reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proof {
    pub(super) written: Position,
    pub(super) synced: Position,
}

/// When a promise is true.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Due {
    /// What is to be on disk.
    sync: Position,
    /// What is to be with the operating system.
    write: Position,
}

impl Due {
    /// It is true already.
    pub const NOW: Due = Due { sync: Position::NONE, write: Position::NONE };

    /// Once what was recorded at `at` is as safe as its queue asks for.
    pub fn when(at: Position, durability: Durability) -> Due {
        match durability {
            Durability::Fsync => Due { sync: at, ..Due::NOW },
            Durability::Os => Due { write: at, ..Due::NOW },
            Durability::None => Due::NOW,
        }
    }

    /// Once both are.
    #[must_use]
    pub fn and(self, other: Due) -> Due {
        Due { sync: self.sync.max(other.sync), write: self.write.max(other.write) }
    }

    pub fn is_now(self) -> bool {
        self == Due::NOW
    }
}

/// Something that must not be seen before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Promised<T> {
    due: Due,
    what: T,
}

impl<T> Promised<T> {
    pub fn new(due: Due, what: T) -> Promised<T> {
        Promised { due, what }
    }

    pub fn is_kept(&self, proof: &Proof) -> bool {
        let on = |at: Position, come: Position| at == Position::NONE || at < come;
        on(self.due.sync, proof.synced) && on(self.due.write, proof.written.max(proof.synced))
    }

    /// The thing, if its time has come.
    pub fn keep(self, proof: &Proof) -> Result<T, Promised<T>> {
        if self.is_kept(proof) { Ok(self.what) } else { Err(self) }
    }

    pub fn due(&self) -> Due {
        self.due
    }

    /// The thing, to add to it what is due at the same time.
    pub fn with(&mut self, due: Due) -> Option<&mut T> {
        (self.due == due).then_some(&mut self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_once_what_it_waits_for_lies_before_the_proof() {
        let at = Position::new(1, 8_192);
        let proof =
            |written, synced| Proof { written: Position::new(1, written), synced: Position::new(1, synced) };
        let synced = Promised::new(Due::when(at, Durability::Fsync), ());
        assert!(!synced.is_kept(&proof(12_288, 8_192)) && synced.is_kept(&proof(12_288, 12_288)));
        let written = Promised::new(Due::when(at, Durability::Os), ());
        assert!(!written.is_kept(&proof(8_192, 0)) && written.is_kept(&proof(12_288, 0)));
        assert!(Promised::new(Due::NOW, ()).is_kept(&proof(0, 0)));
        let both = Due::when(at, Durability::Os).and(Due::when(Position::new(1, 4), Durability::Fsync));
        assert!(!Promised::new(both, ()).is_kept(&proof(12_288, 0)));
        assert!(Promised::new(both, ()).is_kept(&proof(12_288, 8)));
    }
}
