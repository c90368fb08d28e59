//! The files of a journal: segments as they are made, recycled and removed, and spare files for the next ones.
//!
//! ```text
//! spare-N (made ahead, zeroed) ---rename---> segment ---all in it is dead---> spare-N, or removed
//! ```
//! A file that was written once costs its syncs no change of the file system's own records, as one does that is only
//! reserved (`benches/journal.rs`). Without time to zero a file ahead, reserved has to do: zeroing it then would write
//! everything twice. Segments go in the order of their numbers and each is gone for good before the next goes, so that
//! what a crash leaves is a row without a gap.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::ops::Range;

use super::{Failure, failed};
use crate::journal::disk::{Disk, parent, read_full};
use crate::journal::layout::{ASIDE, PAGE_BYTES, SPARE, SegmentHeader, segment_name, segment_of};
use crate::journal::position::Position;
use crate::limits::{JOURNAL_SPARES, JOURNAL_ZERO_BYTES};

/// Lives on: the flusher.
pub struct Folder<D: Disk> {
    pub disk: D,
    pub journal: u64,
    dir: String,
    segment_bytes: u64,
    pub first: u32,
    recovered: Position,
    /// What the folder held when the first segment began has been looked at.
    is_known: bool,
    segments: BTreeSet<u32>,
    spares: Vec<Spare<D::File>>,
    spares_named: u64,
}

struct Spare<F> {
    path: String,
    file: F,
    /// Up to where it was written once.
    zeroed: u64,
}

impl<D: Disk> Folder<D> {
    pub fn new(
        disk: D,
        dir: String,
        journal: u64,
        segment_bytes: u32,
        first: u32,
        recovered: Position,
    ) -> Folder<D> {
        Folder {
            disk,
            journal,
            dir,
            segment_bytes: u64::from(segment_bytes),
            first,
            recovered,
            is_known: false,
            segments: BTreeSet::new(),
            spares: Vec::new(),
            spares_named: 0,
        }
    }

    /// Makes a segment of at least `bytes` that continues the group with the crc `previous`. When this returns, its header and
    /// its name are on disk. Answers the file, and how much of it was written before.
    ///
    /// A failure for want of room leaves no file of that name, so it can be tried again.
    pub fn begin(&mut self, segment: u32, previous: u32, bytes: u64) -> Result<(D::File, u64), Failure> {
        self.look_around()?;
        let path = self.path_of(segment);
        let header = SegmentHeader {
            journal: self.journal,
            segment,
            bytes: bytes.max(self.segment_bytes),
            first: self.first,
            recovered: self.recovered,
            previous,
        };
        let done = self.make(header, &path);
        match &done {
            Ok(_) => {
                self.segments.insert(segment);
            }
            // Nothing relies on the file yet. What cannot be removed is told as a failure by the next try.
            Err(failure) if failure.is_no_room() => {
                let _ = self.disk.remove(&path);
            }
            Err(_) => {}
        }
        done
    }

    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Makes a file for the next segment, or writes a piece of it if it is to be `zeroed`; false if there is nothing to do.
    pub fn make_ahead(&mut self, zeroed: bool) -> Result<bool, Failure> {
        if self.spares.is_empty() {
            let path = self.next_spare();
            let file = self.disk.create(&path, self.segment_bytes).map_err(failed("create", &path))?;
            self.spares.push(Spare { path, file, zeroed: 0 });
            return Ok(true);
        }
        let unwritten = self.spares.iter_mut().find(|spare| spare.zeroed < self.segment_bytes);
        let Some(spare) = unwritten.filter(|_| zeroed) else { return Ok(false) };
        let to = self.segment_bytes.min(spare.zeroed + JOURNAL_ZERO_BYTES);
        zero(&self.disk, &spare.file, &spare.path, spare.zeroed..to)?;
        spare.zeroed = to;
        Ok(true)
    }

    /// Writes zeros where nothing was written so far: a sync of what is written there later need not tell the file system.
    pub fn zero(&self, file: &D::File, path: &str, range: Range<u64>) -> Result<(), Failure> {
        zero(&self.disk, file, path, range)
    }

    /// Segments with lower numbers become spare files, or go.
    pub fn free(&mut self, before: u32) -> Result<(), Failure> {
        while let Some(segment) = self.segments.first().copied().filter(|&segment| segment < before) {
            let path = self.path_of(segment);
            self.free_one(&path)?;
            self.disk.sync_dir(&self.dir).map_err(failed("fsync", &self.dir))?;
            self.segments.remove(&segment);
        }
        Ok(())
    }

    pub fn path_of(&self, segment: u32) -> String {
        format!("{}/{}", self.dir, segment_name(segment))
    }

