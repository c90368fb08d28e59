//! The records between two offsets of a segment, sound or not.

use crate::journal::layout::{RECORD_ALIGN, RECORD_HEADER_BYTES, Record, record_claim};

pub enum Walked<'a> {
    /// At that offset.
    Record(usize, Record<'a>),
    /// No sound record lies between these offsets.
    Gap(usize, usize),
}

/// Tells each sound record between the offsets, and each gap, in order.
///
/// Behind a record that is not sound it goes on where that says it ends, if a record begins there, else it looks for one
/// at each place that can hold one.
pub fn walk<'a>(segment: &'a [u8], from: usize, to: usize, salt: u32, tell: &mut dyn FnMut(Walked<'a>)) {
    let (mut at, mut gap) = (from, None);
    while at < to {
        match Record::read(segment, at, to, salt) {
            Some(record) => {
                if let Some(from) = gap.take() {
                    tell(Walked::Gap(from, at));
                }
                tell(Walked::Record(at, record));
                at = record.end;
            }
            None => {
                gap.get_or_insert(at);
                at = declared_end(segment, at, to).unwrap_or(at + RECORD_ALIGN);
                if at >= segment.len() {
                    break;
                }
            }
        }
    }
    if let Some(from) = gap {
        tell(Walked::Gap(from, to));
    }
}

/// Where the record at `at`, whose body is not sound, ends by its own word and by what lies there.
fn declared_end(segment: &[u8], at: usize, to: usize) -> Option<usize> {
    let (offset, len) = record_claim(segment, at)?;
    let end = at.checked_add(RECORD_HEADER_BYTES + len)?.next_multiple_of(RECORD_ALIGN);
    let follows = end == to || record_claim(segment, end).is_some_and(|(offset, _)| offset == end);
    (offset == at && end <= to && follows).then_some(end)
}
