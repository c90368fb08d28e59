//! The single objects whose samples somebody looks at: a history is kept of those alone, so that all others cost nothing.
//!
//! ```text
//! asked for --(its numbers of the last two samples)--> followed, a point more with each sample
//!     --(not asked for some minutes, or gone, or others were asked for later)--> forgotten
//! ```
//! Lives on: the HTTP thread.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Rates;
use super::history::History;
use super::sample::Sample;
use crate::ids::{ConnectionId, Name, QueueId};

/// What samples can be of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    Queue(QueueId),
    Channel(ConnectionId, u16),
    Connection(ConnectionId),
    /// By its vhost and its name.
    Exchange(Name, Name),
    Vhost(Name),
}

#[derive(Default)]
pub struct Followed {
    all: HashMap<Subject, Follow>,
}

struct Follow {
    asked: Instant,
    history: History,
}

impl Followed {
    /// What is known of it; more will be, as long as it is asked for.
    pub fn ask(&mut self, of: Subject, rates: &Rates, now: Instant) -> &History {
        if !self.all.contains_key(&of) {
            self.make_room();
        }
        let follow = self.all.entry(of).or_insert_with_key(|of| {
            let mut history = History::of_one();
            rates.points(of).for_each(|point| history.add(point));
            Follow { asked: now, history }
        });
        follow.asked = now;
        &follow.history
    }

    pub fn add(&mut self, sample: &Sample, now: Instant) {
        self.all.retain(|of, follow| {
            let is_fresh = now.saturating_duration_since(follow.asked) < FORGOTTEN_AFTER;
            let point = sample.point(of).filter(|_| is_fresh);
            point.map(|point| follow.history.add(point)).is_some()
        });
    }

    /// The one that was asked for the longest time ago goes.
    fn make_room(&mut self) {
        if self.all.len() < FOLLOWED_MAX {
            return;
        }
        let oldest = self.all.iter().min_by_key(|(_, follow)| follow.asked);
        if let Some(oldest) = oldest.map(|(of, _)| of.clone()) {
            self.all.remove(&oldest);
        }
    }
}

/// With 182 points of 152 bytes each: 7 MB.
const FOLLOWED_MAX: usize = 256;
/// A page that shows a chart asks for it every few seconds; who comes back from another one finds it as it was.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::history::Span;
    use super::super::sample::{QueueCounts, Steady};
    use super::*;
    use crate::ids::ShardId;

    fn queue(slot: u32) -> QueueId {
        QueueId { shard: ShardId(0), slot, generation: 1 }
    }

    fn sample(start: Instant, at_s: u64, slots: u32) -> Sample {
        let at_ms = at_s * 1_000;
        let mut sample = Sample::empty(start + Duration::from_secs(at_s), at_ms);
        let counts = QueueCounts { ready: at_s, ..QueueCounts::default() };
        sample.queues = (0..slots).map(|slot| (queue(slot), Steady { counts, since_ms: at_ms })).collect();
        sample
    }

    fn shown(history: &History) -> Map<String, Value> {
        let mut details = Map::new();
        history.describe(Span { age_s: 60, every_s: 5 }, &mut details, |point| point.ready);
        details
    }

    #[test]
    fn what_is_known_is_shown_at_once_and_more_with_each_sample() {
        let start = Instant::now();
        let rates = Rates::default().followed_by(sample(start, 5, 1)).followed_by(sample(start, 10, 1));
        let mut followed = Followed::default();
        let of = Subject::Queue(queue(0));
        let samples = |times: &[u64]| -> Value {
            times.iter().map(|at| json!({"sample": at, "timestamp": at * 1_000})).collect()
        };
        let details = shown(followed.ask(of.clone(), &rates, start));
        assert_eq!(details["samples"], samples(&[10, 5]));
        assert_eq!((&details["avg"], &details["avg_rate"]), (&json!(7.5), &json!(1.0)));
        followed.add(&sample(start, 15, 1), start);
        assert_eq!(shown(followed.ask(of, &rates, start))["samples"], samples(&[15, 10, 5]));
        let unknown = Subject::Queue(queue(1));
        assert_eq!(shown(followed.ask(unknown, &rates, start))["samples"], json!([]));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_so_is_what_is_gone() {
        let start = Instant::now();
        let mut followed = Followed::default();
        for slot in 0..2 {
            followed.ask(Subject::Queue(queue(slot)), &Rates::default(), start);
        }
        followed.add(&sample(start, 5, 1), start);
        assert_eq!(followed.all.keys().collect::<Vec<_>>(), [&Subject::Queue(queue(0))]);
        followed.add(&sample(start, 310, 1), start + FORGOTTEN_AFTER);
        assert_eq!(followed.all.len(), 0);
    }

    #[test]
    fn so_many_are_followed_and_the_one_asked_for_first_makes_room() {
        let start = Instant::now();
        let mut followed = Followed::default();
        let mut ask = |slot: u32, at_s| {
            followed.ask(Subject::Queue(queue(slot)), &Rates::default(), start + Duration::from_secs(at_s));
            followed.all.len()
        };
        (0..FOLLOWED_MAX as u32).for_each(|slot| _ = ask(slot, u64::from(slot)));
        ask(0, 1_000);
        assert_eq!(ask(1_000, 1_001), FOLLOWED_MAX);
        let is_followed =
            [0, 1, 2, 1_000].map(|slot| followed.all.contains_key(&Subject::Queue(queue(slot))));
        assert_eq!(is_followed, [true, false, true, true]);
    }
}