    fn make(&mut self, header: SegmentHeader, path: &str) -> Result<(D::File, u64), Failure> {
        let (file, zeroed) = if header.bytes == self.segment_bytes && !self.spares.is_empty() {
            self.rename_spare(path)?
        } else {
            (self.disk.create(path, header.bytes).map_err(failed("create", path))?, 0)
        };
        let written = self.disk.write_at(&file, 0, &[IoSlice::new(&header.to_page())]);
        written.map_err(failed("write", path))?;
        self.disk.sync(&file).map_err(failed("fdatasync", path))?;
        self.disk.sync_dir(&self.dir).map_err(failed("fsync", &self.dir))?;
        Ok((file, zeroed))
    }

    /// The spare file of which most was written once becomes that segment.
    fn rename_spare(&mut self, path: &str) -> Result<(D::File, u64), Failure> {
        self.spares.sort_by_key(|spare| spare.zeroed);
        let spare = self.spares.pop().expect("there is a spare file");
        match self.disk.rename(&spare.path, path) {
            Ok(()) => Ok((spare.file, spare.zeroed)),
            Err(error) => {
                self.spares.push(spare);
                Err(failed("rename", path)(error))
            }
        }
    }

    fn free_one(&mut self, path: &str) -> Result<(), Failure> {
        let file = match self.disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return self.keep_aside(path),
            opened => opened.map_err(failed("open", path))?,
        };
        let bytes = self.disk.len(&file).map_err(failed("stat", path))?;
        if !self.is_ours(&file).map_err(failed("read", path))? {
            return self.keep_aside(path);
        }
        if self.spares.len() >= JOURNAL_SPARES || bytes != self.segment_bytes {
            return self.disk.remove(path).map_err(failed("remove", path));
        }
        let spare = self.next_spare();
        self.disk.rename(path, &spare).map_err(failed("rename", path))?;
        self.spares.push(Spare { path: spare, file, zeroed: bytes });
        Ok(())
    }

    /// Its name must go, or the next start would read it again; what is in it may be wanted by somebody.
    fn keep_aside(&self, path: &str) -> Result<(), Failure> {
        self.disk.rename(path, &format!("{path}{ASIDE}")).map_err(failed("rename", path))
    }

    /// Whether a file named as a segment is one of this journal, or was to become one.
    fn is_ours(&self, file: &D::File) -> io::Result<bool> {
        let mut page = [0; PAGE_BYTES];
        let count = read_full(&self.disk, file, 0, &mut page)?;
        Ok(SegmentHeader::read(&page[..count]).is_of(Some(self.journal)))
    }

    /// Finds the segments and spare files of earlier processes.
    fn look_around(&mut self) -> Result<(), Failure> {
        if self.is_known {
            return Ok(());
        }
        self.disk.make_dir(&self.dir).map_err(failed("mkdir", &self.dir))?;
        let above = parent(&self.dir);
        self.disk.sync_dir(above).map_err(failed("fsync", above))?;
        let names = self.disk.list(&self.dir).map_err(failed("list", &self.dir))?;
        self.segments = names.iter().filter_map(|name| segment_of(name)).collect();
        let spares: BTreeSet<u64> = names.iter().filter_map(|name| spare_of(name)).collect();
        self.spares_named = spares.last().copied().unwrap_or(0);
        for spare in spares {
            self.adopt(&self.spare_path(spare))?;
        }
        self.is_known = true;
        Ok(())
    }

    fn adopt(&mut self, path: &str) -> Result<(), Failure> {
        let file = match self.disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(()),
            opened => opened.map_err(failed("open", path))?,
        };
        let bytes = self.disk.len(&file).map_err(failed("stat", path))?;
        if bytes != self.segment_bytes || self.spares.len() >= JOURNAL_SPARES {
            return self.disk.remove(path).map_err(failed("remove", path));
        }
        self.spares.push(Spare { path: path.to_owned(), file, zeroed: 0 });
        Ok(())
    }

    fn next_spare(&mut self) -> String {
        self.spares_named += 1;
        self.spare_path(self.spares_named)
    }

    fn spare_path(&self, spare: u64) -> String {
        format!("{}/{SPARE}{spare}", self.dir)
    }
}

fn zero<D: Disk>(disk: &D, file: &D::File, path: &str, range: Range<u64>) -> Result<(), Failure> {
    let zeros = vec![0; (range.end - range.start) as usize];
    disk.write_at(file, range.start, &[IoSlice::new(&zeros)]).map_err(failed("write", path))?;
    // At once: left to the next sync for somebody, all of it would be written while they wait.
    disk.sync(file).map_err(failed("fdatasync", path))
}

/// The number of a spare file by its name.
fn spare_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SPARE)?;
    let ours = (1..=18).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| ours)
}
