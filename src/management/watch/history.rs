//! The totals over time, for charts: fine for minutes, coarse for a day.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::sample::Sample;
use crate::stats::Traffic;

/// Points of the same distance, oldest first, for each of RabbitMQ's retention policies.
pub struct History {
    lines: [Line; LINES.len()],
}

struct Line {
    every_ms: u64,
    keep: usize,
    points: VecDeque<Point>,
}

#[derive(Clone, Copy)]
pub struct Point {
    pub at_ms: u64,
    pub ready: u64,
    pub unacked: u64,
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

impl Default for History {
    fn default() -> History {
        let line = |(every_s, age_s): (u64, u64)| Line {
            every_ms: every_s * 1_000,
            keep: (age_s / every_s) as usize,
            points: VecDeque::new(),
        };
        History { lines: LINES.map(line) }
    }
}

impl History {
    pub fn add(&mut self, sample: &Sample) {
        let total = &sample.total;
        let point =
            Point { at_ms: sample.at_ms, ready: total.ready, unacked: total.unacked, traffic: total.traffic };
        for line in &mut self.lines {
            // A sample comes a little early or late.
            let due = |last: &Point| point.at_ms + line.every_ms / 10 >= last.at_ms + line.every_ms;
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
        let line = self.lines.iter().find(|line| line.keep as u64 * line.every_ms >= span.age_s * 1_000);
        let line = line.unwrap_or(&self.lines[LINES.len() - 1]);
        let newest = line.points.back().map_or(0, |point| point.at_ms);
        let oldest = newest.saturating_sub(span.age_s * 1_000);
        let mut shown: Vec<(u64, u64)> = Vec::new();
        for point in line.points.iter().rev().take_while(|point| point.at_ms >= oldest) {
            let far_enough = |&(_, at): &(u64, u64)| at >= point.at_ms + span.every_s * 900;
            if shown.last().is_none_or(far_enough) {
                shown.push((read(point), point.at_ms));
            }
        }
        let (Some(&(last, last_at)), Some(&(first, first_at))) = (shown.first(), shown.last()) else {
            return;
        };
        let seconds = ((last_at - first_at) as f64 / 1_000.0).max(1.0);
        let sum: u64 = shown.iter().map(|(value, _)| value).sum();
        details.insert("avg".to_owned(), json!(sum as f64 / shown.len() as f64));
        details.insert("avg_rate".to_owned(), json!((last as f64 - first as f64) / seconds));
        let samples = shown.iter().map(|(value, at)| json!({"sample": value, "timestamp": at}));
        details.insert("samples".to_owned(), samples.collect());
    }
}
