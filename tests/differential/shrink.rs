//! Looks for fewer steps that still differ in the same way.

use crate::act::Step;
use crate::run::{Brokers, Finding, Run};
use std::time::{Duration, Instant};

/// The text of the shortest history that was found.
pub fn shrink(brokers: Brokers, steps: &[Step], finding: &Finding, time: Duration) -> String {
    let began = Instant::now();
    let kind = finding.kind();
    let mut steps = steps.to_vec();
    let mut best: Option<Finding> = None;
    let mut size = steps.len().div_ceil(2);
    while size > 0 && began.elapsed() < time {
        let mut at = 0;
        while at < steps.len() && began.elapsed() < time {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            match Run::seed(brokers, &fewer, false).1 {
                Some(found) if found.kind() == kind => {
                    fewer.truncate(found.at + 1);
                    steps = fewer;
                    best = Some(found);
                }
                _ => at += size,
            }
        }
        size /= 2;
    }
    match best {
        Some(best) => {
            format!("{} steps are enough:\n{}\n{}", best.history.len(), best.history.join("\n"), best.text())
        }
        None => match Run::seed(brokers, &steps, false).1 {
            Some(_) => format!("no fewer steps do:\n{}", finding.history.join("\n")),
            None => "the same steps did not differ again".to_owned(),
        },
    }
}

impl Finding {
    /// Findings of one kind differ at the same kind of step and place.
    fn kind(&self) -> String {
        let act = self.step.split(": ").nth(2).unwrap_or_default();
        let act = act.split([' ', '(']).next().unwrap_or_default().to_owned();
        let place = |place: &crate::render::Place| {
            format!("{place:?}").split('(').next().unwrap_or_default().to_owned()
        };
        let mut places: Vec<String> = self.differences.iter().map(|it| place(&it.place)).collect();
        places.dedup();
        format!("{act} {}", places.join(" "))
    }

    pub fn text(&self) -> String {
        let differences: String = self.differences.iter().map(ToString::to_string).collect();
        format!("{}\n{differences}", self.step)
    }
}
