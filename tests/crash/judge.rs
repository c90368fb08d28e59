//! Finds what is wrong with what was found.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::Id;
use crate::book::{Book, Ending, Letter, OpenCommit, Stand};
use crate::inspector::Found;
use crate::plan::{BANK, BRIEF, DEAD, QUEUES, QueueIndex, Rule};

/// `found` is by queue.
pub fn judge(book: &Book, found: &[Vec<Found>]) -> Vec<String> {
    let mut faults = Vec::new();
    for (queue, found) in found.iter().enumerate().filter(|(queue, _)| *queue != DEAD) {
        let looked = Looked { book, queue, stands: &book.stands[queue], found, ids: ids(found) };
        faults.extend(looked.strangers());
        faults.extend(looked.missing());
        faults.extend(looked.gaps());
        faults.extend(looked.disorder());
        faults.extend(looked.wrong_marks());
    }
    faults.extend(lost_letters(book, found, &found[DEAD]));
    faults.extend(strange_letters(book, &found[DEAD]));
    faults.extend(book.open.iter().filter_map(|open| half_commit(open, found)));
    faults
}

struct Looked<'a> {
    book: &'a Book,
    queue: QueueIndex,
    stands: &'a BTreeMap<Id, Stand>,
    found: &'a [Found],
    ids: BTreeSet<Id>,
}

impl Looked<'_> {
    /// What must not be there, or is there twice.
    fn strangers(&self) -> Vec<String> {
        let name = QUEUES[self.queue].name;
        let unknown = self.found.iter().filter(|it| !self.stands.contains_key(&it.id));
        let mut faults: Vec<String> =
            unknown.map(|it| format!("{name} has {}, which must not be there", self.tell(it.id))).collect();
        if self.ids.len() != self.found.len() {
            let mut seen = BTreeSet::new();
            let twice: Vec<Id> = self.found.iter().map(|it| it.id).filter(|id| !seen.insert(*id)).collect();
            faults.push(format!("{name} has some twice: {}", self.tell_all(&twice)));
        }
        faults
    }

    /// What must be there and is not.
    fn missing(&self) -> Vec<String> {
        let rule = QUEUES[self.queue].rule;
        let is_full = matches!(rule, Rule::Drop(max) if self.found.len() >= max);
        // Of those that expire or were rejected there may be a letter instead.
        let excused = |stand: &Stand| stand.settled || stand.rejected || is_full || rule == Rule::Expire;
        let missing =
            self.stands.iter().filter(|(id, stand)| stand.must && !excused(stand) && !self.ids.contains(id));
        let missing: Vec<Id> = missing.map(|(id, _)| *id).collect();
        let name = QUEUES[self.queue].name;
        if missing.is_empty() {
            return Vec::new();
        }
        vec![format!("{name} lacks what was promised: {}", self.tell_all(&missing))]
    }

    /// Of what one channel sent here, nothing is missing in front of what is there; of a queue that drops its oldest, what is
    /// there lies together, and nothing that was promised is missing behind it.
    fn gaps(&self) -> Vec<String> {
        let rule = QUEUES[self.queue].rule;
        if rule == Rule::Expire {
            return Vec::new();
        }
        let mut clients: BTreeMap<u16, Vec<(Id, &Stand)>> = BTreeMap::new();
        for (id, stand) in self.stands.iter().filter(|(_, stand)| !stand.settled && !stand.rejected) {
            clients.entry(id.client).or_default().push((*id, stand));
        }
        let mut faults = Vec::new();
        for sent in clients.values() {
            let is_here = |(id, _): &&(Id, &Stand)| self.ids.contains(id);
            let drops = matches!(rule, Rule::Drop(_));
            let first = if drops { sent.iter().position(|it| is_here(&it)).unwrap_or(sent.len()) } else { 0 };
            let mut behind = sent[first..].iter().skip_while(is_here);
            let Some((lost, _)) = behind.clone().next() else { continue };
            if let Some((there, _)) = behind.clone().find(is_here) {
                let name = QUEUES[self.queue].name;
                faults.push(format!("{name} has {}, but not {}", self.tell(*there), self.tell(*lost)));
            }
            if drops && let Some((lost, _)) = behind.find(|(_, stand)| stand.must) {
                faults.push(format!("the queue that drops its oldest dropped {}", self.tell(*lost)));
            }
        }
        faults
    }

    /// Each channel's messages are in the order in which they were published, by priority.
    fn disorder(&self) -> Vec<String> {
        let mut newest: BTreeMap<(u16, Option<u8>), Id> = BTreeMap::new();
        let mut faults = Vec::new();
        let has_priorities = QUEUES[self.queue].rule == Rule::Urgent;
        for it in self.found {
            let sent = self.book.sent.get(&it.id.client).and_then(|sent| sent.get(it.id.number as usize));
            let priority = sent.filter(|_| has_priorities).map(|sent| sent.style.priority.unwrap_or(0));
            let before = newest.insert((it.id.client, priority), it.id);
            if let Some(before) = before.filter(|before| *before >= it.id) {
                let name = QUEUES[self.queue].name;
                faults.push(format!("{name} has {} behind {}", self.tell(it.id), self.tell(before)));
            }
        }
        faults
    }

    /// After a crash each may have been delivered; after a stop it is known which were.
    fn wrong_marks(&self) -> Vec<String> {
        let is_known = !QUEUES[self.queue].consumed && !BANK.contains(&self.queue);
        let expected = |it: &Found| match self.book.ending {
            Some(Ending::Killed | Ending::PowerCut) => true,
            Some(Ending::Stopped) if is_known => self.stands.get(&it.id).map_or(it.redelivered, |it| it.seen),
            Some(Ending::Stopped) | None => it.redelivered,
        };
        let wrong = self.found.iter().filter(|it| it.redelivered != expected(it));
        let wrong: Vec<Id> = wrong.map(|it| it.id).collect();
        if wrong.is_empty() {
            return Vec::new();
        }
        let name = QUEUES[self.queue].name;
        vec![format!("{name} marks redelivered what was not, or not what was: {}", self.tell_all(&wrong))]
    }

    fn tell_all(&self, ids: &[Id]) -> String {
        let told: Vec<String> = ids.iter().take(5).map(|id| self.tell(*id)).collect();
        format!("{} messages: {} ..", ids.len(), told.join("; "))
    }

    /// A message with what is known of it.
    fn tell(&self, id: Id) -> String {
        let sent = self.book.sent.get(&id.client).and_then(|sent| sent.get(id.number as usize));
        let sent = sent.map_or("never sent".to_owned(), |it| {
            let way = &crate::plan::ROUTES[it.route as usize];
            format!("{:?} by \"{}\" {} {:?}", it.fate, way.exchange, way.key, it.style)
        });
        format!("client {} number {} ({sent}; {:?})", id.client, id.number, self.stands.get(&id))
    }
}

