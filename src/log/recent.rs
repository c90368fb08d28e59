//! The last lines of the log, for whoever asks over HTTP.
//!
//! ```text
//! tracing -> (whichever thread says it) -> ring, the oldest goes -> (who reads, when asked) -> lines
//! ```
//! Nobody who logs waits here.

use std::fmt::{self, Debug, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;

/// Lives on: shared by all threads that log and the one that reads.
pub struct Recent {
    lines: ArrayQueue<Line>,
    /// How many there were.
    seq: AtomicU64,
}

#[derive(Clone, Serialize, Debug)]
pub struct Line {
    /// From one; where one is missing it was too old when somebody read.
    pub seq: u64,
    pub time: String,
    pub level: Level,
    pub target: &'static str,
    /// The message, and ` name=value` for each field, cut after `TEXT_BYTES_MAX`.
    pub text: String,
}

/// RabbitMQ's names. The least is the gravest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { lines: ArrayQueue::new(LINES_MAX), seq: AtomicU64::new(0) }
    }
}

impl Recent {
    /// The oldest that nobody has taken.
    pub fn take(&self) -> Option<Line> {
        self.lines.pop()
    }

    fn note(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut time = String::new();
        // A String takes all.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let (level, target) = (Level::from(*event.metadata().level()), event.metadata().target());
        self.lines.force_push(Line { seq, time, level, target, text: text.text });
    }
}

/// Sees each line that is logged.
pub struct Noting(pub Arc<Recent>);

impl<S: Subscriber> Layer<S> for Noting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.note(event);
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

#[derive(Default)]
struct Text {
    text: String,
    is_full: bool,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let space = if self.text.is_empty() { "" } else { " " };
        // It fails when it is full.
        let _ = match field.name() {
            "message" => write!(self, "{space}{value:?}"),
            name => write!(self, "{space}{name}={value:?}"),
        };
    }
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX - self.text.len();
        if self.is_full {
            return Err(fmt::Error);
        }
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_full = more.len() > room;
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A few hundred kB as lines are, 2 MB at most.
pub const LINES_MAX: usize = 1_000;
/// A line is shorter, but for one with the trace of a panic.
const TEXT_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn logged(log: impl FnOnce()) -> Arc<Recent> {
        let recent = Arc::<Recent>::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Noting(recent.clone())), log);
        recent
    }

    #[test]
    fn a_line_has_its_message_and_its_fields() {
        let recent =
            logged(|| tracing::warn!(target: "t", lost = 3, name = "q", shown = %"x", "more happened"));
        let line = recent.take().unwrap();
        assert_eq!((line.seq, line.level, line.target), (1, Level::Warning, "t"));
        assert_eq!(line.text, "more happened lost=3 name=\"q\" shown=x");
        assert!(line.time.starts_with("20") && line.time.ends_with('Z'), "{}", line.time);
    }

    #[test]
    fn the_oldest_go_first() {
        let recent = logged(|| (0..=LINES_MAX).for_each(|at| tracing::info!("{at}")));
        let lines: Vec<Line> = std::iter::from_fn(|| recent.take()).collect();
        assert_eq!((lines.len(), lines[0].seq, &*lines[0].text), (LINES_MAX, 2, "1"));
        assert_eq!(lines[LINES_MAX - 1].seq, LINES_MAX as u64 + 1);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let recent = logged(|| tracing::info!(behind = 1, "x{}", "é".repeat(TEXT_BYTES_MAX)));
        assert_eq!(recent.take().unwrap().text, format!("x{}", "é".repeat(TEXT_BYTES_MAX / 2 - 1)));
    }
}
