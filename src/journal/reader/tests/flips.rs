//! One bit changed, anywhere.

use super::map::{Map, STAMP_BYTES, Spot, end_of, goes_on, serves};
use super::*;

/// Small segments, so that reading all of it is quick, and small records, so that there are many.
fn small(seed: u64) -> Map {
    Map::draw(seed, 20_480, &[16, 100, 300], 2..5)
}

/// Reads with that bit changed, and looks whether that costs what it must and nothing else.
fn flip(map: &Map, at: Position, bit: u8, goes: bool) {
    let spot = map.spot(at);
    let place = || format!("bit {bit} of {at}, {spot:?}");
    map.flip(at, bit);
    let all = map.entries.len();
    let segment_end = Position::new(at.segment(), map.segment_bytes);
    let (lost, damage, cut) = match spot {
        Spot::Header => {
            let from = Position::new(at.segment(), 0);
            (all..all, Some((from, Position::new(at.segment(), PAGE_BYTES as u32), Rot::Header)), None)
        }
        Spot::Group(hit) => {
            let group = &map.groups[hit];
            let claim = map.claim(|at| at != group.header.at);
            let from = group.header.at;
            let next = map.groups.get(hit + 1).filter(|next| next.header.at.segment() == at.segment());
            let to = next.map_or(segment_end, |next| next.header.at);
            // Nothing is known of what is behind the last claim.
            if from < claim {
                (all..all, Some((from, to, Rot::Groups)), None)
            } else {
                (group.entries.start..all, None, Some(from))
            }
        }
        Spot::Record(hit) => {
            let group = map.group_of(hit);
            let to = Position::new(at.segment(), end_of(&map.entries[hit]).offset().next_multiple_of(8));
            if group.header.at < map.claim(|_| true) {
                (hit..hit + 1, Some((map.entries[hit].at, to, Rot::Records)), None)
            } else {
                (group.entries.start..all, None, Some(group.header.at))
            }
        }
        Spot::Stamp | Spot::Nothing => (all..all, None, None),
    };
    let expected = || map.entries[..lost.start].iter().chain(&map.entries[lost.end..]);
    let scan = serves(&map.disk, expected(), place);
    let damage = damage.map(|(from, to, what)| Damage { from, to, what });
    assert_eq!(scan.damage, damage.into_iter().collect::<Vec<_>>(), "{}", place());
    // What lies behind the last group may look like the beginning of one.
    assert!(scan.cut == cut || (cut.is_none() && scan.cut == Some(map.end)), "{}: {:?}", place(), scan.cut);
    if goes {
        assert_eq!(serves(&map.disk, expected(), place), scan);
        goes_on(&map.disk, &scan, map.segment_bytes, &expected().cloned().collect::<Vec<_>>(), place);
    }
    map.flip(at, bit);
}

#[test]
fn each_bit_of_a_thousand_records_costs_that_record_at_most() {
    let (mut records, mut flips) = (0, 0);
    for seed in 0.. {
        let map = small(seed);
        let mut dice = Dice(seed);
        for hit in 0..map.entries.len() {
            let entry = &map.entries[hit];
            let body_bits = entry.body.len() * 8;
            let drawn: Vec<usize> =
                (0..BODY_BITS.min(body_bits)).map(|_| 128 + dice.roll(body_bits)).collect();
            for bit in (0..128).chain(drawn) {
                let at = Position::new(entry.at.segment(), entry.at.offset() + bit as u32 / 8);
                flip(&map, at, bit as u8 % 8, dice.roll(200) == 0);
                flips += 1;
            }
        }
        records += map.entries.len();
        if records >= 1_000 {
            break;
        }
    }
    assert!(flips > 130_000, "{flips} of {records}");
}

/// Drawn, of each body.
const BODY_BITS: usize = 16;

#[test]
fn each_bit_of_headers_and_stamps_loses_no_record() {
    let mut stamps = 0;
    for map in (100..104).map(small) {
        let pages = map.stamps.keys().map(|&segment| (Position::new(segment, 4096), STAMP_BYTES as u32));
        let groups = map.groups.iter().map(|group| (group.header.at, GROUP_HEADER_BYTES as u32));
        let segments = (2..5).map(|segment| (Position::new(segment, 0), 64));
        stamps += map.stamps.len();
        for (from, bytes) in segments.chain(pages).chain(groups) {
            for bit in 0..bytes * 8 {
                let at = Position::new(from.segment(), from.offset() + bit / 8);
                flip(&map, at, bit as u8 % 8, bit % 61 == 0);
            }
        }
    }
    assert!(stamps > 0);
}

#[test]
fn a_bit_of_any_byte_costs_what_it_belongs_to_at_most() {
    let map = small(101);
    let mut dice = Dice(101);
    for segment in 2..5 {
        for offset in 0..map.segment_bytes {
            flip(&map, Position::new(segment, offset), dice.roll(8) as u8, dice.roll(200) == 0);
        }
    }
}
