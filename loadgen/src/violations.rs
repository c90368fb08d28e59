//! What went wrong in a run, counted by kind, the first of each with words.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Lost,
    Duplicated,
    Reordered,
    /// The body is not one that was published to this queue.
    Corrupted,
    /// Came back as unroutable.
    Returned,
    /// Expired before its time.
    Early,
    /// Messages stayed in a queue that was drained.
    LeftOver,
    /// Not confirmed in time.
    Unconfirmed,
    /// Confirmed as kept sooner than the disk could keep it.
    Unsynced,
    /// The broker broke the protocol, or closed a channel or connection.
    Protocol,
}

#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Violations {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    pub returned: u64,
    pub early: u64,
    pub left_over: u64,
    pub unconfirmed: u64,
    pub unsynced: u64,
    pub protocol: u64,
    /// Not a violation: repeated deliveries that were marked as such.
    pub redelivered: u64,
    pub examples: Vec<String>,
}

impl Violations {
    pub fn add(&mut self, kind: Kind, describe: impl FnOnce() -> String) {
        self.add_many(kind, 1, describe);
    }

    pub fn add_many(&mut self, kind: Kind, count: u64, describe: impl FnOnce() -> String) {
        let counter = self.counter(kind);
        let first = *counter < EXAMPLES_PER_KIND;
        *counter += count;
        if first && count > 0 {
            self.examples.push(format!("{kind:?}: {}", describe()));
        }
    }

    pub fn redelivered(&mut self) {
        self.redelivered += 1;
    }

    pub fn merge(&mut self, other: Violations) {
        for kind in KINDS {
            *self.counter(kind) += *other.clone().counter(kind);
        }
        self.redelivered += other.redelivered;
        self.examples.extend(other.examples);
    }

    /// How many in all; 0 is what a run wants.
    pub fn total(&self) -> u64 {
        let mut all = self.clone();
        KINDS.iter().map(|&kind| *all.counter(kind)).sum()
    }

    fn counter(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Lost => &mut self.lost,
            Kind::Duplicated => &mut self.duplicated,
            Kind::Reordered => &mut self.reordered,
            Kind::Corrupted => &mut self.corrupted,
            Kind::Returned => &mut self.returned,
            Kind::Early => &mut self.early,
            Kind::LeftOver => &mut self.left_over,
            Kind::Unconfirmed => &mut self.unconfirmed,
            Kind::Unsynced => &mut self.unsynced,
            Kind::Protocol => &mut self.protocol,
        }
    }
}

const KINDS: [Kind; 10] = [
    Kind::Lost,
    Kind::Duplicated,
    Kind::Reordered,
    Kind::Corrupted,
    Kind::Returned,
    Kind::Early,
    Kind::LeftOver,
    Kind::Unconfirmed,
    Kind::Unsynced,
    Kind::Protocol,
];
/// The rest is only counted: a broken run must not fill the screen.
const EXAMPLES_PER_KIND: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_of_a_kind_described() {
        let (mut one, mut other) = (Violations::default(), Violations::default());
        (0..100).for_each(|sequence| one.add(Kind::Duplicated, || format!("sequence {sequence}")));
        other.add_many(Kind::Lost, 7, || "from 3".to_owned());
        other.add_many(Kind::LeftOver, 0, || unreachable!("nothing to describe"));
        one.merge(other);
        assert_eq!((one.duplicated, one.lost, one.total()), (100, 7, 107));
        assert_eq!(one.examples.len(), 6);
        assert_eq!(one.examples[5], "Lost: from 3");
    }
}
