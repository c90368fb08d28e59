//! What must be in the queues, what may be, and what must not, after all that clients did and were told.
//!
//! ```text
//! logs of a round -> killed -> stands: must, may -> judge(found) -> faults; from then on what was found must stay
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::body::Id;
use crate::consumer::{self, How, Settled};
use crate::inspector::Found;
use crate::judge;
use crate::names::{self, NamesLog};
use crate::plan::{BRIEF, DEAD, OS, QUEUES, QueueIndex, ROUTES, Rule};
use crate::publisher::{Fate, Log, Sent};
use crate::transactor::{Transaction, TxLog};

/// All that clients of one server did, and when it ended.
#[derive(Clone)]
pub struct Round {
    /// By number of the client.
    pub logs: Vec<(u16, TxLog)>,
    pub consumed: Vec<consumer::Log>,
    pub names: NamesLog,
    pub ended: Instant,
    pub ending: Ending,
    pub shards: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By kill -9.
    Killed,
    /// In order.
    Stopped,
    /// With the power of the machine.
    PowerCut,
}

/// A message in a queue.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stand {
    /// It must be there, unless something else is said here.
    pub must: bool,
    /// Somebody may have settled it.
    pub settled: bool,
    /// It was rejected: it, or its letter.
    pub rejected: bool,
    /// Somebody has seen it.
    pub seen: bool,
    /// When it was acknowledged, or seen to be gone: soon it cannot come back.
    left: Option<Instant>,
}

/// A message that is or was in the queue of dead letters.
#[derive(Clone, Default, Debug)]
pub struct Letter {
    /// How often it may have been sent there.
    pub sent: u32,
    /// Copies that must be there.
    pub here: u32,
    /// Copies that were acknowledged and cannot come back.
    pub gone: u32,
    /// Copies that were acknowledged not long ago.
    leaving: Vec<Instant>,
}

/// A commit without an answer, and where it can be seen whether it counts.
pub struct OpenCommit {
    pub client: u16,
    /// Per queue: what is there if it counts, and what is there if it does not.
    pub published: Vec<(QueueIndex, Id)>,
    pub acked: Vec<(QueueIndex, Id)>,
    /// It counts for all queues or for none.
    pub is_one: bool,
}

#[derive(Default)]
pub struct Book {
    /// By queue.
    pub stands: Vec<BTreeMap<Id, Stand>>,
    pub letters: BTreeMap<Id, Letter>,
    pub open: Vec<OpenCommit>,
    /// By number of the client.
    pub sent: BTreeMap<u16, Vec<Sent>>,
    pub ending: Option<Ending>,
}

impl Round {
    /// The same if the power was cut, not long after `at`: what was heard by then was promised, all else may be so or not.
    pub fn cut(&self, at: Instant) -> Round {
        let mut round = Round { ended: at, ending: Ending::PowerCut, ..self.clone() };
        let is_late = |heard: Option<Instant>| heard.is_some_and(|heard| heard > at);
        for (_, TxLog { log, commits }) in &mut round.logs {
            let late = log.sent.iter_mut().filter(|it| it.fate == Fate::Confirmed && is_late(it.heard));
            late.for_each(|sent| sent.fate = Fate::Unknown);
            commits.iter_mut().filter(|it| is_late(it.heard)).for_each(|commit| commit.heard = None);
        }
        let NamesLog { oks, placed, .. } = &mut round.names;
        oks.retain(|heard| *heard <= at);
        let open = placed.iter_mut().filter(|it| is_late(it.heard) || it.queue == names::OS);
        open.for_each(|placed| placed.fate = Fate::Unknown);
        round
    }
}

/// A server records what consumers settle after 50 ms at the latest, and writes it as soon as the write before is done.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

impl Book {
    pub fn new() -> Book {
        Book { stands: QUEUES.iter().map(|_| BTreeMap::new()).collect(), ..Book::default() }
    }

