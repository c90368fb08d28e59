//! The records between two offsets of a segment, sound or not.

use crate::journal::layout::{RECORD_ALIGN, Record};

pub enum Walked<'a> {
    /// At that offset.
    Record(usize, Record<'a>),
    /// No sound record lies between these offsets.
    Gap(usize, usize),
}

/// Tells each sound record between the offsets, and each gap, in order.
///
/// Behind one that is not sound it looks at each place that can hold a record: the length that is read there may be what
/// is not sound of it, and point over its neighbours.
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
                at += RECORD_ALIGN;
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
