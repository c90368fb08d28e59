//! Numbers over time, for charts: fine for minutes, coarse for longer.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::exchange::Passed;
use crate::stats::Traffic;

/// Points of the same distance, oldest first, for each of RabbitMQ's retention policies.
pub struct History {
    lines: Box<[Line]>,
}

struct Line {
    every_ms: u64,
    keep: usize,
    points: VecDeque<Point>,
}

/// What one thing counts; what it has not is 0.
#[derive(Clone, Copy, Default)]
pub struct Point {
    pub at_ms: u64,
    pub ready: u64,
    pub unacked: u64,
    pub received_octets: u64,
    pub sent_octets: u64,
    pub passed: Passed,
    pub traffic: Traffic,
}

/// What is asked for: so many points, so far apart.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub age_s: u64,
    pub every_s: u64,
}

/// RabbitMQ's: how far apart, and for how long, s.
const LINES: [(u64, u64); 4] = [(5, 605), (60, 3_660), (600, 29_400), (1_800, 88_200)];
/// So many of them are kept of a single object.
const LINES_OF_ONE: usize = 2;
/// Half of the time between samples: else a line would take the one before the one that is due.
const EARLY_MS: u64 = 2_500;

/// That of the totals.
impl Default for History {
    fn default() -> History {
        History::with(&LINES)
    }
}

impl History {
    pub fn of_one() -> History {
        History::with(&LINES[..LINES_OF_ONE])
    }

    fn with(lines: &[(u64, u64)]) -> History {
        let line = |&(every_s, age_s): &(u64, u64)| Line {
            every_ms: every_s * 1_000,
            keep: (age_s / every_s) as usize,
            points: VecDeque::new(),
        };
        History { lines: lines.iter().map(line).collect() }
    }

    pub fn add(&mut self, point: Point) {
        for line in &mut self.lines {
            // A sample comes a little early or late.
            let due = |last: &Point| point.at_ms + EARLY_MS >= last.at_ms + line.every_ms;
            if line.points.back().is_none_or(due) {
                line.points.push_back(point);
                if line.points.len() > line.keep {
                    line.points.pop_front();
                }
            }
        }
    }

    /// Adds samples and averages to the details of what `read` reads.
    pub fn describe(&self, span: Span, details: &mut Map<String, Value>, read: impl Fn(&Point) -> u64) {
        // Whatever numbers were asked for.
        let (age_ms, apart_ms) = (span.age_s.saturating_mul(1_000), span.every_s.saturating_mul(900));
        let line = self.lines.iter().find(|line| line.keep as u64 * line.every_ms >= age_ms);
        let line = line.unwrap_or(&self.lines[self.lines.len() - 1]);
        let newest = line.points.back().map_or(0, |point| point.at_ms);
        let oldest = newest.saturating_sub(age_ms);
        let mut shown: Vec<(u64, u64)> = Vec::new();
        for point in line.points.iter().rev().take_while(|point| point.at_ms >= oldest) {
            let far_enough = |&(_, at): &(u64, u64)| at.saturating_sub(point.at_ms) >= apart_ms;
            if shown.last().is_none_or(far_enough) {
                shown.push((read(point), point.at_ms));
            }
        }
        let (last, last_at) = shown.first().copied().unwrap_or_default();
        let (first, first_at) = shown.last().copied().unwrap_or_default();
        let seconds = ((last_at - first_at) as f64 / 1_000.0).max(1.0);
        let sum: u64 = shown.iter().map(|(value, _)| value).sum();
        details.insert("avg".to_owned(), json!(sum as f64 / shown.len().max(1) as f64));
        details.insert("avg_rate".to_owned(), json!((last as f64 - first as f64) / seconds));
        let samples = shown.iter().map(|(value, at)| json!({"sample": value, "timestamp": at}));
        details.insert("samples".to_owned(), samples.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(history: &History, age_s: u64, every_s: u64) -> Vec<(u64, u64)> {
        let mut details = Map::new();
        history.describe(Span { age_s, every_s }, &mut details, |point| point.ready);
        let samples = details["samples"].as_array().unwrap().iter();
        samples
            .map(|it| (it["sample"].as_u64().unwrap(), it["timestamp"].as_u64().unwrap() / 1_000))
            .collect()
    }

    #[test]
    fn minutes_are_kept_finely_and_an_hour_coarsely() {
        let mut history = History::of_one();
        for at_s in (0..10_000).step_by(5) {
            history.add(Point { at_ms: at_s * 1_000, ready: at_s, ..Point::default() });
        }
        assert_eq!(samples(&history, 10, 5), [(9_995, 9_995), (9_990, 9_990), (9_985, 9_985)]);
        assert_eq!(samples(&history, 600, 5).len(), 121);
        let hour = samples(&history, 3_600, 60);
        assert_eq!((hour.len(), hour[0], hour[60]), (61, (9_960, 9_960), (6_360, 6_360)));
        assert_eq!(samples(&history, 86_400, 1_800).len(), 3);
        assert_eq!(samples(&history, i64::MAX as u64, i64::MAX as u64), [(9_960, 9_960)]);
    }
}
