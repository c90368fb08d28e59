//! Segments cut short at every byte. What was before is served, whatever was there.

use super::map::{Map, end_of, goes_on, is_named, serves};
use super::*;

/// Of what is served so, each record was whole before the cut; of groups that nobody is known to have relied on, all
/// records.
fn served(map: &Map, cut: Position, claim: Position) -> usize {
    let group = map.groups.partition_point(|group| end_of(&map.entries[group.entries.end - 1]) <= cut);
    match map.groups.get(group) {
        None => map.entries.len(),
        Some(group) if group.header.at >= claim => group.entries.start,
        Some(group) => {
            let whole = |entry: &&Entry| end_of(entry) <= cut;
            group.entries.start + map.entries[group.entries.clone()].iter().take_while(whole).count()
        }
    }
}

#[test]
fn a_journal_cut_at_any_byte_of_its_last_64_kib_serves_what_was_before() {
    const TAIL_BYTES: u32 = 64 * 1024;
    let map = Map::draw(1, SEGMENT_BYTES, &[16, 300, 300, 4_000], 4..7);
    let (mut segment, mut len, mut named) = (map.end.segment(), map.end.offset(), 0);
    for count in 0..TAIL_BYTES {
        if len == 0 {
            map.disk.take_away(&segment_path(segment));
            segment -= 1;
            let last = map.groups.iter().rfind(|group| group.header.at.segment() == segment);
            len = last.expect("a segment has groups").header.end() as u32;
        }
        len -= 1;
        map.disk.rot(&segment_path(segment), |bytes| bytes.truncate(len as usize));
        let cut = Position::new(segment, len);
        let claim = map.claim(|at| Position::new(at.segment(), at.offset() + 48) <= cut);
        let kept = served(&map, cut, claim);
        let place = || format!("cut at {cut}");
        let scan = serves(&map.disk, &map.entries[..kept], place);
        let lost = &map.entries[kept..];
        assert!(
            lost.iter().all(|entry| entry.at >= claim || is_named(&scan.damage, entry, cut)),
            "{}",
            place()
        );
        assert_eq!(scan.damage.is_empty(), lost.first().is_none_or(|entry| entry.at >= claim), "{}", place());
        // Of an empty file nobody knows that it was more; one with part of a header is told of.
        let is_torn = len > 0 && len < PAGE_BYTES as u32;
        assert_eq!(
            (scan.unbegun.len(), scan.foreign.len()),
            ((len == 0).into(), is_torn.into()),
            "{}",
            place()
        );
        named += usize::from(!scan.damage.is_empty());
        if count % 61 == 0 {
            assert_eq!(serves(&map.disk, &map.entries[..kept], place), scan);
            goes_on(&map.disk, &scan, map.segment_bytes, &map.entries[..kept], place);
        }
    }
    assert!(segment < map.end.segment() && named > 1_000, "{segment} {named}");
}

#[test]
fn a_segment_in_the_middle_cut_at_any_byte_costs_what_was_behind_it_there() {
    let map = Map::draw(2, 32_768, &[16, 300, 2_000], 2..5);
    let (path, next) = (segment_path(3), map.index(Position::new(4, 0)));
    let end = map.groups.iter().rfind(|group| group.header.at.segment() == 3).expect("groups").header.end();
    for len in (0..end as u32).rev() {
        map.disk.rot(&path, |bytes| bytes.truncate(len as usize));
        let cut = Position::new(3, len);
        let kept = served(&map, cut, map.end);
        let lost = &map.entries[kept..next];
        let place = || format!("cut at {cut}");
        let expected = || map.entries[..kept].iter().chain(&map.entries[next..]);
        let scan = serves(&map.disk, expected(), place);
        assert!(
            lost.iter().all(|entry| is_named(&scan.damage, entry, cut)),
            "{}: {:?}",
            place(),
            scan.damage
        );
        assert_eq!(scan.damage.is_empty(), lost.is_empty(), "{}", place());
        if len % 61 == 0 {
            assert_eq!(serves(&map.disk, expected(), place), scan);
            goes_on(&map.disk, &scan, map.segment_bytes, &expected().cloned().collect::<Vec<_>>(), place);
        }
    }
}
