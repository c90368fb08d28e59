//! A stand-in until the files are merged.

pub const GROUP_HEADER_BYTES: usize = 48;
pub const RECORD_HEADER_BYTES: usize = 16;
pub const GROUPS_AT: usize = 8_192;
const GROUP_ALIGN: usize = 4_096;

pub fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(GROUP_ALIGN)
}

pub fn begin_record(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    at
}

pub fn end_record(out: &mut Vec<u8>, at: usize) {
    let len = (out.len() - at - RECORD_HEADER_BYTES) as u32;
    out[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Bytes of the body of a record that begins there.
pub fn body_len(out: &[u8], at: usize) -> usize {
    u32::from_le_bytes([out[at + 8], out[at + 9], out[at + 10], out[at + 11]]) as usize
}