    /// The server ended, after all this.
    pub fn ended(&mut self, round: Round) {
        let slowest = round.logs.iter().map(|(_, log)| log.log.slowest).max().unwrap_or_default();
        let sure = |at: Instant| round.ended.saturating_duration_since(at) > SETTLED_AFTER + slowest;
        // What was acknowledged before a connection closed in order is known to a server that stops in order.
        let is_stopped = round.ending == Ending::Stopped;
        self.let_go(|queue, at| sure(at) || is_stopped && queue != BRIEF);
        self.ending = Some(round.ending);
        for (client, log) in &round.logs {
            self.publish(*client, &log.log);
        }
        for (queue, id) in round.consumed.iter().flat_map(|log| &log.seen) {
            if let Some(stand) = self.stands[*queue].get_mut(id) {
                stand.seen = true;
            }
        }
        for settled in round.consumed.iter().flat_map(|log| &log.settled) {
            self.settle(settled, sure(settled.at));
        }
        let commits = || {
            let all = round.logs.iter();
            all.flat_map(|(client, log)| log.commits.iter().map(move |commit| (*client, commit)))
        };
        let (done, open): (Vec<_>, Vec<_>) = commits().partition(|(_, commit)| commit.heard.is_some());
        for (queue, id) in done.iter().flat_map(|(_, commit)| &commit.acked) {
            self.take(*queue, id);
        }
        self.open = open.iter().map(|(client, commit)| self.acks_of(*client, commit)).collect();
        for (open, (_, transaction)) in self.open.iter_mut().zip(open) {
            open.is_one = round.shards == 1;
            open.published = places(&self.stands, open.client, transaction);
        }
        self.sent.extend(round.logs.into_iter().map(|(client, log)| (client, log.log.sent)));
        self.started();
    }

    /// A server starts on what there is: what expires may do so once more.
    pub fn started(&mut self) {
        for id in self.stands[BRIEF].keys() {
            self.letters.entry(*id).or_default().sent += 1;
        }
    }

    /// Compares that with what was found; what was found is there from then on. Answers what is wrong.
    pub fn judge(&mut self, found: &[Vec<Found>]) -> Vec<String> {
        let faults = judge::judge(self, found);
        let now = Instant::now();
        for (queue, found) in found.iter().enumerate().filter(|(queue, _)| *queue != DEAD) {
            let before = std::mem::take(&mut self.stands[queue]);
            let stands = &mut self.stands[queue];
            if queue == BRIEF {
                // Each may have just become a letter, which is told the journal later.
                let left = |(id, stand)| (id, Stand { must: false, settled: true, left: Some(now), ..stand });
                stands.extend(before.into_iter().map(left));
            }
            stands
                .extend(found.iter().map(|it| (it.id, Stand { must: true, seen: true, ..Stand::default() })));
        }
        let count = judge::count(&found[DEAD]);
        for (id, letter) in &mut self.letters {
            letter.found(count.get(id).map_or(0, |(all, _)| *all));
        }
        self.open.clear();
        faults
    }

    /// Whether these letters are all that must have come, or are to come.
    pub fn has_all_letters(&self, found: &[Vec<Found>], letters: &[Found]) -> bool {
        judge::lost_letters(self, found, letters).is_empty()
    }

    /// Somebody acknowledged what was found.
    pub fn acknowledged(&mut self, queue: QueueIndex, id: Id) {
        let now = Instant::now();
        if queue != DEAD {
            if let Some(stand) = self.stands[queue].get_mut(&id) {
                stand.left = Some(now);
            }
        } else if let Some(letter) = self.letters.get_mut(&id) {
            letter.here -= 1;
            letter.leaving.push(now);
        }
    }

