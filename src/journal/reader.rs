//! Reads a journal at start: every sound record in the order of writing, and what is to be said about the rest.
//!
//! ```text
//! group at p is not sound ─┬─ the next segment continues from the group before p, or, if that is damaged, was begun when
//!                          │  all before p was synced: the segment ended here
//!                          ├─ nothing says that anything behind p was synced: a torn tail, cut in silence
//!                          └─ something does: rot, named and passed over
//! ```
//! What was synced is said by the groups behind it, by stamps, and, of all processes but the last, by the process that
//! followed: its segments hold where it found the journal to end. What lies behind that was cut then, and stays cut. If it
//! found more than is there now, that is missing, and says nothing of what is there: another process may have cut that.

mod aside;
mod records;
mod survey;
#[cfg(test)]
mod tests;

use std::io;

use super::disk::{Disk, read_full};
use super::layout::{
    GROUP_ALIGN, GROUP_HEADER_BYTES, GROUPS_AT, GroupHeader, PAGE_BYTES, chain, record_salt,
};
use super::position::Position;
use crate::limits::JOURNAL_SEGMENT_BYTES_MAX;
pub use aside::set_aside;
use records::{Walked, walk};
use survey::Survey;

/// What the reader found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// The number of the journal; none, if there is nothing of one.
    pub journal: Option<u64>,
    /// All files named as segments, by number.
    pub segments: Vec<SegmentInfo>,
    /// The first number never used, from 1.
    pub next_segment: u32,
    /// Behind the last group that counts. The next process hands it to `Link::new`.
    pub end: Position,
    /// A torn tail of the last process was cut here.
    pub cut: Option<Position>,
    pub damage: Vec<Damage>,
    /// Names of files that were to become segments when their process ended, or of which as much is left.
    pub unbegun: Vec<String>,
    /// Names of other files that hold nothing of this journal. Reading leaves both alone.
    pub foreign: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    pub number: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Groups of which something was read.
    pub groups: u32,
    pub records: u64,
}

/// A range that was synced once and is not sound any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    pub from: Position,
    pub to: Position,
    pub what: Rot,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rot {
    /// The header of a segment: nothing is lost with it.
    Header,
    /// Groups whose own header is not sound, or that are not there. Sound records within were read.
    Groups,
    /// Records of a group. The others of it were read.
    Records,
    /// A group that does not continue the one before.
    Stale,
    /// Segments that are not there.
    Missing,
}

/// Visits each sound record in the order of writing: its position, kind and body.
///
/// A folder that is not there is an empty journal. What was read is on disk when this returns, also what the kernel had
/// not written yet. An error is the disk's, or `Unsupported` for a later layout.
pub fn read_journal<D: Disk>(
    disk: &D,
    dir: &str,
    visit: &mut dyn FnMut(Position, u8, &[u8]),
) -> io::Result<Scan> {
    let survey = Survey::new(disk, dir)?;
    let scan = Scan {
        journal: survey.journal,
        segments: survey.hollow.clone(),
        next_segment: survey.next_segment,
        unbegun: survey.unbegun.clone(),
        foreign: survey.foreign.clone(),
        ..Scan::default()
    };
    let lives = survey.lives.len();
    let mut reader = Reader { disk, survey, visit, scan, segment: Vec::new(), ahead: None };
    for life in 0..lives {
        reader.read_life(life)?;
    }
    if lives > 0 {
        disk.sync_dir(dir)?;
    }
    reader.scan.segments.sort_by_key(|segment| segment.number);
    Ok(reader.scan)
}

struct Reader<'a, D: Disk> {
    disk: &'a D,
    survey: Survey,
    visit: &'a mut dyn FnMut(Position, u8, &[u8]),
    scan: Scan,
    /// The segment in hand, whole.
    segment: Vec<u8>,
    /// The next one, which is on its way.
    ahead: Option<(usize, D::File)>,
}

/// How a segment ended.
enum Ending {
    /// The next one follows; its first group is to continue that crc, or any.
    Follows(Option<u32>),
    Cut,
}

/// What lies where a group is expected.
enum Found {
    Whole(GroupHeader),
    /// The header is sound, not all of its records are.
    Partial(GroupHeader),
    /// Sound, and no continuation of the group before.
    Stale(GroupHeader),
    Nothing,
}

