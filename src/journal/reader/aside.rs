//! Copies of what is damaged, kept for whoever wants to look: the journal goes on without it, and frees it one day.

use std::io::{self, IoSlice};

use super::Damage;
use crate::journal::disk::{Disk, read_full};
use crate::journal::layout::segment_name;
use crate::limits::JOURNAL_READ_BYTES;

/// Copies each damaged range to `set-aside/<dir>-<segment>-<offset>.bin`, as far as it lies in one segment and the file
/// has it; answers the paths. The copies are on disk when this returns.
pub fn set_aside<D: Disk>(disk: &D, dir: &str, damage: &[Damage]) -> io::Result<Vec<String>> {
    if damage.is_empty() {
        return Ok(Vec::new());
    }
    disk.make_dir(FOLDER)?;
    let mut copies = Vec::new();
    for range in damage {
        copies.extend(copy(disk, dir, range)?);
    }
    disk.sync_dir(FOLDER)?;
    disk.sync_dir("")?;
    Ok(copies)
}

/// None, if there is nothing to copy.
fn copy<D: Disk>(disk: &D, dir: &str, range: &Damage) -> io::Result<Option<String>> {
    let segment = range.from.segment();
    let source = match disk.open(&format!("{dir}/{}", segment_name(segment))) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let size = disk.len(&source)?;
    let from = u64::from(range.from.offset());
    let to = if range.to.segment() == segment { size.min(range.to.offset().into()) } else { size };
    if from >= to {
        return Ok(None);
    }
    let path = format!("{FOLDER}/{}-{segment}-{from}.bin", dir.replace('/', "-"));
    let copy = match disk.create(&path, to - from) {
        // An earlier start may have ended half-way: the same bytes again do no harm.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path)?,
        created => created?,
    };
    let mut piece = vec![0; JOURNAL_READ_BYTES];
    let mut at = from;
    while at < to {
        let want = piece.len().min((to - at) as usize);
        let count = read_full(disk, &source, at, &mut piece[..want])?;
        if count == 0 {
            break;
        }
        disk.write_at(&copy, at - from, &[IoSlice::new(&piece[..count])])?;
        at += count as u64;
    }
    disk.sync(&copy)?;
    Ok(Some(path))
}

const FOLDER: &str = "set-aside";
