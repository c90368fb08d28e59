use super::*;

const JOURNAL: u64 = 0x1234_5678_9abc_def0;
const AT: Position = Position::new(7, 12_288);
const HEADER: SegmentHeader = SegmentHeader {
    journal: JOURNAL,
    segment: 7,
    bytes: 65_536,
    first: 5,
    recovered: Position::new(4, 8192),
    previous: 99,
};

fn group(bodies: &[&[u8]]) -> Vec<u8> {
    let mut group = vec![0; GROUP_HEADER_BYTES];
    for (kind, body) in bodies.iter().enumerate() {
        let at = begin_record(&mut group, kind as u8);
        group.extend_from_slice(body);
        end_record(&mut group, at);
    }
    group
}

/// The group at its place in a segment.
fn placed(group: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; AT.offset() as usize];
    segment.extend_from_slice(group);
    segment
}

#[test]
fn a_sealed_group_is_read_back() {
    let mut sealed = group(&[b"one", b"", &[9; 5000]]);
    let bytes = sealed.len();
    let crc = seal(&mut sealed, AT, JOURNAL, 77, Position::new(7, 8192));
    assert_eq!(sealed.len(), padded(bytes));
    let header = GroupHeader::read(&sealed, AT).expect("sound");
    assert_eq!((header.crc, header.journal, header.previous, header.records), (crc, JOURNAL, 77, 3));
    assert_eq!((header.synced, header.bytes as usize), (Position::new(7, 8192), bytes));
    let segment = placed(&sealed);
    let (mut at, to) = header.records_span();
    let mut chained = 0;
    for (kind, body) in [&b"one"[..], b"", &[9; 5000]].into_iter().enumerate() {
        let record = Record::read(&segment, at, to, record_salt(JOURNAL, 7)).expect("sound");
        assert_eq!((record.kind, record.body), (kind as u8, body));
        chained = chain(chained, record.crc);
        at = record.end;
    }
    assert_eq!((at, chained), (to, header.chain));
}

#[test]
fn the_layout_of_version_one_does_not_change() {
    let mut sealed = group(&[b"abc"]);
    let crc = seal(&mut sealed, AT, JOURNAL, 1, Position::new(6, 8192));
    let stamp = Stamp { journal: JOURNAL, segment: 7, synced: AT };
    let sums = [crc, crc32c(&sealed), crc32c(&HEADER.to_page()), crc32c(&stamp.to_page())];
    assert_eq!(sums, [2_636_793_527, 902_312_323, 3_961_076_276, 2_232_306_622]);
}

#[test]
fn a_group_of_another_place_journal_or_segment_is_not_sound() {
    let mut sealed = group(&[b"abc"]);
    seal(&mut sealed, AT, JOURNAL, 1, Position::NONE);
    assert!(GroupHeader::read(&sealed, Position::new(7, 16_384)).is_none());
    assert!(GroupHeader::read(&sealed, Position::new(8, 12_288)).is_none());
    let segment = placed(&sealed);
    let at = AT.offset() as usize + GROUP_HEADER_BYTES;
    assert!(Record::read(&segment, at, segment.len(), record_salt(JOURNAL, 7)).is_some());
    assert!(Record::read(&segment, at, segment.len(), record_salt(JOURNAL, 8)).is_none());
    assert!(Record::read(&segment, at, segment.len(), record_salt(JOURNAL + 1, 7)).is_none());
}

#[test]
fn no_flipped_bit_of_header_or_records_goes_unseen() {
    let mut sealed = group(&[b"abcdefgh", b"12345678"]);
    let bytes = sealed.len();
    seal(&mut sealed, AT, JOURNAL, 1, Position::NONE);
    let salt = record_salt(JOURNAL, 7);
    for bit in 0..bytes * 8 {
        sealed[bit / 8] ^= 1 << (bit % 8);
        let (segment, from) = (placed(&sealed), AT.offset() as usize + GROUP_HEADER_BYTES);
        let second = from + RECORD_HEADER_BYTES + 8;
        let whole = GroupHeader::read(&sealed, AT).is_some()
            && Record::read(&segment, from, segment.len(), salt).is_some()
            && Record::read(&segment, second, segment.len(), salt).is_some();
        assert!(!whole, "bit {bit}");
        sealed[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn bytes_that_end_anywhere_are_no_panic() {
    let mut sealed = group(&[b"abc"]);
    seal(&mut sealed, AT, JOURNAL, 1, Position::NONE);
    let segment = placed(&sealed);
    let at = AT.offset() as usize + GROUP_HEADER_BYTES;
    for len in 0..segment.len() {
        let _ = GroupHeader::read(&segment[len..], AT);
        let _ = Record::read(&segment[..len], at, usize::MAX, 0);
        let _ = Record::read(&segment, len, len + 7, 0);
        let _ = (SegmentHeader::read(&segment[..len.min(5000)]), Stamp::read(&segment[..len]));
    }
}

#[test]
fn header_and_stamp_are_read_back_or_not_at_all() {
    let mut page = HEADER.to_page();
    assert_eq!(SegmentHeader::read(&page), HeaderPage::Sound(HEADER));
    assert_eq!(SegmentHeader::read(&page[..4095]), HeaderPage::Unsound);
    assert_eq!(SegmentHeader::read(&[0; 100]), HeaderPage::Blank);
    page[50] ^= 1;
    assert_eq!(SegmentHeader::read(&page), HeaderPage::Unsound);
    let stamp = Stamp { journal: JOURNAL, segment: 7, synced: AT };
    let mut page = stamp.to_page();
    assert_eq!(Stamp::read(&page), Some(stamp));
    page[24] ^= 1;
    assert_eq!(Stamp::read(&page), None);
}

#[test]
fn a_layout_of_later_days_is_known_as_such() {
    let mut page = HEADER.to_page();
    put(&mut page, 12, 2u32.to_le_bytes());
    let crc = crc32c(&page[12..]);
    put(&mut page, 8, crc.to_le_bytes());
    assert_eq!(SegmentHeader::read(&page), HeaderPage::Unknown { version: 2 });
}

#[test]
fn only_ten_digits_name_a_segment() {
    assert_eq!(segment_of(&segment_name(42)), Some(42));
    for name in [
        "0000000000.seg",
        "1.seg",
        "+000000001.seg",
        "00000000001.seg",
        "4294967295.seg",
        "9999999999.seg",
        "",
    ] {
        assert_eq!(segment_of(name), None, "{name}");
    }
}

#[test]
fn a_group_that_would_end_behind_the_largest_segment_is_not_sound() {
    for (bytes, is_sound) in [(47, false), (48, true), (1 << 29, true), (1 << 30, false), (u32::MAX, false)] {
        let mut sealed = group(&[b"abc"]);
        seal(&mut sealed, AT, JOURNAL, 0, Position::NONE);
        put(&mut sealed, 24, bytes.to_le_bytes());
        let crc = group_crc(&sealed[..GROUP_HEADER_BYTES]);
        put(&mut sealed, 4, crc.to_le_bytes());
        assert_eq!(GroupHeader::read(&sealed, AT).is_some(), is_sound, "{bytes}");
    }
}