/// What must be in its queue or among the dead letters and is nowhere, and letters that must be there and are not.
pub fn lost_letters(book: &Book, found: &[Vec<Found>], letters: &[Found]) -> Vec<String> {
    let count = count(letters);
    let mut faults = Vec::new();
    for (queue, stands) in book.stands.iter().enumerate() {
        let here = ids(&found[queue]);
        let owed = stands.iter().filter(|(_, it)| it.must && !it.settled && (queue == BRIEF || it.rejected));
        for (id, stand) in owed.filter(|(id, _)| !here.contains(id)) {
            let gone = book.letters.get(id).is_some_and(|letter| letter.is_settled());
            if !gone && !count.contains_key(id) {
                let name = QUEUES[queue].name;
                faults.push(format!("{id:?} is neither in {name} nor among the dead letters ({stand:?})"));
            }
        }
    }
    for (id, letter) in &book.letters {
        let there = count.get(id).map_or(0, |(all, _)| *all);
        if there < letter.here {
            faults.push(format!("{there} of {id:?} among the dead letters ({letter:?})"));
        }
    }
    faults
}

/// Letters that must not be there, or too often, and those that were there before and are not marked.
fn strange_letters(book: &Book, letters: &[Found]) -> Vec<String> {
    let mut faults = Vec::new();
    let none = Letter::default();
    for (id, (all, unmarked)) in count(letters) {
        let letter = book.letters.get(&id).unwrap_or(&none);
        if all + letter.gone > letter.sent {
            faults.push(format!("{all} of {id:?} are among the dead letters, too many ({letter:?})"));
        } else if unmarked > all.saturating_sub(letter.here) {
            faults.push(format!("{id:?} was among the dead letters before and is not marked ({letter:?})"));
        }
    }
    faults
}

/// A commit that nobody confirmed counts whole or not at all: in each queue, as queues of one shard share its fate; with one
/// shard, everywhere.
fn half_commit(open: &OpenCommit, found: &[Vec<Found>]) -> Option<String> {
    let mut outcomes: BTreeMap<QueueIndex, BTreeSet<bool>> = BTreeMap::new();
    for (queue, id) in &open.published {
        let counts = found[*queue].iter().any(|it| it.id == *id);
        outcomes.entry(*queue).or_default().insert(counts);
    }
    for (queue, id) in &open.acked {
        let counts = !found[*queue].iter().any(|it| it.id == *id);
        outcomes.entry(*queue).or_default().insert(counts);
    }
    let all: BTreeSet<bool> = outcomes.values().flatten().copied().collect();
    let is_half = outcomes.values().any(|outcome| outcome.len() > 1) || open.is_one && all.len() > 1;
    is_half.then(|| {
        let OpenCommit { client, published, acked, is_one } = open;
        let one = if *is_one { "one shard" } else { "several shards" };
        format!(
            "client {client}: a commit counts in part ({one}, {outcomes:?}; published {published:?}, acked {acked:?})"
        )
    })
}

/// By id: how many there are, and how many of them are not marked.
pub fn count(letters: &[Found]) -> BTreeMap<Id, (u32, u32)> {
    let mut count: BTreeMap<Id, (u32, u32)> = BTreeMap::new();
    for found in letters {
        let (all, unmarked) = count.entry(found.id).or_default();
        *all += 1;
        *unmarked += u32::from(!found.redelivered);
    }
    count
}

fn ids(found: &[Found]) -> BTreeSet<Id> {
    found.iter().map(|it| it.id).collect()
}
