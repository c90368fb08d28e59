//! The ready messages of a queue: by priority, and within one the oldest first, wherever they came back from.

use std::num::NonZeroU8;

use super::Marks;
use super::line::Line;
use crate::ids::Kept;
use crate::pages::MessageRef;
use crate::wheel::TimerId;

/// A message's place in one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Publish order within the queue; kept when the message returns.
    pub sequence: u64,
    pub message: MessageRef,
    /// While it is ready, of its expiry; while it is unacked, of its consumer's time to settle it.
    pub timer: TimerId,
    /// How often it came back.
    pub returns: u16,
    pub priority: u8,
    /// Never zero, so that an `Option` of what has an entry takes no more room.
    flags: NonZeroU8,
    /// In the journal of the shard.
    pub kept: Kept,
}

const _: () = assert!(size_of::<Entry>() == 32);

impl Entry {
    #[inline]
    pub(super) fn new(sequence: u64, message: MessageRef, marks: &Marks) -> Entry {
        Entry {
            sequence,
            message,
            timer: TimerId::NONE,
            returns: 0,
            priority: marks.priority,
            flags: if marks.letter { NO_FLAG | LETTER } else { NO_FLAG },
            kept: marks.kept,
        }
    }

    /// Of a message that came to no queue.
    pub fn stray(message: MessageRef, letter: bool) -> Entry {
        Entry::new(0, message, &Marks { letter, ..Marks::default() })
    }

    /// Somebody may have seen it before.
    #[inline]
    pub fn is_redelivered(&self) -> bool {
        self.flags.get() & REDELIVERED != 0
    }

    pub fn set_redelivered(&mut self) {
        self.flags |= REDELIVERED;
    }

    /// It was dead-lettered before: its x-death headers are ours.
    pub fn is_letter(&self) -> bool {
        self.flags.get() & LETTER != 0
    }

    /// It has left the line from the middle.
    #[inline]
    pub(super) fn is_hole(&self) -> bool {
        self.flags.get() & HOLE != 0
    }

    pub(super) fn become_hole(&mut self) {
        self.flags |= HOLE;
    }
}

const NO_FLAG: NonZeroU8 = NonZeroU8::new(128).expect("it is not 0");
const REDELIVERED: u8 = 1;
const LETTER: u8 = 2;
const HOLE: u8 = 4;

/// Of the messages of a line or a table: how much their bodies are, and what of them is to outlive the server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bodies {
    pub bytes: u64,
    pub kept: u64,
    pub kept_bytes: u64,
}

impl Bodies {
    #[inline]
    pub fn add(&mut self, entry: &Entry) {
        let bytes = entry.message.body_bytes();
        self.bytes += bytes;
        if !entry.kept.is_none() {
            self.kept += 1;
            self.kept_bytes += bytes;
        }
    }

    #[inline]
    pub fn subtract(&mut self, entry: &Entry) {
        let bytes = entry.message.body_bytes();
        self.bytes -= bytes;
        if !entry.kept.is_none() {
            self.kept -= 1;
            self.kept_bytes -= bytes;
        }
    }

    pub fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Bodies {
        entries.fold(Bodies::default(), |mut sum, entry| {
            sum.add(entry);
            sum
        })
    }
}

/// A plain queue has one line; one with priorities has more as long as they hold something.
#[derive(Default)]
pub struct Ready {
    /// Those of priority 0.
    lowest: Line,
    higher: Option<Box<Levels>>,
    bodies: Bodies,
}

/// The lines of priorities above 0.
struct Levels {
    /// A bit for each priority whose line holds something.
    occupied: [u64; 4],
    /// By priority; those that hold nothing are not there.
    lines: Vec<Option<Box<Line>>>,
    /// Emptied lines, for the next that are needed.
    #[expect(clippy::vec_box, reason = "a box moves as it is between here and `lines`")]
    spare: Vec<Box<Line>>,
    len: usize,
}

impl Ready {
    #[inline]
    pub fn push(&mut self, entry: Entry) {
        self.bodies.add(&entry);
        self.line(entry.priority).push(entry);
    }

    /// Some of those that come next, if they do not lie in memory in that order: those of a priority are published between
    /// others.
    pub fn scattered(&self) -> &[Entry] {
        match &self.higher {
            Some(levels) if levels.len > 0 => levels.highest_line().map_or(&[], |line| line.ahead()),
            _ => &[],
        }
    }

