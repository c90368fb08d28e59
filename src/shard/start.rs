//! Start and stop: one thread per shard, each a glommio executor with one `Shard` and the tasks around it.
//!
//! ```text
//!   per connection   woken by its socket: receive, run, drain, post, send     (serve)
//!   mesh             woken by the doorbell: new connections, rings, leftovers  (shell.poll_mesh)
//!   gate driver      woken when the turn's budget is spent: the reactor turns  (gate)
//!   clockwork        woken when a timer of a queue is due                      (shell.poll_due)
//!   beat             5 ms while busy, 20 ms while idle: deadlines, counters
//! ```
//! The beat also bounds a defect of glommio 0.9.0: an executor whose preemption timer fired before the first
//! task of a round ran goes to sleep with runnable tasks, until anything wakes it.

mod board;
mod counter;
mod found;
mod gate;
mod hasher;
mod inside;
mod published;
mod serve;
mod shell;
mod store;
mod turns;

pub use board::Board;
pub use counter::Counter;
pub use hasher::Hasher;
pub use published::{Published, Snapshot};
pub use store::{Store, wall_ns};

use crate::config::Config;
use crate::machine::MEMLOCK_ADVICE;
use crate::mesh::doorbell::Doorbell;
use crate::net::listener::Inbox;
use crate::shard::Shard;
use gate::Pass;
use glommio::timer::sleep;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use serve::Serve;
use shell::Shell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::Writers;

/// What the shards, the listener and the HTTP thread share. Each slice has an element per shard.
#[derive(Clone)]
pub struct Common {
    pub inboxes: Arc<[Inbox]>,
    pub counters: Arc<[Counter]>,
    pub bells: Arc<[Doorbell]>,
    pub published: Arc<[Published]>,
    pub stop: Arc<Stop>,
    /// What is for the log.
    pub board: Arc<Board>,
    pub hasher: Arc<Hasher>,
    pub config: Arc<Config>,
}

impl Common {
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let connections = self.inboxes.iter().map(|inbox| inbox.connections.load(Ordering::Relaxed));
        let shards = self.published.iter().zip(connections).enumerate();
        shards.map(|(index, (published, connections))| published.snapshot(index, connections)).collect()
    }

    /// A counter by its name, over all shards.
    pub fn counter(&self, name: &str) -> u64 {
        self.published.iter().map(|shard| shard.counter(name)).sum()
    }

    /// What came and went since the start, by RabbitMQ's names.
    pub fn churn(&self) -> [(&'static str, u64); 7] {
        let opened = self.counter("connections_opened");
        [
            ("connection_created", opened),
            ("connection_closed", opened.saturating_sub(self.counter("connections"))),
            ("channel_created", self.counter("channels_opened")),
            ("channel_closed", self.counter("channels_closed")),
            ("queue_declared", self.counter("queues_declared")),
            ("queue_created", self.counter("queues_created")),
            ("queue_deleted", self.counter("queues_deleted")),
        ]
    }
}

/// The end of the server, in phases that all shards reach together.
#[derive(Default)]
pub struct Stop {
    requested: AtomicBool,
    /// How many shards have no connection left, or gave up waiting for it.
    quiet: AtomicUsize,
    /// How many have drained their rings for the last time.
    drained: AtomicUsize,
}

impl Stop {
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}

/// The running threads.
pub struct Shards {
    pub common: Common,
    threads: Vec<ExecutorJoinHandle<()>>,
    writers: Writers,
    hashing: JoinHandle<()>,
}

/// glommio's registered buffers, in each of three rings, locked. They serve file I/O only; its default is 10 MiB.
const IO_MEMORY_BYTES: usize = 64 << 10;
const RING_DEPTH: usize = 256;

const BEAT_BUSY: Duration = Duration::from_millis(5);
/// Twice this is what an idle shard may sleep through, by the defect above; 5 ms would cost 1.5 % of a core.
const BEAT_IDLE: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(100);

/// From the request to stop: connections have this long to answer the close.
const CONNECTIONS_GONE: Duration = Duration::from_secs(3);
/// From the request to stop: the other shards have this long for theirs.
const PEERS_QUIET: Duration = Duration::from_secs(4);
/// From the request to stop: the journals have this long to be on disk.
const JOURNAL_DONE: Duration = Duration::from_millis(4_500);
/// How often a shard looks while it waits for either.
const STOP_POLL: Duration = Duration::from_millis(1);

impl Shards {
    /// Starts a thread per maker of a shard, and those that write their journals; `cores` pins the shards in turn, or is
    /// empty. Returns when all are up.
    pub fn start<M>(
        makers: Vec<M>,
        store: Store,
        bells: Arc<[Doorbell]>,
        cores: &[usize],
        config: Arc<Config>,
    ) -> Result<Self, String>
    where
        M: FnOnce() -> Shard + Send + 'static,
    {
        let count = makers.len();
        let common = Common {
            inboxes: (0..count).map(|_| Inbox::default()).collect(),
            counters: (0..count).map(|_| Counter::default()).collect(),
            bells,
            published: (0..count).map(|_| Published::default()).collect(),
            stop: Arc::default(),
            board: Arc::default(),
            hasher: Arc::new(Hasher::new(count)),
            config,
        };
        let writers = store.write(&common).map_err(|error| format!("a journal's thread: {error}"))?;
        let hashing = Hasher::start(common.clone());
        let hashing = hashing.map_err(|error| format!("the hashing thread: {error}"))?;
        let (up, ups) = channel();
        let spawn = |(index, make)| spawn(index, make, common.clone(), core(cores, index), up.clone());
        let threads = makers.into_iter().enumerate().map(spawn).collect::<Result<Vec<_>, _>>()?;
        drop(up);
        // A thread that dies without a word takes its sender with it.
        let heard: Vec<usize> = ups.iter().collect();
        if heard.len() == count {
            Ok(Shards { common, threads, writers, hashing })
        } else {
            Err(why_silent(threads, &heard))
        }
    }

