//! The thread that writes down what the shards note. It may be slow, or wait for whoever reads the log: the shards go on.

use super::{CHANNEL, CONNECTION};
use crate::shard::notes::{Note, Severity};
use crate::shard::start::Board;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub struct Scribe {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A wake-up that comes too early to be seen is made up for after this.
const REST: Duration = Duration::from_secs(1);

impl Scribe {
    /// `node`: the name of this server.
    pub fn start(board: Arc<Board>, node: String) -> io::Result<Scribe> {
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = stopping.clone();
        let thread = thread::Builder::new().name("log".into()).spawn({
            let board = board.clone();
            move || {
                while !stop.load(Ordering::SeqCst) {
                    write(&board, &node);
                    thread::park_timeout(REST);
                }
                write(&board, &node);
            }
        })?;
        board.wake(thread.thread().clone());
        Ok(Scribe { stopping, thread })
    }

    /// Everything that was noted is written.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        // A panic has ended the process by now.
        let _ = self.thread.join();
    }
}

fn write(board: &Board, node: &str) {
    while let Some(note) = board.take() {
        line(&note, node);
    }
    match board.take_lost() {
        0 => {}
        lost => tracing::warn!(lost, "more happened than could be logged"),
    }
}

/// A line that nobody wants is not made.
fn line(note: &Note, node: &str) {
    match (note.severity(), note.is_of_channel()) {
        (Severity::Error, true) => tracing::error!(target: CHANNEL, "{}", note.text(node)),
        (Severity::Warning, true) => tracing::warn!(target: CHANNEL, "{}", note.text(node)),
        (Severity::Info, true) => tracing::info!(target: CHANNEL, "{}", note.text(node)),
        (Severity::Error, false) => tracing::error!(target: CONNECTION, "{}", note.text(node)),
        (Severity::Warning, false) => tracing::warn!(target: CONNECTION, "{}", note.text(node)),
        (Severity::Info, false) => tracing::info!(target: CONNECTION, "{}", note.text(node)),
    }
}
