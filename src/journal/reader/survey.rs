//! A first look at a journal's folder: which files are segments of it, which process wrote each, and what they claim.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::SegmentInfo;
use crate::journal::disk::{Disk, read_full};
use crate::journal::layout::{
    ASIDE, GROUP_ALIGN, GROUP_HEADER_BYTES, GROUPS_AT, GroupHeader, HeaderPage, PAGE_BYTES, SPARE, STAMP_AT,
    SegmentHeader, Stamp, segment_of,
};
use crate::journal::position::Position;
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENT_BYTES_MAX};

#[derive(Default)]
pub struct Survey {
    pub journal: Option<u64>,
    /// Segments that hold something of the journal, by number.
    pub row: Vec<Seen>,
    pub lives: Vec<Life>,
    /// Files named as segments that hold nothing of the journal.
    pub hollow: Vec<SegmentInfo>,
    /// Of those, what looks as if a process had ended before it began them.
    pub unbegun: Vec<String>,
    pub foreign: Vec<String>,
    pub next_segment: u32,
}

pub struct Seen {
    pub number: u32,
    pub path: String,
    pub bytes: u64,
    pub has_header: bool,
    /// The index of the process that wrote it.
    pub life: usize,
    /// Crc of the group that the header says it continues.
    previous: Option<u32>,
    opening: Option<GroupHeader>,
}

/// The segments of one process.
pub struct Life {
    /// The number of its first segment, which may be freed since.
    pub first: u32,
    /// Its segments in the row.
    pub row: Range<usize>,
    /// Where it found the journal to end.
    recovered: Position,
    claim: Option<Position>,
}

/// A file named as a segment, as it is found.
struct Candidate {
    name: String,
    path: String,
    number: u32,
    bytes: u64,
    page: HeaderPage,
    header: Option<SegmentHeader>,
    opening: Option<GroupHeader>,
}

impl Survey {
    pub fn new<D: Disk>(disk: &D, dir: &str) -> io::Result<Survey> {
        let mut survey = Survey { next_segment: 1, ..Survey::default() };
        let candidates = survey.candidates(disk, dir)?;
        survey.journal = journal_of(disk, &candidates)?;
        let headers = survey.line_up(disk, &candidates)?;
        survey.tell_lives(&headers);
        Ok(survey)
    }

    /// Up to where the segments of that process count: where the next one found their end.
    pub fn limit(&self, life: usize) -> Option<Position> {
        self.lives.get(life + 1).map(|next| next.recovered).filter(|&recovered| recovered != Position::NONE)
    }

    /// Up to where something says that the segments from `at` on, of that process, were synced. To be asked in the order
    /// of the segments.
    pub fn claim<D: Disk>(&mut self, disk: &D, at: usize) -> io::Result<Position> {
        let life = self.row[at].life;
        let last = self.row[self.lives[life].row.end - 1].number;
        // If its last segments are not there, they may have been those of a process in between, which cut what we have.
        let limit = self.limit(life).filter(|limit| limit.segment() <= last);
        if let Some(known) = limit.or(self.lives[life].claim) {
            return Ok(known);
        }
        let mut claim = Position::NONE;
        // What lies before it speaks of nothing behind it.
        for seen in &self.row[at..self.lives[life].row.end] {
            scan(disk, &seen.path, seen.number, &mut |journal, synced| {
                if Some(journal) == self.journal {
                    claim = claim.max(synced);
                }
            })?;
        }
        self.lives[life].claim = Some(claim);
        Ok(claim)
    }

    /// Whether the segment behind `at` continues the group with that crc.
    pub fn joins(&self, at: usize, crc: Option<u32>) -> bool {
        let next = self.next(at).filter(|next| next.number == self.row[at].number + 1);
        next.is_some_and(|next| {
            crc.is_some() && (next.previous == crc || next.opening.map(|group| group.previous) == crc)
        })
    }

