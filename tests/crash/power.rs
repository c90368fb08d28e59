//! The power fails: whatever was promised by then is true on any disk that it may leave.
//!
//! ```text
//! server under load on a disk that is noted -> for each cut: image -> mount -> start -> look at everything, compare
//! ```
//! An image has all that was flushed before the cut, and of what was written since, any part. What was promised is what somebody
//! had heard when the log had no more entries than it has up to the cut. A load has many cuts. `HAREMQ_POWER_IMAGES=n` looks at so
//! many, `HAREMQ_POWER_FROM=n` begins with that load.

use std::array;
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::blocklog::{BlockLog, Cut};
use crate::book::{Ending, Round};
use crate::dice::Dice;
use crate::disk::{self, Disk, Mount, Scratch};
use crate::variable;
use crate::world::{Tally, World, tell};

const IMAGES: usize = 5;
const IMAGES_PER_LOAD: usize = 25;
const LIFE: Duration = Duration::from_secs(3);
/// So many flushes are looked at for one that has much to do.
const RISKS: usize = 16;
/// Of each publisher.
const MESSAGES_MAX: usize = 4_000;

#[test]
fn what_was_promised_is_true_after_a_power_cut() {
    if !disk::is_possible() {
        return;
    }
    let images: usize = variable("HAREMQ_POWER_IMAGES").unwrap_or(IMAGES);
    let from: u64 = variable("HAREMQ_POWER_FROM").unwrap_or(0);
    let (mut total, mut missing, mut at_risk) = (Tally::default(), 0, 0);
    for (seed, done) in (from..).zip((0..images).step_by(IMAGES_PER_LOAD)) {
        let run = Run::new(seed);
        let mut dice = Dice::new(seed);
        let count = IMAGES_PER_LOAD.min(images - done);
        let looks = (0..count).map(|part| run.look(run.draw(part, count, &mut dice), None, &mut dice));
        let (right, mut wrong): (Vec<_>, Vec<_>) = looks.partition(|looked| looked.faults.is_empty());
        // Only the first of these disks is kept.
        let wrong_count = wrong.len();
        wrong.truncate(1);
        if let Some(Looked { faults, kept, .. }) = wrong.first() {
            panic!("load {seed}: {wrong_count} of {count} disks are wrong: {:?}: {}", kept.cut, tell(faults));
        }
        for looked in right {
            total.add(&looked.tally);
            missing += looked.missing;
            at_risk += run.log.at_risk(looked.kept.cut);
        }
        run.forget(&mut dice);
    }
    println!("{images} images without {missing} of {at_risk} writes: {total:#?}");
    for (what, times, least) in [
        ("writes were at risk", at_risk, images.div_ceil(5)),
        ("messages were promised", total.confirmed, 500 * images),
        ("transactions were promised", total.commits, 10 * images),
        ("names were changed", total.changes, 10 * images),
        ("messages came back", total.found, 500 * images),
    ] {
        assert!(times >= least, "{what} only {times} times");
    }
}

/// A load, and all that its disk was told.
struct Run {
    seed: u64,
    log: BlockLog,
    /// When the log had at least so many entries.
    seen: Vec<(Instant, usize)>,
    round: Round,
    scratch: Scratch,
}

struct Looked<'a> {
    faults: Vec<String>,
    /// Writes that the image does not have, or not whole.
    missing: usize,
    tally: Tally,
    kept: Kept<'a>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let scratch = Scratch::new();
        let disk = Disk::new(&scratch.path);
        let mut world = World::new(seed, &disk.mount.point);
        let (mut broker, mut load) = world.begin();
        load.publish_up_to(MESSAGES_MAX);
        let (round, seen) = thread::scope(|scope| {
            let (stays, end) = channel();
            let watch = scope.spawn(|| disk.watch(end));
            let round = load.run(LIFE, world.shards, || {
                broker.kill();
                Ending::Killed
            });
            drop(stays);
            (round, watch.join().expect("it only looks"))
        });
        drop(broker);
        Run { seed, log: disk.end(), seen, round, scratch }
    }

    /// A cut in that part of the load: right behind a flush, right before one that has much to do (always in the first part), or
    /// anywhere.
    fn draw(&self, part: usize, parts: usize, dice: &mut Dice) -> Cut {
        let (first, last) = (self.seen[0].1, self.seen[self.seen.len() - 1].1);
        let length = (last - first) / parts;
        let mut at = || first + length * part + dice.roll(length);
        let ends: [usize; RISKS] = array::from_fn(|_| at());
        match dice.roll(4) {
            0 if part > 0 => self.log.cut(self.log.next_flush(ends[0])),
            1 if part > 0 => self.log.cut(ends[0]),
            _ => {
                let cuts = ends.map(|at| self.log.cut(self.log.next_flush(at) - 1));
                cuts.into_iter().max_by_key(|cut| self.log.at_risk(*cut)).expect("there are some")
            }
        }
    }

    /// Starts a server on a disk that such a cut may leave. Promised is what was heard when the log had at most the entries of
    /// `heard`, which is the cut if nothing else is said.
    fn look(&self, cut: Cut, heard: Option<usize>, dice: &mut Dice) -> Looked<'_> {
        let kept = Kept { log: &self.log, cut, dice: dice.clone() };
        let image = self.scratch.path.join("image");
        let missing = self.log.image(cut, dice, &image);
        let mount = Mount::new(&image, &self.scratch.path.join("mounted")).expect("ext4 survives it");
        // The one of the server before.
        let _ = fs::remove_file(mount.point.join("log"));
        let (at, _) = self.seen[self.seen.partition_point(|(_, seen)| *seen <= heard.unwrap_or(cut.end)) - 1];
        let mut world = World::new(self.seed, &mount.point);
        let faults = world.after(self.round.cut(at), dice.between(1, 3) as u16);
        Looked { faults, missing, tally: world.tally, kept }
    }

    /// A disk that keeps nothing from some flush on would be seen.
    fn forget(&self, dice: &mut Dice) {
        let early = self.draw(0, 2, dice).flushed;
        let cut = Cut { flushed: early, end: early };
        let looked = self.look(cut, Some(self.log.len()), dice);
        assert!(looked.faults.len() > 10, "{cut:?}: {}", tell(&looked.faults));
    }
}

/// The image of a look that failed, as it was.
struct Kept<'a> {
    log: &'a BlockLog,
    cut: Cut,
    dice: Dice,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = format!("power-{}-{}.ext4", std::process::id(), self.cut.end);
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            self.log.image(self.cut, &mut self.dice, &path);
            eprintln!("--- the disk stays: {}", path.display());
        }
    }
}
