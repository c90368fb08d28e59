//! Since when nothing happens at a queue or on a channel: a sample is compared with the one before it.

use std::collections::HashMap;
use std::hash::Hash;

use super::sample::Steady;

/// What has not changed is known since when it was first seen so.
pub fn keep_since<K: Eq + Hash, T: PartialEq>(
    last: &mut HashMap<K, Steady<T>>,
    before: &HashMap<K, Steady<T>>,
) {
    for (key, counted) in last {
        let same = before.get(key).filter(|before| before.counts == counted.counts);
        counted.since_ms = same.map_or(counted.since_ms, |before| before.since_ms);
    }
}

/// What the last sample was the first to see so may have changed right before it.
pub fn idle_since<T: PartialEq>(seen: &Steady<T>, now: &T, last_at_ms: u64) -> Option<u64> {
    (seen.counts == *now && seen.since_ms < last_at_ms).then_some(seen.since_ms)
}

/// RabbitMQ's way to write a time: `2026-11-29T15:34:37.872+00:00`.
pub fn time_text(ms: u64) -> String {
    let (days, in_day) = (ms / DAY_MS, ms % DAY_MS);
    // Years begin in March, so that the day that comes and goes is the last one. 719,468 days were before 1970, and each 400
    // years have 146,097.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, ms) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00")
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::Rates;
    use super::super::sample::{ChannelCounts, Sample};
    use super::*;
    use crate::ids::{ConnectionId, ShardId};
    use crate::stats::Traffic;

    const CHANNEL: (ConnectionId, u16) = (ConnectionId { shard: ShardId(0), slot: 1, generation: 1 }, 1);

    fn sample(at_s: u64, publish: u64) -> Sample {
        let at_ms = at_s * 1_000;
        let counts = counts(publish);
        let mut sample = Sample::empty(Instant::now() + Duration::from_secs(at_s), at_ms);
        sample.channels.insert(CHANNEL, Steady { counts, since_ms: at_ms });
        sample
    }

    fn counts(publish: u64) -> ChannelCounts {
        ChannelCounts { traffic: Traffic { publish, ..Traffic::default() }, ..ChannelCounts::default() }
    }

    fn idle(rates: &Rates, publish: u64) -> Option<u64> {
        let last = rates.last()?;
        idle_since(&last.channels[&CHANNEL], &counts(publish), last.at_ms)
    }

    #[test]
    fn what_stays_the_same_is_idle_since_it_was_first_seen_so() {
        let mut rates = Rates::default().followed_by(sample(5, 7));
        assert_eq!(idle(&rates, 7), None);
        rates = rates.followed_by(sample(10, 7)).followed_by(sample(15, 7));
        assert_eq!((idle(&rates, 7), idle(&rates, 8)), (Some(5_000), None));
        rates = rates.followed_by(sample(20, 8));
        assert_eq!(idle(&rates, 8), None);
        rates = rates.followed_by(sample(25, 8));
        assert_eq!(idle(&rates, 8), Some(20_000));
    }

    #[test]
    fn a_time_is_written_as_rabbitmq_writes_it() {
        let times =
            [0, 951_782_399_999, 951_782_400_000, 951_868_800_000, 1_795_966_477_872, 4_107_542_400_000];
        let expected = [
            "1970-01-01T00:00:00.000",
            "2000-02-28T23:59:59.999",
            "2000-02-29T00:00:00.000",
            "2000-03-01T00:00:00.000",
            "2026-11-29T15:34:37.872",
            "2100-03-01T00:00:00.000",
        ];
        assert_eq!(times.map(time_text), expected.map(|time| format!("{time}+00:00")));
    }
}
