//! What becomes of the files of a journal: acts of six octets each.

use crc32c::{crc32c, crc32c_append};
use haremq::journal::layout::{GROUP_HEADER_BYTES, GROUPS_AT, RECORD_HEADER_BYTES, record_salt, segment_of};

use crate::disk::RamDisk;
use crate::{DIR, JOURNAL, segment_path};

/// Files are named by their place in the row, the oldest first.
pub fn apply(disk: &RamDisk, input: &[u8]) {
    for act in input.chunks_exact(6).take(ACTS_MAX) {
        let &[what, file, low, high, other, octet] = act else { continue };
        let paths = disk.paths();
        let path = &paths[usize::from(file) % paths.len().max(1)];
        let source = &paths[usize::from(other) % paths.len()];
        let mut bytes = disk.bytes(path);
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len().max(1);
        let page = at / PAGE * PAGE;
        let len = bytes.len();
        match what % 12 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (octet % 8)),
            1 => bytes.iter_mut().skip(at).take(1 + usize::from(other)).for_each(|byte| *byte = octet),
            // A field of 32 bits.
            2 => bytes
                .iter_mut()
                .skip(at / 4 * 4)
                .take(4)
                .zip([octet, other, other, octet / 64 * 85])
                .for_each(|(byte, new)| *byte = new),
            3 => bytes[page.min(len)..].fill(0),
            4 => bytes[page.min(len)..(page + PAGE * usize::from(1 + other % 4)).min(len)].fill(0),
            5 => bytes.truncate(at),
            6 => bytes.resize(len + usize::from(other) * 16, octet),
            // A page of another place.
            7 => {
                let source = disk.bytes(source);
                let from = usize::from(octet) * PAGE % source.len().max(1) / PAGE * PAGE;
                let count = (source.len() - from).min(PAGE).min(len - page.min(len));
                bytes[page.min(len)..][..count].copy_from_slice(&source[from..from + count]);
            }
            8 => {
                disk.take_away(path);
                if disk.paths().is_empty() {
                    return;
                }
                continue;
            }
            9 => bytes = disk.bytes(source),
            10 => {
                disk.put(&segment_path(1 + u32::from(octet) * 0x0101_0101 / 3), bytes);
                continue;
            }
            _ => {
                let name =
                    ["spare-1", "notes", "0000000002.seg", "0000000009.seg.aside"][usize::from(octet % 4)];
                disk.put_folder(&format!("{DIR}/{name}"));
                continue;
            }
        }
        disk.put(path, bytes);
    }
}

/// Makes checksums and places fit what is there, but for groups that the input leaves out.
pub fn forge(disk: &RamDisk, input: &[u8]) {
    let mut choices = input.iter().rev().copied();
    for path in disk.paths() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(number) = segment_of(name) else { continue };
        let mut bytes = disk.bytes(&path);
        if bytes.len() >= PAGE {
            put(&mut bytes, 0, b"HAREMQJ1");
            put(&mut bytes, 12, &1u32.to_le_bytes());
            put(&mut bytes, 24, &number.to_le_bytes());
            let crc = crc32c(&bytes[12..PAGE]);
            put(&mut bytes, 8, &crc.to_le_bytes());
        }
        if bytes.len() >= 2 * PAGE {
            put(&mut bytes, PAGE, b"HAREMQS1");
            put(&mut bytes, PAGE + 12, &number.to_le_bytes());
            let crc = crc32c(&bytes[PAGE + 12..PAGE + 32]);
            put(&mut bytes, PAGE + 8, &crc.to_le_bytes());
        }
        let journal =
            u64::from_le_bytes(bytes.get(16..24).map_or([0; 8], |id| id.try_into().expect("eight")));
        for at in (GROUPS_AT as usize..bytes.len()).step_by(PAGE) {
            let choice = choices.next().unwrap_or(0);
            if bytes.len() - at >= GROUP_HEADER_BYTES && choice % 8 != 1 {
                group(
                    &mut bytes,
                    at,
                    number,
                    if choice % 8 == 2 { JOURNAL } else { journal },
                    choice % 8 != 3,
                );
            }
        }
        disk.put(&path, bytes);
    }
}

fn group(bytes: &mut [u8], at: usize, segment: u32, journal: u64, counts: bool) {
    put(bytes, at, b"HQGR");
    put(bytes, at + 8, &journal.to_le_bytes());
    put(bytes, at + 16, &segment.to_le_bytes());
    put(bytes, at + 20, &(at as u32).to_le_bytes());
    let end = (at + u32_at(bytes, at + 24) as usize).min(bytes.len());
    let (mut from, mut records, mut chain) = (at + GROUP_HEADER_BYTES, 0u32, 0);
    while from + RECORD_HEADER_BYTES <= end {
        let to = from + RECORD_HEADER_BYTES + u32_at(bytes, from + 8) as usize;
        if to > end {
            break;
        }
        put(bytes, from + 12, &(from as u32).to_le_bytes());
        let crc = crc32c_append(record_salt(journal, segment), &bytes[from + 4..to]).to_le_bytes();
        put(bytes, from, &crc);
        (records, chain) = (records + 1, crc32c_append(chain, &crc));
        from = to.next_multiple_of(8);
    }
    if counts {
        put(bytes, at + 28, &records.to_le_bytes());
        put(bytes, at + 36, &chain.to_le_bytes());
    }
    let crc = crc32c(&bytes[at + 8..at + GROUP_HEADER_BYTES]).max(1);
    put(bytes, at + 4, &crc.to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"))
}

const ACTS_MAX: usize = 40;
const PAGE: usize = 4096;
