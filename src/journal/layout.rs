//! The bytes of a segment file, version 1.
//!
//! ```text
//! segment   page 0: header | page 1: stamp | groups from 8192 on | unwritten: zeros, or what an earlier life left
//! header    magic "HAREMQJ1" | crc u32 of the page behind it | version u32 | journal u64 | segment u32
//!           | bytes u64 of the file | first u32 segment of the process | recovered u64 position
//!           | previous u32 (crc of the group before, 0 for the first of a process) | zeros to 4096
//! stamp     magic "HAREMQS1" | crc u32 of what is behind it | segment u32 | journal u64 | synced u64 position
//! group     header | record | record | ... | zeros to the next multiple of 4096
//!   header  magic u32 | crc u32 of what is behind it | journal u64 | segment u32 | offset u32
//!           | bytes u32 (header and records, without the zeros) | records u32
//!           | previous u32 (as in the header) | chain u32 (crc over the records' crcs) | synced u64 position (all before it was synced at sealing)
//! record    crc u32 | kind u8 | 0 0 0 | len u32 of the body | offset u32 of this record in its segment
//!           | body | zeros to a multiple of 8
//! ```
//! All little-endian; a crc is CRC-32C. That of a record starts from journal and segment, so that what another journal
//! or an earlier life of the file left is never taken for ours. A page with confirmed bytes is not written again: the
//! stamp has one of its own, and it may be torn, then it counts for nothing.

mod page;
#[cfg(test)]
mod tests;

use crc32c::{crc32c, crc32c_append};

use super::position::Position;
use crate::limits::JOURNAL_SEGMENT_BYTES_MAX;
pub use page::{HeaderPage, PAGE_BYTES, STAMP_AT, SegmentHeader, Stamp};

/// Every group starts at a multiple of this.
pub const GROUP_ALIGN: usize = 4096;
/// Offset of the first group of a segment.
pub const GROUPS_AT: u32 = 8192;
pub const GROUP_HEADER_BYTES: usize = 48;
pub const RECORD_HEADER_BYTES: usize = 16;

/// Appends the header of a record whose body is to be appended next. Answers where it begins, for `end_record`.
#[inline]
pub fn begin_record(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    at
}

/// Ends the record that begins at `at`: what was appended since is its body.
#[inline]
pub fn end_record(out: &mut Vec<u8>, at: usize) {
    let len = out.len() - at - RECORD_HEADER_BYTES;
    put(out, at + 8, u32::try_from(len).expect("a body is below 4 GiB").to_le_bytes());
    out.resize(out.len().next_multiple_of(RECORD_ALIGN), 0);
}

/// Bytes that a group of `bytes` takes in its segment.
pub const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(GROUP_ALIGN)
}

/// Makes a group ready to be written at `at`; answers its crc, which is `previous` of the next one.
///
/// The buffer holds `GROUP_HEADER_BYTES` of room, then records as `begin_record` and `end_record` left them. Offsets,
/// crcs and header are filled in, zeros appended to the next multiple of `GROUP_ALIGN`. `previous` is 0 for the first
/// group of a process; `synced` says up to where all is known to be on disk.
pub fn seal(group: &mut Vec<u8>, at: Position, journal: u64, previous: u32, synced: Position) -> u32 {
    assert!(group.len() >= GROUP_HEADER_BYTES, "a group begins with room for its header");
    assert!(group.len().is_multiple_of(RECORD_ALIGN), "records are padded");
    assert!((at.offset() as usize).is_multiple_of(GROUP_ALIGN) && at.offset() >= GROUPS_AT);
    let bytes = u32::try_from(group.len()).expect("a group is below 4 GiB");
    let (records, chain) = seal_records(group, at, journal);
    put(group, 0, GROUP_MAGIC.to_le_bytes());
    put(group, 8, journal.to_le_bytes());
    put(group, 16, at.segment().to_le_bytes());
    put(group, 20, at.offset().to_le_bytes());
    put(group, 24, bytes.to_le_bytes());
    put(group, 28, records.to_le_bytes());
    put(group, 32, previous.to_le_bytes());
    put(group, 36, chain.to_le_bytes());
    put(group, 40, synced.as_u64().to_le_bytes());
    let crc = group_crc(&group[..GROUP_HEADER_BYTES]);
    put(group, 4, crc.to_le_bytes());
    group.resize(padded(group.len()), 0);
    crc
}

/// Count of the records, and crc over their crcs.
fn seal_records(group: &mut [u8], at: Position, journal: u64) -> (u32, u32) {
    let salt = record_salt(journal, at.segment());
    let (mut from, mut records, mut chain) = (GROUP_HEADER_BYTES, 0, 0);
    while from < group.len() {
        let len = u32_at(group, from + 8).expect("a record has a header") as usize;
        let end = from + RECORD_HEADER_BYTES + len;
        put(group, from + 12, (at.offset() + from as u32).to_le_bytes());
        let crc = crc32c_append(salt, &group[from + 4..end]).to_le_bytes();
        put(group, from, crc);
        chain = crc32c_append(chain, &crc);
        records += 1;
        from = end.next_multiple_of(RECORD_ALIGN);
    }
    (records, chain)
}

