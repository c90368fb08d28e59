//! Dead letters: each is a publication of its own, whose way and whose headers follow from what happened before.
//!
//! ```text
//! a copy dies -> letter (exchange and key of its queue, one death more) -> copies in the queues that it has a way to
//! ```
//! A letter is known when it must exist, or when a client reads one that may.

use haremq::amqp::{ArrayWriter, Properties, Table, TableWriter, Value};
use haremq::death::Reason;

use super::*;
use crate::letter;

/// What happened to a letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The message that it was at first.
    pub number: PublicationIx,
    /// What it was until it died, and where that was.
    pub parent: PublicationIx,
    pub queue: QueueIx,
    pub reason: Reason,
    /// One for each queue and reason, the latest first.
    pub deaths: Vec<Death>,
    /// Exchange, queue and reason of the first death of all.
    pub first: (&'static str, QueueIx, Reason),
    /// Somebody read it.
    pub seen: bool,
}

#[derive(Clone, Debug)]
pub struct Death {
    pub queue: QueueIx,
    pub reason: Reason,
    pub count: i64,
    exchange: &'static str,
    key: Vec<u8>,
    expiration_ms: Option<u64>,
}

/// What tells letters from one another: number, first death, and all deaths with their counts.
pub type Inscription = (PublicationIx, Mark, Vec<(Mark, i64)>);
/// A queue, and the name of a reason.
type Mark = (QueueIx, &'static str);

impl Oracle {
    /// Which letter has these headers; one that was not known to exist comes to be, if it may.
    pub(super) fn letter_with(
        &mut self,
        number: PublicationIx,
        headers: Table<'_>,
    ) -> Verdict<PublicationIx> {
        let list = headers.find(b"x-death").and_then(|list| list.as_array()).unwrap_or_default();
        let mut deaths = Vec::new();
        for entry in list.iter().filter_map(|entry| entry.as_table()) {
            let count = entry.find(b"count").and_then(|count| count.as_integer()).unwrap_or(0);
            deaths.push((self.mark(&entry, "queue", "reason")?, count));
        }
        let first = self.mark(&headers, "x-first-death-queue", "x-first-death-reason")?;
        let at = self.find_or_make((number, first, deaths))?;
        if let Some(letter) = &mut self.publications[at].letter {
            letter.seen = true;
        }
        Ok(at)
    }

    fn mark(&self, table: &Table<'_>, queue: &str, reason: &str) -> Verdict<Mark> {
        let text =
            |name: &str| table.find(name.as_bytes()).and_then(|text| text.as_str()).unwrap_or_default();
        // A server may give a name that one before it gave.
        let queue = self.queues.iter().rposition(|record| record.name == text(queue));
        let reason = REASONS.into_iter().find(|known| known.name().as_bytes() == text(reason));
        match (queue, reason) {
            (Some(queue), Some(reason)) => Ok((queue, reason.name())),
            _ => violation("a death in no queue, or of no reason"),
        }
    }

    fn find_or_make(&mut self, inscription: Inscription) -> Verdict<PublicationIx> {
        if let Some(&known) = self.letters.get(&inscription) {
            return Ok(known);
        }
        let (number, first, deaths) = inscription;
        let Some(((queue, reason), count)) = deaths.first().copied() else {
            return violation("a letter without a death");
        };
        let reason =
            REASONS.into_iter().find(|known| known.name() == reason).expect("it was read from there");
        let rest = &deaths[1..];
        if count == 1 && rest.is_empty() {
            if first != (queue, reason.name()) {
                return violation("the first death of a letter is not the only one");
            }
            return self.make_from(number, queue, reason);
        }
        // Where it stood among the others when it was one less is not written.
        let before: Vec<Vec<(Mark, i64)>> = if count == 1 {
            vec![rest.to_vec()]
        } else {
            let again = ((queue, reason.name()), count - 1);
            (0..=rest.len()).map(|at| [&rest[..at], &[again], &rest[at..]].concat()).collect()
        };
        let mut why = violation("a letter with a count of none");
        for deaths in before.into_iter().filter(|_| count > 0) {
            why = match self.find_or_make((number, first, deaths)) {
                Ok(parent) => match self.make_from(parent, queue, reason) {
                    Ok(letter) => return Ok(letter),
                    Err(text) => Err(text),
                },
                Err(text) => Err(text),
            };
        }
        why
    }

    fn make_from(&mut self, parent: PublicationIx, queue: QueueIx, reason: Reason) -> Verdict<PublicationIx> {
        self.may_die(parent, queue, reason)?;
        let before = self.queues[queue].copies.get(&parent).cloned();
        let dies_now =
            before.as_ref().is_some_and(|copy| self.may_die_now(parent, queue, copy, reason).is_ok());
        let Some(letter) = self.bury(parent, queue, reason) else {
            return violation(format!("a letter of {}, whose dead go nowhere", self.name(queue)));
        };
        // The letter was safe when the server ended, and that its parent was done with may not have been.
        let from_before = |copy: &Copy| match copy.state {
            CopyState::Ready if copy.since <= self.crashed_at => true,
            CopyState::Ready | CopyState::Held(_) | CopyState::Acking(_) => copy.may_have_died_by(reason),
            CopyState::Gone => false,
        };
        if let Some(before) = before.filter(from_before) {
            let sure = before.sure && !dies_now;
            let maybe_gone = before.maybe_gone || dies_now;
            let copy = Copy { sure, maybe_gone, letter: Some(letter), ..before };
            self.queues[queue].copies.insert(parent, copy);
        }
        Ok(letter)
    }

    /// It dies; the answer is what it becomes, if its queue has a place for the dead.
    pub(super) fn bury(
        &mut self,
        message: PublicationIx,
        queue: QueueIx,
        reason: Reason,
    ) -> Option<PublicationIx> {
        let (now, published) = (self.time, self.publications[message].at);
        let letter = self.letter_of(message, queue, reason);
        let doubled =
            self.publications[message].doubled || self.crashed_at > 0 && published <= self.crashed_at;
        let copy = self.queues[queue].copies.entry(message).or_insert(Copy::new(
            CopyState::Ready,
            published,
            Arrived::NotYet,
        ));
        // When it is known to be gone says nothing of when it died.
        let since = if copy.state == CopyState::Gone { published } else { copy.since };
        let given_ns = copy.given_ns;
        (copy.state, copy.since, copy.died, copy.sure) = (CopyState::Gone, now, true, true);
        let letter = letter?;
        let inscription = letter.inscription();
        if let Some(&known) = self.letters.get(&inscription) {
            // Its parent has died before the end of the server, and behind it again.
            self.publications[known].doubled = true;
            if let Some(copy) = self.queues[queue].copies.get_mut(&message) {
                copy.letter = Some(known);
            }
            return Some(known);
        }
        let parent = &self.publications[message];
        let ttl = self.queues[queue].rules.ttl_ns(parent.expiration_ms).filter(|_| reason == Reason::Expired);
        let graveyard = self.queues[queue].rules.graveyard.clone()?;
        let at = self.publications.len();
        self.publications.push(Publication {
            exchange: graveyard.exchange,
            key: graveyard.key.unwrap_or_else(|| parent.key.clone()),
            mandatory: false,
            channel: NOBODY,
            len: parent.len,
            priority: parent.priority,
            expiration_ms: None,
            persistent: parent.persistent,
            letter: Some(Box::new(letter)),
            at: if reason == Reason::MaxLength { parent.at } else { since.max(parent.at) },
            at_ns: (parent.at_ns + ttl.unwrap_or(0)).max(given_ns),
            state: Routing::Written,
            returned: false,
            held: false,
            seqno: None,
            confirmed: false,
            acked: false,
            doubled,
        });
        if let Some(copy) = self.queues[queue].copies.get_mut(&message) {
            copy.letter = Some(at);
        }
        self.letters.insert(inscription, at);
        Some(at)
    }

    fn letter_of(&self, message: PublicationIx, queue: QueueIx, reason: Reason) -> Option<Letter> {
        self.queues[queue].rules.graveyard.as_ref()?;
        let parent = &self.publications[message];
        let (number, first, mut deaths) = match parent.letter.as_deref() {
            Some(before) => (before.number, before.first, before.deaths.clone()),
            None => (message, (parent.exchange, queue, reason), Vec::new()),
        };
        let same = deaths.iter().position(|death| death.queue == queue && death.reason == reason);
        let death = match same {
            Some(at) => {
                let before = deaths.remove(at);
                Death { count: before.count + 1, ..before }
            }
            None => Death {
                queue,
                reason,
                count: 1,
                exchange: parent.exchange,
                key: parent.key.clone(),
                expiration_ms: parent.expiration_ms,
            },
        };
        deaths.insert(0, death);
        Some(Letter { number, parent: message, queue, reason, deaths, first, seen: false })
    }

    /// Letters that exist come to where they surely have a way to; at rest.
    pub(super) fn letters_arrive(&mut self) -> Verdict {
        for at in 0..self.publications.len() {
            let Some(letter) = &self.publications[at].letter else { continue };
            if matches!(self.publications[at].state, Routing::Done(_)) {
                continue;
            }
            if letter.seen || self.queues[letter.queue].fact.is_sure() {
                self.tally.letters_sure += 1;
                self.place(at)?;
            } else {
                self.publications[at].state = Routing::Done(self.time);
            }
        }
        Ok(())
    }

    /// Whether it came through that queue since it was last rejected.
    pub(super) fn is_cyclic(&self, message: PublicationIx, queue: QueueIx) -> bool {
        let deaths = self.publications[message].letter.iter().flat_map(|letter| &letter.deaths);
        let mut automatic = deaths.take_while(|death| death.reason != Reason::Rejected);
        automatic.any(|death| death.queue == queue)
    }

    /// Whether letters may come to that queue, of which nobody knows how many.
    pub(super) fn may_get_letters(&self, queue: QueueIx) -> bool {
        let record = &self.queues[queue];
        let graveyards = self.queues.iter().filter_map(|other| other.rules.graveyard.as_ref());
        graveyards.into_iter().any(|to| {
            if to.exchange.is_empty() {
                to.key.as_ref().is_none_or(|key| *key == record.name)
            } else {
                record.bindings.iter().any(|&at| self.bindings[at].exchange == to.exchange)
            }
        })
    }

    /// For people to read.
    pub(super) fn describe(&self, message: PublicationIx) -> String {
        let publication = &self.publications[message];
        let Some(letter) = &publication.letter else { return format!("message {message}") };
        let (parent, reason) = (self.describe(letter.parent), letter.reason.name());
        let to = format!("{:?} {:?}", publication.exchange, String::from_utf8_lossy(&publication.key));
        format!("letter {message} to {to} ({parent}, {reason} in {})", self.name(letter.queue))
    }

    /// Its properties as a client reads them. What a letter says of times is taken as it is: `as_read` has them.
    pub(super) fn properties_of(&self, message: PublicationIx, as_read: Table<'_>) -> Vec<u8> {
        let publication = &self.publications[message];
        let Some(death) = &publication.letter else { return self.own_properties(message) };
        let own = self.own_properties(death.number);
        let own = Properties::decode(&own).expect("properties that we wrote").without_expiration();
        let own = Properties::decode(&own).expect("properties that we wrote");
        let ours = self.death_headers(death, &times(as_read));
        let ours = Table::decode(&ours).expect("a table that we wrote");
        own.with_headers(&own.headers().unwrap_or_default().overlaid(ours))
    }

    fn own_properties(&self, number: PublicationIx) -> Vec<u8> {
        let publication = &self.publications[number];
        let &Publication { priority, expiration_ms, persistent, .. } = publication;
        let style = Style { priority, expiration_ms, persistent };
        letter::properties(number as u64, publication.len, style)
    }

    fn death_headers(&self, letter: &Letter, times: &[u64]) -> Vec<u8> {
        let name = |queue: QueueIx| &self.queues[queue].name;
        let (exchange, queue, reason) = letter.first;
        let list = |array: ArrayWriter| {
            letter.deaths.iter().enumerate().fold(array, |array, (at, death)| {
                let time = times.get(at).copied().unwrap_or_default();
                array.table(|table| self.death_entry(death, time, table))
            })
        };
        TableWriter::new()
            .string("x-first-death-exchange", exchange)
            .string("x-first-death-queue", name(queue))
            .string("x-first-death-reason", reason.name())
            .string("x-last-death-exchange", self.publications[letter.parent].exchange)
            .string("x-last-death-queue", name(letter.queue))
            .string("x-last-death-reason", letter.reason.name())
            .array("x-death", list)
            .finish()
    }

    fn death_entry(&self, death: &Death, time: u64, mut table: TableWriter) -> TableWriter {
        if let Some(ms) = death.expiration_ms {
            table = table.string("original-expiration", ms.to_string());
        }
        table
            .i64("count", death.count)
            .string("reason", death.reason.name())
            .string("queue", &self.queues[death.queue].name)
            .timestamp("time", time)
            .string("exchange", death.exchange)
            .array("routing-keys", |array| array.string(&death.key))
    }
}

impl Letter {
    fn inscription(&self) -> Inscription {
        let (_, queue, reason) = self.first;
        let deaths = self.deaths.iter().map(|death| ((death.queue, death.reason.name()), death.count));
        (self.number, (queue, reason.name()), deaths.collect())
    }
}

fn times(headers: Table<'_>) -> Vec<u64> {
    let list = headers.find(b"x-death").and_then(|list| list.as_array()).unwrap_or_default();
    let time = |entry: Value<'_>| match entry.as_table()?.find(b"time") {
        Some(Value::Timestamp(time)) => Some(time),
        _ => None,
    };
    list.iter().filter_map(time).collect()
}

pub(super) const REASONS: [Reason; 4] =
    [Reason::Rejected, Reason::Expired, Reason::MaxLength, Reason::DeliveryLimit];
/// Letters are published by no channel.
pub(super) const NOBODY: ChannelIx = usize::MAX;