    /// Closes every connection and ends the threads, by `PEERS_QUIET` and a little.
    pub fn stop(self) {
        self.common.stop.requested.store(true, Ordering::SeqCst);
        self.common.bells.iter().for_each(Doorbell::ring);
        for thread in self.threads {
            if let Err(error) = thread.join() {
                tracing::error!(%error, "a shard did not end well");
            }
        }
        self.writers.stop();
        self.common.hasher.wake();
        // A panic has ended the process by now.
        let _ = self.hashing.join();
    }
}

fn core(cores: &[usize], index: usize) -> Option<usize> {
    (!cores.is_empty()).then(|| cores[index % cores.len()])
}

fn spawn<M>(
    index: usize,
    make: M,
    common: Common,
    core: Option<usize>,
    up: Sender<usize>,
) -> Result<ExecutorJoinHandle<()>, String>
where
    M: FnOnce() -> Shard + Send + 'static,
{
    // The preemption timer keeps its default of 100 ms: shorter ones provoke the defect above.
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("shard-{index}"))
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(move || live(index, Rc::new(Shell::new(index, make(), common)), up))
        .map_err(|error| format!("shard {index}: {error}"))
}

/// Those that are up go on; the others have ended, and glommio's error comes by joining them.
fn why_silent(threads: Vec<ExecutorJoinHandle<()>>, heard: &[usize]) -> String {
    let silent = threads.into_iter().enumerate().filter(|(index, _)| !heard.contains(index));
    let errors = silent.map(|(index, thread)| match thread.join() {
        Ok(()) => format!("shard {index} ended at once"),
        Err(error) => format!("shard {index} could not start: {error}"),
    });
    // The usual reason on a machine that passed the preflight.
    let errors = errors.collect::<Vec<_>>().join("; ");
    format!("{errors}; if it is memory that may not be locked, have fewer shards or {MEMLOCK_ADVICE}")
}

async fn live(index: usize, shell: Rc<Shell>, up: Sender<usize>) {
    let driver = shell.clone();
    glommio::spawn_local(async move { driver.gate.drive(&driver.published().turns).await }).detach();
    shell.tell_time();
    glommio::spawn_local(beat(shell.clone())).detach();
    let clockwork = shell.clone();
    glommio::spawn_local(poll_fn(move |cx| clockwork.poll_due(cx))).detach();
    shell.published().set_up(true);
    // Nobody listens any more if another shard failed.
    let _ = up.send(index);
    drop(up);
    let queue = glommio::executor().current_task_queue();
    let take = |accepted| {
        if let Some(serve) = Serve::new(shell.clone(), accepted) {
            let task = glommio::spawn_local_into(serve, queue);
            task.expect("the queue of a running task exists").detach();
        }
    };
    let mut pass = Pass::default();
    poll_fn(|cx| shell.poll_mesh(&mut pass, cx, take)).await;
    wind_down(&shell).await;
}

async fn beat(shell: Rc<Shell>) {
    let mut ticked = Instant::now();
    loop {
        sleep(if shell.beat() { BEAT_BUSY } else { BEAT_IDLE }).await;
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            shell.tick();
        }
    }
}

/// DESIGN.md 12, rule 20: a barrier after each phase, with a deadline, so that nothing is left in a ring.
async fn wind_down(shell: &Shell) {
    let began = Instant::now();
    shell.published().set_up(false);
    shell.shut_down();
    settle_until(shell, began + CONNECTIONS_GONE, || shell.connections() == 0).await;
    shell.cut_all();
    barrier(shell, &shell.common.stop.quiet, began + PEERS_QUIET).await;
    shell.settle(shell.gate.now());
    barrier(shell, &shell.common.stop.drained, began + PEERS_QUIET).await;
    shell.close_journal();
    settle_until(shell, began + JOURNAL_DONE, || shell.is_journal_done()).await;
    shell.publish();
}

async fn barrier(shell: &Shell, reached: &AtomicUsize, deadline: Instant) {
    reached.fetch_add(1, Ordering::SeqCst);
    let all = shell.common.published.len();
    settle_until(shell, deadline, || reached.load(Ordering::SeqCst) == all).await;
}

/// The rings are drained on, because another shard may wait for room in them.
async fn settle_until(shell: &Shell, deadline: Instant, done: impl Fn() -> bool) {
    while !done() && Instant::now() < deadline {
        shell.settle(shell.gate.now());
        sleep(STOP_POLL).await;
    }
}
