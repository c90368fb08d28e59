//! Whose turn it is: consumers with room, by priority, and those of one priority one after the other.
//!
//! With a single active consumer one of them takes part, and the others wait for it to go.

use super::Queue;
use super::consumer::{Consumer, ConsumerAt, NO_LIMIT, Place, Terms};
use super::timers::Timers;
use crate::ids::ConsumerId;

/// A consumer picked for a message that was not stored yet.
#[derive(Clone, Copy, Debug)]
pub struct Direct {
    pub to: ConsumerAt,
    pub no_ack: bool,
    pub(super) consumer: ConsumerId,
}

impl Queue {
    /// A consumer may be added if nobody is exclusive and it is not exclusive among others; with a single active consumer
    /// nobody can be exclusive.
    pub fn admits(&self, exclusive: bool) -> bool {
        let alone = self.consumers.is_empty() && !self.has_single_active_consumer();
        !self.exclusive_consumer && (!exclusive || alone)
    }

    pub fn add_consumer(&mut self, at: ConsumerAt, terms: Terms, timers: &mut Timers) -> ConsumerId {
        debug_assert!(self.admits(terms.exclusive));
        self.had_consumer = true;
        self.exclusive_consumer = terms.exclusive;
        self.has_priorities |= terms.priority != 0;
        self.joined += 1;
        let (joined, waits) = (self.joined, self.has_single_active_consumer() && !self.consumers.is_empty());
        let slot = self.consumers.insert_with(|_, generation| Consumer {
            joined,
            waits,
            ..Consumer::new(at, generation, &terms)
        });
        self.offer(slot);
        self.used(timers);
        ConsumerId { slot, generation: self.consumers.get(slot).map_or(0, |consumer| consumer.generation) }
    }

    /// Its unacked messages stay with its channel. True if the queue should now be deleted.
    pub fn remove_consumer(&mut self, id: ConsumerId, timers: &mut Timers) -> bool {
        if self.consumers.live_mut(id.slot, id.generation).is_some() {
            self.step_out(id.slot);
            let removed = self.consumers.remove(id.slot);
            self.exclusive_consumer = false;
            if removed.is_some_and(|consumer| !consumer.waits) {
                self.activate_next();
            }
            self.used(timers);
        }
        self.auto_delete && self.had_consumer && self.consumers.is_empty()
    }

    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// Consumers that wait for the single active one to go.
    pub fn waiting(&self) -> impl Iterator<Item = ConsumerAt> {
        self.consumers.iter().filter(|(_, consumer)| consumer.waits).map(|(_, consumer)| consumer.at)
    }

    /// The share of its consumers that have room for a message; 0 if there are none.
    pub fn capacity(&self) -> f64 {
        self.available.len() as f64 / self.consumers.len().max(1) as f64
    }

    #[inline]
    pub(super) fn take_consumer(&mut self, bytes: u32) -> Option<Direct> {
        let at = self.available.pop_front()?;
        let consumer = self.consumers.get_mut(at).expect("who is available is there");
        consumer.window -= i64::from(bytes);
        consumer.unacked += u32::from(!consumer.no_ack);
        if consumer.credit != NO_LIMIT {
            consumer.credit -= 1;
        }
        let id = ConsumerId { slot: at, generation: consumer.generation };
        let direct = Direct { to: consumer.at, no_ack: consumer.no_ack, consumer: id };
        let counted =
            if direct.no_ack { &mut self.traffic.deliver_no_ack } else { &mut self.traffic.deliver };
        *counted += 1;
        if consumer.has_room() {
            self.line_up(at);
        } else {
            consumer.place = Place::Out;
            if consumer.credit == 0 {
                self.offer(at);
            }
        }
        Some(direct)
    }

    /// Lines up a consumer that wants more and is not in line.
    pub(super) fn offer(&mut self, at: u32) {
        if let Some(consumer) = self.consumers.get_mut(at)
            && consumer.place == Place::Out
            && consumer.wants_more()
        {
            if consumer.credit > 0 {
                consumer.place = Place::Available;
                self.line_up(at);
            } else {
                consumer.place = Place::Lacking;
                self.lacking.push_back(at);
            }
        }
    }

    /// Takes a consumer out of the line in which it stands.
    pub(super) fn step_out(&mut self, at: u32) {
        let Some(consumer) = self.consumers.get_mut(at) else { return };
        match std::mem::replace(&mut consumer.place, Place::Out) {
            Place::Available => self.available.retain(|&other| other != at),
            Place::Lacking => self.lacking.retain(|&other| other != at),
            Place::Out | Place::Asked => {}
        }
    }

    /// Behind those of its priority, and before those of a lower one.
    #[inline]
    fn line_up(&mut self, at: u32) {
        if !self.has_priorities {
            self.available.push_back(at);
            return;
        }
        let priority = |at: u32| self.consumers.get(at).map_or(0, |consumer| consumer.priority);
        let own = priority(at);
        let place = self.available.partition_point(|&other| priority(other) >= own);
        self.available.insert(place, at);
    }

    /// The next of the waiting consumers is served: the one of the highest priority that came first.
    fn activate_next(&mut self) {
        let waiting = self.consumers.iter().filter(|(_, consumer)| consumer.waits);
        let next =
            waiting.max_by_key(|(_, consumer)| (consumer.priority, std::cmp::Reverse(consumer.joined)));
        let Some(at) = next.map(|(at, _)| at) else { return };
        if let Some(consumer) = self.consumers.get_mut(at) {
            consumer.waits = false;
        }
        self.offer(at);
    }

    fn has_single_active_consumer(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.args.single_active_consumer)
    }
}