    /// Puts it back to its place.
    pub fn put_back(&mut self, entry: Entry) {
        self.bodies.add(&entry);
        self.line(entry.priority).insert(entry);
    }

    #[inline]
    pub fn first(&self) -> Option<&Entry> {
        match &self.higher {
            Some(levels) if levels.len > 0 => levels.first(),
            _ => self.lowest.first(),
        }
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        let entry = match &mut self.higher {
            Some(levels) if levels.len > 0 => levels.pop(),
            _ => self.lowest.pop(),
        };
        if let Some(entry) = &entry {
            self.bodies.subtract(entry);
        }
        entry
    }

    /// Takes one out from wherever it stands.
    pub fn remove(&mut self, priority: u8, sequence: u64) -> Option<Entry> {
        let entry = match &mut self.higher {
            Some(levels) if priority > 0 => levels.remove(priority, sequence),
            _ => self.lowest.remove(sequence),
        };
        if let Some(entry) = &entry {
            self.bodies.subtract(entry);
        }
        entry
    }

    /// Whatever its priority: a sequence occurs once.
    pub fn find_sequence(&self, sequence: u64) -> Option<&Entry> {
        let higher = self.higher.iter().flat_map(|levels| levels.lines.iter().flatten());
        let mut lines = higher.map(|line| &**line).chain([&self.lowest]);
        lines.find_map(|line| line.from(sequence).next().filter(|entry| entry.sequence == sequence))
    }

    /// The same, taken out.
    pub fn remove_sequence(&mut self, sequence: u64) -> Option<Entry> {
        let priorities = self.higher.as_ref().map_or(1, |levels| levels.lines.len());
        (0..priorities).find_map(|priority| self.remove(priority as u8, sequence))
    }

    /// The lowest sequence.
    pub fn oldest(&self) -> Option<u64> {
        let higher = self.higher.iter().flat_map(|levels| levels.lines.iter().flatten());
        let lines = std::iter::once(&self.lowest).chain(higher.map(|line| &**line));
        lines.filter_map(|line| line.first()).map(|entry| entry.sequence).min()
    }

    pub fn bodies(&self) -> Bodies {
        self.bodies
    }

    pub fn len(&self) -> usize {
        self.lowest.len() + self.higher.as_ref().map_or(0, |levels| levels.len)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lowest.is_empty() && self.higher.as_ref().is_none_or(|levels| levels.len == 0)
    }

    /// From that place on, in the order in which they leave.
    pub fn from(&self, priority: u8, sequence: u64) -> impl Iterator<Item = &Entry> {
        self.since(priority, sequence, 0)
    }

    /// The same without those of lower sequences than `least`, whatever their priority.
    pub fn since(&self, priority: u8, sequence: u64, least: u64) -> impl Iterator<Item = &Entry> {
        let levels = self.higher.iter().flat_map(|levels| levels.lines.iter().enumerate().rev());
        let higher = levels.filter_map(|(at, line)| Some((at as u8, line.as_deref()?)));
        let lines = higher.chain([(0, &self.lowest)]).filter(move |(of, _)| *of <= priority);
        lines.flat_map(move |(of, line)| line.from(if of == priority { sequence.max(least) } else { least }))
    }

    /// In no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let higher = self.higher.iter().flat_map(|levels| levels.lines.iter().flatten());
        higher.flat_map(|line| line.iter()).chain(self.lowest.iter())
    }

    pub fn invariants(&self) {
        assert_eq!(self.bodies, Bodies::of(self.iter()));
        self.lowest.invariants();
        let Some(levels) = &self.higher else { return };
        for (priority, line) in levels.lines.iter().enumerate() {
            let occupied = levels.occupied[priority / 64] >> (priority % 64) & 1 == 1;
            assert_eq!(occupied, line.is_some());
            assert!(line.as_ref().is_none_or(|line| !line.is_empty()));
            line.iter().for_each(|line| line.invariants());
        }
        assert_eq!(levels.len, levels.lines.iter().flatten().map(|line| line.len()).sum::<usize>());
    }

    #[inline]
    fn line(&mut self, priority: u8) -> &mut Line {
        if priority == 0 {
            return &mut self.lowest;
        }
        let levels = self.higher.get_or_insert_with(|| Box::new(Levels::new()));
        levels.len += 1;
        levels.line(priority)
    }
}