    /// What was acknowledged long enough ago does not come back.
    fn let_go(&mut self, sure: impl Fn(QueueIndex, Instant) -> bool) {
        for (queue, stands) in self.stands.iter_mut().enumerate() {
            stands.retain(|_, stand| !stand.left.is_some_and(|at| sure(queue, at)));
            for stand in stands.values_mut().filter(|stand| stand.left.is_some()) {
                (stand.must, stand.settled) = (false, true);
            }
        }
        for letter in self.letters.values_mut() {
            let before = letter.leaving.len();
            letter.leaving.retain(|at| !sure(DEAD, *at));
            letter.gone += (before - letter.leaving.len()) as u32;
        }
    }

    fn publish(&mut self, client: u16, log: &Log) {
        for (number, sent) in log.sent.iter().enumerate() {
            let id = Id { client, number: number as u32 };
            if !sent.style.persistent || matches!(sent.fate, Fate::Refused | Fate::Dropped) {
                continue;
            }
            for &queue in ROUTES[sent.route as usize].queues {
                let must = sent.fate == Fate::Confirmed && self.keeps(queue);
                if QUEUES[queue].rule != Rule::End {
                    self.stands[queue].insert(id, Stand { must, ..Stand::default() });
                }
                if QUEUES[queue].rule == Rule::Expire {
                    self.letters.entry(id).or_default().sent += 1;
                }
            }
        }
    }

    /// What was promised of it outlives what ended.
    fn keeps(&self, queue: QueueIndex) -> bool {
        self.ending != Some(Ending::PowerCut) || !OS.contains(&queue)
    }

    /// It was acknowledged, and that was promised.
    fn take(&mut self, queue: QueueIndex, id: &Id) {
        if self.keeps(queue) {
            self.stands[queue].remove(id);
        } else if let Some(stand) = self.stands[queue].get_mut(id) {
            (stand.must, stand.settled) = (false, true);
        }
    }

    fn settle(&mut self, settled: &Settled, is_sure: bool) {
        let Settled { queue, id, how, .. } = *settled;
        let Some(stand) = self.stands[queue].get_mut(&id) else { return };
        match how {
            How::Rejected => {
                stand.rejected = true;
                self.letters.entry(id).or_default().sent += 1;
            }
            How::Done if is_sure => {
                self.stands[queue].remove(&id);
            }
            How::Done => stand.settled = true,
        }
    }

    /// Whether they count is open.
    fn acks_of(&mut self, client: u16, open: &Transaction) -> OpenCommit {
        let mut acked = Vec::new();
        for (queue, id) in &open.acked {
            let Some(stand) = self.stands[*queue].get_mut(id) else { continue };
            if stand.must && !stand.settled {
                acked.push((*queue, *id));
            }
            (stand.must, stand.settled) = (false, true);
        }
        OpenCommit { client, published: Vec::new(), acked, is_one: false }
    }
}

impl Letter {
    /// So many copies are there. Others that were acknowledged a while before the crash are gone; those that are more may be
    /// among these.
    fn found(&mut self, copies: u32) {
        let more = copies.saturating_sub(self.here) as usize;
        self.gone += self.leaving.len().saturating_sub(more) as u32;
        self.leaving.clear();
        self.here = copies;
    }

    /// Some copy was acknowledged.
    pub fn is_settled(&self) -> bool {
        self.gone > 0 || !self.leaving.is_empty()
    }
}

/// Where the messages of a transaction went, as far as nobody takes them away.
fn places(stands: &[BTreeMap<Id, Stand>], client: u16, transaction: &Transaction) -> Vec<(QueueIndex, Id)> {
    let shows = |queue: QueueIndex| {
        !QUEUES[queue].consumed && matches!(QUEUES[queue].rule, Rule::Stay | Rule::Urgent)
    };
    let ids = transaction.published.clone().map(|number| Id { client, number: number as u32 });
    let places = ids.flat_map(|id| (0..QUEUES.len()).map(move |queue| (queue, id)));
    let is_there = |queue: QueueIndex, id: &Id| stands[queue].get(id).is_some_and(|stand| !stand.settled);
    places.filter(|(queue, id)| shows(*queue) && is_there(*queue, id)).collect()
}
