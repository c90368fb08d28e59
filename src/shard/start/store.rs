//! The folder for what outlives the process: read before the shards start, each log on a thread of its own, then written
//! by a thread per journal.

use super::Common;
use crate::access::Access;
use crate::budget::Budget;
use crate::ids::ShardId;
use crate::journal::{Failure, Flusher, Link, OsDisk, flusher};
use crate::pages::Pages;
use crate::shard::restart::{self, JournalConfig, Report, Restored, ShardStart, Start};
use std::io;
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

/// Journals that wait for their threads.
pub struct Store {
    flushers: Vec<(ShardId, Flusher<OsDisk>, Arc<Link>)>,
    restored: Arc<Restored>,
}

/// Threads that write journals.
#[derive(Default)]
pub struct Writers {
    threads: Vec<(Arc<Link>, JoinHandle<()>)>,
}

/// The process ends with this code when a disk fails: EX_IOERR of sysexits.h.
pub const DISK_FAILED: i32 = 74;

impl Store {
    /// Reads what the last process left in the folder.
    pub fn open(
        dir: &Path,
        config: JournalConfig,
        shards: u16,
        budget: &Arc<Budget>,
        access: Access,
    ) -> Result<(Store, Vec<ShardStart>), String> {
        let folder = dir.display();
        let disk = OsDisk::new(dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => format!("another server uses the data folder {folder}"),
            _ => format!("cannot use the data folder {folder}: {error}"),
        })?;
        let failed = |error: io::Error| format!("cannot read the data folder {folder}: {error}");
        let journals = restart::journals(&disk).map_err(failed)?;
        let logs = thread::scope(|scope| {
            let read = |shard| {
                let pages = || Pages::new(budget.clone());
                restart::read_shard(&disk, &journals, ShardId(shard), shards, pages)
            };
            let threads: Vec<_> = (0..shards).map(|shard| scope.spawn(move || read(shard))).collect();
            let logs = threads.into_iter().map(|thread| thread.join().expect("a panic ends the process"));
            logs.collect::<io::Result<Vec<_>>>()
        });
        let random = || getrandom::u64().expect("the kernel has random numbers");
        let start = restart::start(&disk, config, access, logs.map_err(failed)?, random)
            .map_err(|failure| format!("the data folder {folder}: {failure}"))?;
        let Start { shards, flushers, reports, restored } = start;
        reports.iter().for_each(log_report);
        for kept_out in &restored.kept_out {
            tracing::error!(
                what = kept_out.what,
                why = kept_out.why,
                "not restored, and left in the journal"
            );
        }
        Ok((Store { flushers, restored }, shards))
    }

    /// Nobody has used the folder yet.
    pub fn is_new(&self) -> bool {
        self.restored.is_blank
    }

    /// Users are to be made, as there never were any. Where something was lost, it may have been they.
    pub fn lacks_users(&self) -> bool {
        !self.restored.knows_users && self.restored.kept_out.is_empty()
    }

    /// Starts the threads that write. They ring the bells of their shards.
    pub fn write(self, common: &Common) -> io::Result<Writers> {
        let threads = self.flushers.into_iter().enumerate().map(|(index, (shard, flusher, link))| {
            let bells = common.bells.clone();
            let run = move || flusher::run(flusher, || bells[shard.index()].ring(), disk_failed);
            let thread = thread::Builder::new().name(format!("journal-{index}")).spawn(run)?;
            Ok((link, thread))
        });
        Ok(Writers { threads: threads.collect::<io::Result<_>>()? })
    }
}

impl Writers {
    /// What was handed on is written and synced.
    pub fn stop(self) {
        self.threads.iter().for_each(|(link, _)| link.stop());
        for (_, thread) in self.threads {
            // A panic has ended the process by now.
            let _ = thread.join();
        }
    }
}

/// Nanoseconds since 1970.
pub fn wall_ns() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
}

/// After a failed write or sync nobody knows what is on disk, and asking again may be answered wrongly: only a start that
/// reads it anew can tell.
fn disk_failed(failure: Failure) {
    tracing::error!("the disk failed, and the server stops: {failure}");
    exit(DISK_FAILED);
}

fn log_report(report: &Report) {
    let Report { dir, scan, senseless, set_aside } = report;
    let records: u64 = scan.segments.iter().map(|segment| segment.records).sum();
    tracing::info!(dir, segments = scan.segments.len(), records, "journal read");
    if let Some(cut) = scan.cut {
        tracing::info!(dir, at = %cut, "the last write was not complete; nobody was told that it was");
    }
    for damage in &scan.damage {
        tracing::error!(dir, from = %damage.from, to = %damage.to, what = ?damage.what, "damage in the journal: left out");
    }
    set_aside.iter().for_each(|path| tracing::error!(dir, path, "what is damaged was copied"));
    if *senseless > 0 {
        tracing::warn!(dir, records = senseless, "records of what is not there were left out");
    }
    scan.unbegun
        .iter()
        .for_each(|name| tracing::info!(dir, name, "a segment that was not begun is passed by"));
    scan.foreign.iter().for_each(|name| tracing::warn!(dir, name, "a file that is not ours was left alone"));
}