impl Levels {
    fn new() -> Levels {
        Levels { occupied: [0; 4], lines: Vec::new(), spare: Vec::new(), len: 0 }
    }

    fn line(&mut self, priority: u8) -> &mut Line {
        let at = usize::from(priority);
        if self.lines.len() <= at {
            self.lines.resize_with(at + 1, || None);
        }
        self.occupied[at / 64] |= 1 << (at % 64);
        let spare = &mut self.spare;
        self.lines[at].get_or_insert_with(|| spare.pop().unwrap_or_default())
    }

    fn highest(&self) -> Option<usize> {
        let word = self.occupied.iter().rposition(|&bits| bits != 0)?;
        Some(word * 64 + 63 - self.occupied[word].leading_zeros() as usize)
    }

    fn first(&self) -> Option<&Entry> {
        self.highest_line()?.first()
    }

    fn highest_line(&self) -> Option<&Line> {
        self.lines[self.highest()?].as_deref()
    }

    fn pop(&mut self) -> Option<Entry> {
        let at = self.highest()?;
        let entry = self.lines[at].as_mut()?.pop()?;
        self.taken(at);
        Some(entry)
    }

    fn remove(&mut self, priority: u8, sequence: u64) -> Option<Entry> {
        let at = usize::from(priority);
        let entry = self.lines.get_mut(at)?.as_mut()?.remove(sequence)?;
        self.taken(at);
        Some(entry)
    }

    /// One entry less; an emptied line is put aside.
    fn taken(&mut self, at: usize) {
        self.len -= 1;
        if self.lines[at].as_ref().is_some_and(|line| line.is_empty()) {
            self.occupied[at / 64] &= !(1 << (at % 64));
            let emptied = self.lines[at].take();
            if self.spare.len() < SPARE_LINES {
                self.spare.extend(emptied);
            }
        }
    }
}

/// Emptied lines that a queue keeps: what it takes to swing between priorities without allocating, and no more.
const SPARE_LINES: usize = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn entry(sequence: u64) -> Entry {
        Entry::new(sequence, MessageRef::default(), &Marks::default())
    }

    fn with_priority(sequence: u64, priority: u8) -> Entry {
        Entry { priority, ..entry(sequence) }
    }

    fn order(ready: &mut Ready) -> Vec<(u8, u64)> {
        std::iter::from_fn(|| ready.pop()).map(|entry| (entry.priority, entry.sequence)).collect()
    }

    #[test]
    fn the_highest_priority_goes_first_and_within_it_the_oldest() {
        let mut ready = Ready::default();
        for (sequence, priority) in [(1, 0), (2, 255), (3, 7), (4, 255), (5, 64), (6, 0)] {
            ready.push(with_priority(sequence, priority));
            ready.invariants();
        }
        assert_eq!(ready.first().map(|entry| entry.sequence), Some(2));
        assert_eq!(order(&mut ready), [(255, 2), (255, 4), (64, 5), (7, 3), (0, 1), (0, 6)]);
        ready.invariants();
    }

    #[test]
    fn one_that_returns_or_leaves_is_found_in_its_priority() {
        let mut ready = Ready::default();
        (1..=3).for_each(|sequence| ready.push(with_priority(sequence, 5)));
        let first = ready.pop().unwrap();
        ready.push(with_priority(4, 0));
        ready.put_back(first);
        assert_eq!(ready.remove(5, 2).map(|entry| entry.sequence), Some(2));
        assert_eq!(ready.remove(0, 3), None);
        assert_eq!(ready.remove(9, 3), None);
        assert_eq!(ready.len(), 3);
        assert_eq!(order(&mut ready), [(5, 1), (5, 3), (0, 4)]);
        ready.invariants();
    }

    #[test]
    fn emptied_priorities_keep_no_memory() {
        let mut ready = Ready::default();
        (0..=255).for_each(|priority| ready.push(with_priority(u64::from(priority), priority)));
        order(&mut ready);
        let levels = ready.higher.as_ref().unwrap();
        assert!(levels.lines.iter().all(Option::is_none) && levels.spare.len() <= SPARE_LINES);
        ready.invariants();
    }
}
