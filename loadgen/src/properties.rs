//! Expiration and priority of the messages: the same for all, or drawn for each.
//!
//! A message's variant is a function of its stamp, so whoever receives it knows what was asked for, also where a broker took
//! the property away: a dead letter has no expiration any more.

use crate::pairs::pairs;
use crate::stamp::Stamp;

/// The properties of one message that a run may vary.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Variant {
    pub expiration_ms: Option<u32>,
    pub priority: Option<u8>,
}

/// All variants of a run, at least one; each message has one of them, all equally likely.
#[derive(Clone, Debug)]
pub struct Variants(Vec<Variant>);

impl Variants {
    /// Of `expiration=50-1000,priority=0-9`; `Err` is a sentence for the user.
    pub fn resolve(text: Option<&str>) -> Result<Variants, String> {
        let (mut expirations, mut priorities) = (vec![None], vec![None]);
        for (key, value) in pairs(text.unwrap_or(""))? {
            let place = match key {
                "expiration" => &mut expirations,
                "priority" => &mut priorities,
                _ => return Err(format!("{key:?} is not a property that can be set: expiration, priority")),
            };
            *place = span(value).ok_or(format!("{key}={value} is neither a number nor FROM-TO"))?;
        }
        if expirations.len() * priorities.len() > VARIANTS_MAX {
            return Err(format!("at most {VARIANTS_MAX} combinations of properties"));
        }
        if priorities.iter().flatten().any(|&priority| priority > u32::from(u8::MAX)) {
            return Err("a priority is at most 255".to_owned());
        }
        let of = |expiration_ms: Option<u32>| {
            let priority = |&priority: &Option<u32>| priority.map(|priority| priority as u8);
            priorities.iter().map(move |given| Variant { expiration_ms, priority: priority(given) })
        };
        Ok(Variants(expirations.iter().flat_map(|&expiration_ms| of(expiration_ms)).collect()))
    }

    /// Which one the message with this stamp has.
    #[inline]
    pub fn index(&self, stamp: Stamp) -> usize {
        match self.0.len() {
            1 => 0,
            count => draw(stamp, count),
        }
    }

    /// How long it may wait.
    #[inline]
    pub fn expiration_ms(&self, stamp: Stamp) -> Option<u32> {
        self.0[self.index(stamp)].expiration_ms
    }

    pub fn expire(&self) -> bool {
        self.0.iter().all(|variant| variant.expiration_ms.is_some())
    }

    pub fn as_slice(&self) -> &[Variant] {
        &self.0
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A number, or all from one to another.
fn span(text: &str) -> Option<Vec<Option<u32>>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    let count = to.checked_sub(from)? as usize + 1;
    (count <= VARIANTS_MAX).then(|| (from..=to).map(Some).collect())
}

/// A number below `count` that looks random beside those of the neighbours (the finalizer of splitmix64).
fn draw(stamp: Stamp, count: usize) -> usize {
    let identity = u64::from(stamp.producer) << 48 | stamp.sequence;
    let mut mixed = identity.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    ((u128::from(mixed) * count as u128) >> 64) as usize
}

/// Each has a head of its own in the template, and an order of its own in the check of a queue.
const VARIANTS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u64) -> Stamp {
        Stamp { producer: 3, sequence, planned: 0 }
    }

    #[test]
    fn without_properties_there_is_one_variant_without_any() {
        let variants = Variants::resolve(None).unwrap();
        assert_eq!((variants.as_slice(), variants.index(stamp(7))), (&[Variant::default()][..], 0));
        assert!(!variants.expire());
    }

    #[test]
    fn a_range_is_drawn_from_evenly() {
        let variants = Variants::resolve(Some("expiration=50-1000")).unwrap();
        assert!(variants.expire() && variants.count() == 951);
        let drawn: Vec<u32> = (0..95_100).map(|at| variants.expiration_ms(stamp(at)).unwrap()).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&50), Some(&1000)));
        let mean = drawn.iter().map(|&ms| f64::from(ms)).sum::<f64>() / drawn.len() as f64;
        assert!((mean - 525.0).abs() < 3.0, "{mean}");
        let rising = drawn.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((46_000..49_000).contains(&rising), "neighbours have nothing in common: {rising}");
    }

    #[test]
    fn two_properties_make_every_combination() {
        let variants = Variants::resolve(Some("priority=0-9,expiration=5-6")).unwrap();
        let all = variants.as_slice();
        assert_eq!(all.len(), 20);
        assert_eq!(all[0], Variant { expiration_ms: Some(5), priority: Some(0) });
        assert_eq!(all[19], Variant { expiration_ms: Some(6), priority: Some(9) });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "colour=1",
            "priority=256",
            "priority=9-1",
            "expiration=x",
            "expiration=1-2-3",
            "expiration=0-5000",
            "priority",
        ] {
            assert!(Variants::resolve(Some(text)).is_err(), "{text}");
        }
        assert!(Variants::resolve(Some("priority=0-255,expiration=0-255")).is_err(), "too many");
    }
}