/// What a sound group says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupHeader {
    pub crc: u32,
    pub journal: u64,
    pub at: Position,
    /// Header and records.
    pub bytes: u32,
    pub records: u32,
    pub previous: u32,
    pub chain: u32,
    pub synced: Position,
}

impl GroupHeader {
    /// The header that `bytes` begin with, if it is sound and was made for that place, in whichever journal.
    pub fn read(bytes: &[u8], at: Position) -> Option<GroupHeader> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        let header = GroupHeader {
            crc: u32_at(bytes, 4)?,
            journal: u64_at(bytes, 8)?,
            at: Position::new(u32_at(bytes, 16)?, u32_at(bytes, 20)?),
            bytes: u32_at(bytes, 24)?,
            records: u32_at(bytes, 28)?,
            previous: u32_at(bytes, 32)?,
            chain: u32_at(bytes, 36)?,
            synced: Position::from_u64(u64_at(bytes, 40)?),
        };
        let sound = u32_at(bytes, 0)? == GROUP_MAGIC && header.at == at && header.crc == group_crc(bytes);
        // A checksum may fit by chance: what is read next lies behind it all the same, in the same segment.
        let fits =
            header.bytes as usize >= GROUP_HEADER_BYTES && header.end() as u64 <= JOURNAL_SEGMENT_BYTES_MAX;
        (sound && fits).then_some(header)
    }

    /// Offsets in the segment from the first record to behind the last.
    pub fn records_span(&self) -> (usize, usize) {
        let at = self.at.offset() as usize;
        (at + GROUP_HEADER_BYTES, at + self.bytes as usize)
    }

    /// Offset of what follows the group in its segment.
    pub fn end(&self) -> usize {
        self.at.offset() as usize + padded(self.bytes as usize)
    }
}

/// A sound record. It borrows from its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    pub crc: u32,
    pub kind: u8,
    pub body: &'a [u8],
    /// Offset of what follows it.
    pub end: usize,
}

impl<'a> Record<'a> {
    /// The record at offset `at` of the segment, if it is sound and ends at or before `to`.
    pub fn read(segment: &'a [u8], at: usize, to: usize, salt: u32) -> Option<Record<'a>> {
        let bytes = segment.get(at..to.min(segment.len()))?;
        if u32_at(bytes, 12)? as usize != at {
            return None;
        }
        let len = u32_at(bytes, 8)? as usize;
        let whole = bytes.get(..RECORD_HEADER_BYTES.checked_add(len)?)?;
        let record = Record {
            crc: u32_at(whole, 0)?,
            kind: whole[4],
            body: &whole[RECORD_HEADER_BYTES..],
            end: at + whole.len().next_multiple_of(RECORD_ALIGN),
        };
        (record.crc == crc32c_append(salt, &whole[4..])).then_some(record)
    }
}

/// Bytes of the body of a record that was ended at `at` and is not sealed yet.
pub fn body_len(group: &[u8], at: usize) -> usize {
    u32_at(group, at + 8).map_or(0, |len| len as usize)
}

/// What the crc of each record of that segment starts from.
pub fn record_salt(journal: u64, segment: u32) -> u32 {
    crc32c_append(crc32c(&journal.to_le_bytes()), &segment.to_le_bytes())
}

/// Crc over the crcs of records, one by one.
pub fn chain(before: u32, record: u32) -> u32 {
    crc32c_append(before, &record.to_le_bytes())
}

/// The name of a segment's file in the journal's folder.
pub fn segment_name(segment: u32) -> String {
    format!("{segment:010}.seg")
}

/// The segment that a file is by its name. Numbers that leave none to follow are nobody's.
pub fn segment_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let ours = digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|&segment| ours && segment > 0 && segment < u32::MAX)
}

/// How the names of spare files begin. The reader passes over them.
pub const SPARE: &str = "spare-";
/// How the names of files end that were taken out of the row of segments and kept.
pub const ASIDE: &str = ".aside";

/// Never 0, which means that there is no group before.
fn group_crc(header: &[u8]) -> u32 {
    crc32c(&header[8..GROUP_HEADER_BYTES]).max(1)
}

fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Records start at multiples of this.
pub const RECORD_ALIGN: usize = 8;
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"HQGR");

const _: () = assert!(GROUP_HEADER_BYTES.is_multiple_of(RECORD_ALIGN));
const _: () = assert!(RECORD_HEADER_BYTES.is_multiple_of(RECORD_ALIGN));
const _: () = assert!((GROUPS_AT as usize).is_multiple_of(GROUP_ALIGN));