    /// Whether the segment behind `at` was begun when all up to `here` was synced: so this one ended there.
    pub fn goes_on_from(&self, at: usize, here: Position) -> bool {
        let next = self.next(at).filter(|next| next.number == self.row[at].number + 1);
        next.and_then(|next| next.opening).is_some_and(|opening| opening.synced == here)
    }

    /// Whether a later segment of the same process begins with a sound group.
    pub fn goes_on(&self, at: usize) -> bool {
        let life = self.lives[self.row[at].life].row.clone();
        self.row[at + 1..life.end].iter().any(|seen| seen.opening.is_some())
    }

    /// What is not there behind the segment, though it was once, up to `claim`.
    pub fn missing_behind(&self, at: usize, claim: Position) -> Option<(Position, Position)> {
        let from = Position::new(self.row[at].number + 1, 0);
        let to = self.next(at).map_or(claim, |next| Position::new(next.number, 0));
        (from < to).then_some((from, to))
    }

    /// The segment behind, if it is of the same process.
    fn next(&self, at: usize) -> Option<&Seen> {
        self.row.get(at + 1).filter(|next| next.life == self.row[at].life)
    }

    fn candidates<D: Disk>(&mut self, disk: &D, dir: &str) -> io::Result<Vec<Candidate>> {
        let mut names = match disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        names.sort();
        let mut candidates = Vec::new();
        for name in names {
            let Some(number) = segment_of(&name) else {
                if !name.starts_with(SPARE) && !name.ends_with(ASIDE) {
                    self.foreign.push(name);
                }
                continue;
            };
            let path = format!("{dir}/{name}");
            match disk.open(&path) {
                Ok(file) => candidates.push(look_at(disk, &file, name, path, number)?),
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                    self.pass_by(number);
                    self.foreign.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(candidates)
    }

    /// Sorts out the files that hold something of the journal; answers their headers.
    fn line_up<D: Disk>(
        &mut self,
        disk: &D,
        candidates: &[Candidate],
    ) -> io::Result<Vec<Option<SegmentHeader>>> {
        let mut headers = Vec::new();
        for found in candidates {
            let header = found.header.filter(|header| Some(header.journal) == self.journal);
            let mut is_ours = header.is_some();
            if !is_ours {
                scan(disk, &found.path, found.number, &mut |journal, _| {
                    is_ours |= Some(journal) == self.journal;
                })?;
            }
            let (number, bytes) = (found.number, found.bytes);
            if is_ours {
                self.next_segment = self.next_segment.max(number + 1);
                let opening = found.opening.filter(|group| Some(group.journal) == self.journal);
                let (path, has_header) = (found.path.clone(), header.is_some());
                let previous = header.map(|header| header.previous);
                self.row.push(Seen { number, path, bytes, has_header, life: 0, previous, opening });
                headers.push(header);
            } else {
                self.pass_by(number);
                self.hollow.push(SegmentInfo { number, bytes, groups: 0, records: 0 });
                // Before all others none is made: that one is an old segment, of which nothing is left.
                let is_oldest = self.row.is_empty() && self.journal.is_some();
                let is_unbegun = found.page.is_of(self.journal) && !is_oldest;
                let named = if is_unbegun { &mut self.unbegun } else { &mut self.foreign };
                named.push(found.name.clone());
            }
        }
        Ok(headers)
    }

    /// A strange file has that number, so no segment gets it.
    fn pass_by(&mut self, number: u32) {
        // A copy under a number that no journal reaches must not use up all that are left.
        if number < NUMBERS_REACHED {
            self.next_segment = self.next_segment.max(number + 1);
        }
    }

    /// Tells the processes apart, by the headers, or around a header that is lost by what is next to it.
    fn tell_lives(&mut self, headers: &[Option<SegmentHeader>]) {
        for at in 0..self.row.len() {
            let number = self.row[at].number;
            let next = headers[at + 1..].iter().flatten().next();
            let opening = self.row[at].opening;
            let (first, recovered) = if let Some(header) = headers[at] {
                (header.first, header.recovered)
            } else if let Some(next) = next.filter(|next| next.first <= number) {
                (next.first, next.recovered)
            } else if let Some(opening) = opening.filter(|group| group.previous == 0) {
                (number, opening.synced)
            } else if let Some(life) = self.lives.last() {
                (life.first, life.recovered)
            } else {
                // One that continues another is not the first of its process, wherever that is now.
                (number - u32::from(opening.is_some()), Position::NONE)
            };
            match self.lives.last_mut() {
                Some(life) if life.first == first => life.row.end = at + 1,
                _ => self.lives.push(Life { first, row: at..at + 1, recovered, claim: None }),
            }
            self.row[at].life = self.lives.len() - 1;
        }
    }
}

/// As many segments as this have 128 PiB.
const NUMBERS_REACHED: u32 = 1 << 31;

fn look_at<D: Disk>(
    disk: &D,
    file: &D::File,
    name: String,
    path: String,
    number: u32,
) -> io::Result<Candidate> {
    let mut front = vec![0; GROUPS_AT as usize + GROUP_HEADER_BYTES];
    let count = read_full(disk, file, 0, &mut front)?;
    front.truncate(count);
    let page = SegmentHeader::read(&front[..count.min(PAGE_BYTES)]);
    let header = match page {
        HeaderPage::Sound(header) => Some(header),
        HeaderPage::Blank | HeaderPage::Unsound => None,
        HeaderPage::Unknown { version } => {
            let text = format!("{path} has layout {version}, which this version does not know");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    let at = Position::new(number, GROUPS_AT);
    Ok(Candidate {
        name,
        path,
        number,
        bytes: disk.len(file)?,
        page,
        // One of another number: the file was taken over, or copied, and holds nothing of this one yet.
        header: header.filter(|header| header.segment == number),
        opening: front.get(GROUPS_AT as usize..).and_then(|bytes| GroupHeader::read(bytes, at)),
    })
}

/// The journal that most headers name, of several the one with the latest segment; without headers, the first that a
/// group names.
fn journal_of<D: Disk>(disk: &D, candidates: &[Candidate]) -> io::Result<Option<u64>> {
    let mut votes: BTreeMap<u64, (usize, u32)> = BTreeMap::new();
    for (header, number) in candidates.iter().filter_map(|c| Some((c.header?, c.number))) {
        let (count, last) = votes.entry(header.journal).or_default();
        (*count, *last) = (*count + 1, number);
    }
    let mut journal = votes.into_iter().max_by_key(|&(_, vote)| vote).map(|(journal, _)| journal);
    for found in candidates {
        if journal.is_some() {
            break;
        }
        scan(disk, &found.path, found.number, &mut |named, _| {
            journal.get_or_insert(named);
        })?;
    }
    Ok(journal)
}

/// Tells journal and synced position of the stamp and of each group of the file whose header is sound.
fn scan<D: Disk>(disk: &D, path: &str, number: u32, tell: &mut dyn FnMut(u64, Position)) -> io::Result<()> {
    let file = disk.open(path)?;
    let bytes = disk.len(&file)?.clamp(1, JOURNAL_READ_BYTES as u64) as usize;
    let mut piece = vec![0; bytes.next_multiple_of(GROUP_ALIGN)];
    let mut offset = 0;
    while offset < JOURNAL_SEGMENT_BYTES_MAX {
        let count = read_full(disk, &file, offset, &mut piece)?;
        for (index, page) in piece[..count].chunks(GROUP_ALIGN).enumerate() {
            let at = offset + (index * GROUP_ALIGN) as u64;
            if at == STAMP_AT {
                if let Some(stamp) = Stamp::read(page).filter(|stamp| stamp.segment == number) {
                    tell(stamp.journal, stamp.synced);
                }
            } else if let Some(group) = GroupHeader::read(page, Position::new(number, at as u32)) {
                tell(group.journal, group.synced);
            }
        }
        if count < piece.len() {
            break;
        }
        offset += count as u64;
    }
    Ok(())
}