impl<D: Disk> Reader<'_, D> {
    /// Reads the segments of one process.
    fn read_life(&mut self, life: usize) -> io::Result<()> {
        let (first, row) = (self.survey.lives[life].first, self.survey.lives[life].row.clone());
        let begins = self.survey.row[row.start].number;
        // Of the oldest process, segments were freed.
        if begins > first && row.start > 0 {
            self.damaged(Position::new(first, 0), Position::new(begins, 0), Rot::Missing);
        }
        self.scan.cut = None;
        let mut ending = Ending::Follows((begins == first).then_some(0));
        for at in row {
            let seen = &self.survey.row[at];
            let info = SegmentInfo { number: seen.number, bytes: seen.bytes, groups: 0, records: 0 };
            self.scan.segments.push(info);
            if let Ending::Follows(expected) = ending {
                ending = self.read_segment(at, expected)?;
            }
        }
        Ok(())
    }

    fn read_segment(&mut self, at: usize, mut expected: Option<u32>) -> io::Result<Ending> {
        let number = self.load(at)?;
        let limit = self.survey.limit(self.survey.row[at].life);
        let mut offset = GROUPS_AT as usize;
        loop {
            let here = Position::new(number, offset as u32);
            if limit.is_some_and(|limit| here >= limit) {
                return Ok(Ending::Cut);
            }
            let found = self.find(here, expected);
            if let Found::Whole(group) = found {
                self.visit_group(&group);
                (expected, offset) = (Some(group.crc), group.end());
                continue;
            }
            if self.survey.joins(at, expected) {
                return Ok(Ending::Follows(expected));
            }
            let claim = self.survey.claim(self.disk, at)?;
            if claim <= here && expected.is_none() && self.survey.goes_on_from(at, here) {
                return Ok(Ending::Follows(None));
            }
            if claim <= here {
                match limit {
                    None => self.cut(at, here, claim, !matches!(found, Found::Nothing)),
                    Some(limit) => self.loses_the_rest(here, limit),
                }
                return Ok(Ending::Cut);
            }
            match found {
                Found::Whole(group) | Found::Partial(group) => {
                    self.visit_group(&group);
                    (expected, offset) = (Some(group.crc), group.end());
                }
                Found::Stale(group) => {
                    (expected, offset) = (None, group.end());
                    self.damaged(here, Position::new(number, offset as u32), Rot::Stale);
                }
                Found::Nothing => match self.pass_over(at, here, claim) {
                    Some(next) => (expected, offset) = (None, next),
                    None => return Ok(Ending::Follows(None)),
                },
            }
        }
    }

    /// Takes the segment in hand; answers its number.
    fn load(&mut self, at: usize) -> io::Result<u32> {
        let seen = &self.survey.row[at];
        let file = match self.ahead.take() {
            Some((of, file)) if of == at => file,
            _ => self.disk.open(&seen.path)?,
        };
        self.segment.resize(seen.bytes.min(JOURNAL_SEGMENT_BYTES_MAX) as usize, 0);
        let count = read_full(self.disk, &file, 0, &mut self.segment)?;
        self.segment.truncate(count);
        // A process that was killed may have left it in the kernel's memory only, and from now on it is relied on.
        self.disk.sync(&file)?;
        if let Some(next) = self.survey.row.get(at + 1) {
            let file = self.disk.open(&next.path)?;
            self.disk.read_ahead(&file);
            self.ahead = Some((at + 1, file));
        }
        let number = seen.number;
        if !seen.has_header {
            let (from, to) = (Position::new(number, 0), Position::new(number, PAGE_BYTES as u32));
            self.damaged(from, to, Rot::Header);
        }
        Ok(number)
    }

    fn find(&self, here: Position, expected: Option<u32>) -> Found {
        match self.header(here) {
            None => Found::Nothing,
            Some(group) if expected.is_some_and(|crc| crc != group.previous) => Found::Stale(group),
            Some(group) if self.is_whole(&group) => Found::Whole(group),
            Some(group) => Found::Partial(group),
        }
    }

    fn header(&self, here: Position) -> Option<GroupHeader> {
        let bytes = self.segment.get(here.offset() as usize..)?;
        GroupHeader::read(bytes, here).filter(|group| Some(group.journal) == self.survey.journal)
    }

    fn is_whole(&self, group: &GroupHeader) -> bool {
        let (from, to) = group.records_span();
        let (mut gaps, mut records, mut chained) = (0, 0, 0);
        walk(&self.segment, from, to, self.salt(group.at), &mut |walked| match walked {
            Walked::Gap(..) => gaps += 1,
            Walked::Record(_, record) => {
                records += 1;
                chained = chain(chained, record.crc);
            }
        });
        gaps == 0 && records == group.records && chained == group.chain
    }

    /// Visits the sound records of a group and names the others.
    fn visit_group(&mut self, group: &GroupHeader) {
        let (from, to) = group.records_span();
        let gaps = self.visit_records(group.at, from, to);
        for (from, to) in gaps {
            let place = |offset: usize| Position::new(group.at.segment(), offset as u32);
            self.damaged(place(from), place(to), Rot::Records);
        }
        self.scan.end = self.scan.end.max(Position::new(group.at.segment(), group.end() as u32));
    }

    /// Answers the gaps between the sound records, as offsets.
    fn visit_records(&mut self, at: Position, from: usize, to: usize) -> Vec<(usize, usize)> {
        let (salt, visit) = (self.salt(at), &mut *self.visit);
        let (mut gaps, mut records) = (Vec::new(), 0);
        walk(&self.segment, from, to, salt, &mut |walked| match walked {
            Walked::Gap(from, to) => gaps.push((from, to)),
            Walked::Record(offset, record) => {
                records += 1;
                visit(Position::new(at.segment(), offset as u32), record.kind, record.body);
            }
        });
        if let Some(info) = self.scan.segments.last_mut() {
            info.records += records;
            info.groups += u32::from(records > 0);
        }
        gaps
    }

    /// Names what lies from `here` to the next group, having visited what is sound of it. Answers that group's offset;
    /// none, if no more of this segment counts.
    fn pass_over(&mut self, at: usize, here: Position, claim: Position) -> Option<usize> {
        let (number, from) = (here.segment(), here.offset() as usize);
        let leaves_at = self.segment.len().max(from);
        let synced = if claim.segment() == number { claim.offset() as usize } else { leaves_at };
        // What was not synced may have holes, and is not jumped to.
        let next = self.next_group(here).filter(|&next| next <= synced);
        let to = next.unwrap_or(synced);
        self.visit_records(here, from + GROUP_HEADER_BYTES, to);
        let leaves = next.is_none() && claim.segment() > number;
        let missing = if leaves { self.survey.missing_behind(at, claim) } else { None };
        // Where all that follows is missing, zeros tell nothing of where the segment ended.
        if missing.is_none() || !self.is_blank_from(from) {
            self.damaged(here, Position::new(number, to as u32), Rot::Groups);
        }
        if let Some((from, to)) = missing {
            self.damaged(from, to, Rot::Missing);
        }
        if leaves { None } else { Some(to) }
    }

    /// Names what is lost with segments that are not there, behind the last that is, up to where a later process found its end.
    fn loses_the_rest(&mut self, here: Position, limit: Position) {
        let is_blank = self.is_blank_from(here.offset() as usize);
        let from = if is_blank { Position::new(here.segment() + 1, 0) } else { here };
        self.damaged(from, limit, Rot::Missing);
    }

    fn is_blank_from(&self, offset: usize) -> bool {
        self.segment.get(offset..).is_none_or(|rest| rest.iter().all(|&byte| byte == 0))
    }

    /// Offset of the first group behind `here` whose header is sound.
    fn next_group(&self, here: Position) -> Option<usize> {
        let from = here.offset() as usize + GROUP_ALIGN;
        (from..self.segment.len())
            .step_by(GROUP_ALIGN)
            .find(|&offset| self.header(Position::new(here.segment(), offset as u32)).is_some())
    }

    /// Notes where the last process's groups end, if they do not end there cleanly.
    fn cut(&mut self, at: usize, here: Position, claim: Position, has_group: bool) {
        let from = (here.offset() as usize).min(self.segment.len());
        let page = &self.segment[from..self.segment.len().min(from + GROUP_ALIGN)];
        let is_written = page.iter().any(|&byte| byte != 0);
        let goes_on = has_group || self.next_group(here).is_some() || self.survey.goes_on(at);
        // After a clean stop the stamp says that this is the end, whatever an earlier life of the file left behind it.
        if goes_on || (is_written && claim < here) {
            self.scan.cut = Some(here);
        }
    }

    fn damaged(&mut self, from: Position, to: Position, what: Rot) {
        self.scan.damage.push(Damage { from, to, what });
        self.scan.end = self.scan.end.max(to);
    }

    fn salt(&self, at: Position) -> u32 {
        record_salt(self.survey.journal.unwrap_or(0), at.segment())
    }
}
