//! `GET /api/haremq/log`: what was logged last.

#![allow(clippy::disallowed_types, reason = "it is the HTTP thread's own: no shard waits for it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::routes::{Need, Routes};
use super::site::Site;
use crate::log::{LINES_MAX, Level, Line, Recent};

pub fn routes(routes: Routes) -> Routes {
    routes.get("/api/haremq/log", Need::Monitoring, show)
}

/// The last lines, as far as they were taken from the ring: as many again may lie there.
pub struct Lines {
    recent: Arc<Recent>,
    taken: Mutex<VecDeque<Line>>,
}

impl Lines {
    pub fn new(recent: Arc<Recent>) -> Lines {
        Lines { recent, taken: Mutex::default() }
    }

    /// The oldest first.
    fn last(&self, asked: &Asked) -> Vec<Line> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that log while this looks are for the next.
        taken.extend(std::iter::from_fn(|| self.recent.take()).take(LINES_MAX));
        // Two threads may have logged at once.
        taken.make_contiguous().sort_by_key(|line| line.seq);
        let too_many = taken.len().saturating_sub(LINES_MAX);
        taken.drain(..too_many);
        let found = taken.iter().rev().filter(|line| asked.matches(line)).take(asked.last);
        let mut found: Vec<Line> = found.cloned().collect();
        found.reverse();
        found
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Asked {
    /// How many of those that match.
    last: usize,
    /// Those that are at least so grave.
    level: Level,
    /// Those that have this in their text.
    text: String,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked { last: LINES_MAX, level: Level::Trace, text: String::new() }
    }
}

impl Asked {
    fn matches(&self, line: &Line) -> bool {
        line.level <= self.level && line.text.contains(&self.text)
    }
}

async fn show(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Answer {
    answer::body(json!({"lines": site.log.last(&asked)}))
}
