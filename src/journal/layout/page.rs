//! The two pages that a segment begins with: whose it is, and up to where it was synced when its flusher had nothing to do.

use crc32c::crc32c;

use super::{put, u32_at, u64_at};
use crate::journal::position::Position;

pub const PAGE_BYTES: usize = 4096;
/// Offset of the stamp's page.
pub const STAMP_AT: u64 = 4096;

/// Whose segment it is. Written when the segment begins and never again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    pub journal: u64,
    pub segment: u32,
    /// Size of the file.
    pub bytes: u64,
    /// The first segment of the process that wrote this one.
    pub first: u32,
    /// Up to where that process found the journal sound; from there to its own first segment all was cut.
    pub recovered: Position,
    /// Crc of the group before it, 0 for the first segment of a process: so it is known where the segment before ended,
    /// even if the first group of this one is lost.
    pub previous: u32,
}

/// What the first page of a file named as a segment turns out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderPage {
    Sound(SegmentHeader),
    /// Sound, but of a layout that this program does not know.
    Unknown {
        version: u32,
    },
    /// Nothing but zeros, or nothing at all.
    Blank,
    Unsound,
}

impl HeaderPage {
    /// Whether the file is a segment of that journal, or was to become one when its process ended: made and not written
    /// yet, or taken over from an earlier segment.
    pub fn is_of(self, journal: Option<u64>) -> bool {
        match self {
            HeaderPage::Sound(header) => Some(header.journal) == journal,
            HeaderPage::Blank => true,
            HeaderPage::Unknown { .. } | HeaderPage::Unsound => false,
        }
    }
}

impl SegmentHeader {
    pub fn to_page(self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        put(&mut page, 0, *HEADER_MAGIC);
        put(&mut page, 12, VERSION.to_le_bytes());
        put(&mut page, 16, self.journal.to_le_bytes());
        put(&mut page, 24, self.segment.to_le_bytes());
        put(&mut page, 28, self.bytes.to_le_bytes());
        put(&mut page, 36, self.first.to_le_bytes());
        put(&mut page, 40, self.recovered.as_u64().to_le_bytes());
        put(&mut page, 48, self.previous.to_le_bytes());
        let crc = crc32c(&page[12..]);
        put(&mut page, 8, crc.to_le_bytes());
        page
    }

    /// Reads the first page of a file, which may be cut short.
    pub fn read(page: &[u8]) -> HeaderPage {
        let page = &page[..page.len().min(PAGE_BYTES)];
        if page.iter().all(|&byte| byte == 0) {
            return HeaderPage::Blank;
        }
        // Magic and crc stand at the same place in every version.
        let sound = page.len() == PAGE_BYTES
            && page.starts_with(HEADER_MAGIC)
            && u32_at(page, 8) == Some(crc32c(&page[12..]));
        match u32_at(page, 12) {
            Some(VERSION) if sound => Self::fields(page).map_or(HeaderPage::Unsound, HeaderPage::Sound),
            Some(version) if sound => HeaderPage::Unknown { version },
            _ => HeaderPage::Unsound,
        }
    }

    fn fields(page: &[u8]) -> Option<SegmentHeader> {
        Some(SegmentHeader {
            journal: u64_at(page, 16)?,
            segment: u32_at(page, 24)?,
            bytes: u64_at(page, 28)?,
            first: u32_at(page, 36)?,
            recovered: Position::from_u64(u64_at(page, 40)?),
            previous: u32_at(page, 48)?,
        })
    }
}

/// Up to where the journal was synced when its flusher came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub journal: u64,
    pub segment: u32,
    pub synced: Position,
}

impl Stamp {
    pub fn to_page(self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        put(&mut page, 0, *STAMP_MAGIC);
        put(&mut page, 12, self.segment.to_le_bytes());
        put(&mut page, 16, self.journal.to_le_bytes());
        put(&mut page, 24, self.synced.as_u64().to_le_bytes());
        let crc = crc32c(&page[12..STAMP_END]);
        put(&mut page, 8, crc.to_le_bytes());
        page
    }

    pub fn read(page: &[u8]) -> Option<Stamp> {
        let page = page.get(..STAMP_END)?;
        let sound = page.starts_with(STAMP_MAGIC) && u32_at(page, 8)? == crc32c(&page[12..]);
        let stamp = Stamp {
            segment: u32_at(page, 12)?,
            journal: u64_at(page, 16)?,
            synced: Position::from_u64(u64_at(page, 24)?),
        };
        sound.then_some(stamp)
    }
}

const VERSION: u32 = 1;
const HEADER_MAGIC: &[u8; 8] = b"HAREMQJ1";
const STAMP_MAGIC: &[u8; 8] = b"HAREMQS1";
const STAMP_END: usize = 32;
