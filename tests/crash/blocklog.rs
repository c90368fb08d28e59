//! What was written to a disk and when it was flushed, as QEMU's `blklogwrites` notes it (the format of Linux's dm-log-writes), and
//! the disks that a power cut may leave of that.
//!
//! ```text
//! super block: magic: u64 | version: u64 | entries: u64 | octets per sector: u32           in one sector
//! entry:       sector: u64 | sectors: u64 | flags: u64 | 0: u64                            in one sector; then what was written
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::dice::Dice;

pub struct BlockLog {
    file: File,
    entries: Vec<Entry>,
    disk_bytes: u64,
}

/// Octets `at..at + len` of the disk were written; a flush writes none.
struct Entry {
    at: u64,
    len: u64,
    flags: u64,
    /// Where in the log they are.
    from: u64,
}

impl Entry {
    /// What is written through need not be flushed.
    fn is_through(&self) -> bool {
        self.flags & FUA != 0
    }
}

/// All that was done is on the disk up to `flushed`; of what was done then, up to `end`, anything may be.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub flushed: usize,
    pub end: usize,
}

impl BlockLog {
    pub fn open(path: &Path, disk_bytes: u64) -> BlockLog {
        let file = File::open(path).expect("the log of the disk");
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).expect("a super block");
        assert_eq!(
            (word(&header, 0), word(&header, 1)),
            (MAGIC, VERSION),
            "the log of the disk is no such log"
        );
        let sector = word(&header, 3) & 0xFFFF_FFFF;
        let (mut entries, mut at) = (Vec::new(), sector);
        for _ in 0..word(&header, 2) {
            file.read_exact_at(&mut header, at).expect("an entry");
            let (len, flags, from) = (word(&header, 1) * sector, word(&header, 2), at + sector);
            at = from + if flags & DISCARD == 0 { len } else { 0 };
            entries.push(Entry { at: word(&header, 0) * sector, len, flags, from });
        }
        BlockLog { file, entries, disk_bytes }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The power is cut after so many entries.
    pub fn cut(&self, end: usize) -> Cut {
        let flushed = self.entries[..end].iter().rposition(|entry| entry.flags & FLUSH != 0);
        Cut { flushed: flushed.map_or(0, |at| at + 1), end }
    }

    /// Behind the next flush from there on.
    pub fn next_flush(&self, from: usize) -> usize {
        let next = self.entries[from..].iter().position(|entry| entry.flags & FLUSH != 0);
        next.map_or(self.len(), |at| from + at + 1)
    }

    /// Writes of which such a disk need not have anything.
    pub fn at_risk(&self, cut: Cut) -> usize {
        self.entries[cut.flushed..cut.end].iter().filter(|entry| !entry.is_through() && entry.len > 0).count()
    }

    /// The disk as it may be then. Answers how many writes are missing, in part or whole.
    pub fn image(&self, cut: Cut, dice: &mut Dice, path: &Path) -> usize {
        let image = File::create(path).expect("our own folder");
        image.set_len(self.disk_bytes).expect("our own file");
        let survive = [0, 50, 80][dice.roll(3)];
        let mut missing = 0;
        for (index, entry) in self.entries[..cut.end].iter().enumerate() {
            let mut bytes = vec![0; entry.len as usize];
            if entry.flags & DISCARD == 0 {
                self.file.read_exact_at(&mut bytes, entry.from).expect("what was written");
            }
            let is_safe = index < cut.flushed || entry.is_through();
            let unit =
                if is_safe || dice.chance(70) { bytes.len().max(1) } else { [512, 4_096][dice.roll(2)] };
            let mut is_whole = true;
            for (number, part) in bytes.chunks(unit).enumerate() {
                if is_safe || dice.chance(survive) {
                    image.write_all_at(part, entry.at + (number * unit) as u64).expect("our own file");
                } else {
                    is_whole = false;
                }
            }
            missing += usize::from(!is_whole);
        }
        // Else the server's first sync waits for all of it.
        image.sync_all().expect("our own file");
        missing
    }
}

/// So many entries a log that is still written has at least: its super block is written with each flush, before that is answered.
pub fn entries_of(log: &File) -> usize {
    let mut header = [0; HEADER_BYTES];
    // It is empty before the first.
    log.read_exact_at(&mut header, 0).map_or(0, |()| word(&header, 2) as usize)
}

fn word(header: &[u8; HEADER_BYTES], number: usize) -> u64 {
    u64::from_le_bytes(header[number * 8..][..8].try_into().expect("8 octets"))
}

const HEADER_BYTES: usize = 32;
const MAGIC: u64 = 0x006A_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::common::scratch_folder;

    const SECTOR: usize = 512;

    /// Writes 1 and 2, flushes, writes 3 over 1, 4 through to the disk, 5 twice as long.
    fn log(folder: &Path) -> BlockLog {
        let entries = [
            (0, 1, 0, 1),
            (1, 1, 0, 2),
            (0, 0, FLUSH, 0),
            (0, 1, 0, 3),
            (2, 1, FUA, 4),
            (4, 2, 0, 5),
            (1, 1, DISCARD, 0),
        ];
        let mut bytes = sector(&[MAGIC, VERSION, entries.len() as u64, SECTOR as u64]);
        for (at, sectors, flags, octet) in entries {
            bytes.extend(sector(&[at, sectors, flags, 0]));
            if flags & DISCARD == 0 {
                bytes.extend(vec![octet; sectors as usize * SECTOR]);
            }
        }
        fs::write(folder.join("log"), bytes).expect("our own folder");
        BlockLog::open(&folder.join("log"), 6 * SECTOR as u64)
    }

    fn sector(words: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes
    }

    /// The first octet of each sector.
    fn octets(log: &BlockLog, cut: Cut, seed: u64, folder: &Path) -> Vec<u8> {
        log.image(cut, &mut Dice::new(seed), &folder.join("image"));
        let image = fs::read(folder.join("image")).expect("it was made just now");
        assert!(image.chunks(SECTOR).all(|sector| sector.iter().all(|octet| *octet == sector[0])));
        image.chunks(SECTOR).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_was_flushed_is_on_every_image_and_what_was_not_on_some() {
        let folder = scratch_folder();
        let log = log(&folder);
        assert_eq!((log.next_flush(0), log.next_flush(3)), (3, 7));
        assert_eq!([2, 3, 6].map(|end| log.at_risk(log.cut(end))), [2, 0, 2]);
        assert_eq!(octets(&log, Cut { flushed: 7, end: 7 }, 0, &folder), [3, 0, 4, 0, 5, 5]);
        assert_eq!(octets(&log, log.cut(3), 0, &folder), [1, 2, 0, 0, 0, 0]);
        let mut seen = [[false; 2]; 5];
        for seed in 0..100 {
            let image = octets(&log, log.cut(6), seed, &folder);
            let [first, 2, 4, 0, fifth, sixth] = image[..] else { panic!("{image:?}") };
            seen[0][usize::from(first == 3)] = true;
            seen[1][usize::from(fifth == 5)] = true;
            seen[2][usize::from(sixth == 5)] = true;
            seen[3][usize::from(fifth == sixth)] = true;
            // Nothing of what came then is there.
            let image = octets(&log, log.cut(2), seed, &folder);
            assert_eq!(image[2..], [0; 4]);
            seen[4][usize::from(image[..2] == [0, 2])] = true;
        }
        assert_eq!(seen, [[true; 2]; 5]);
        fs::remove_dir_all(folder).expect("our own folder");
    }
}
