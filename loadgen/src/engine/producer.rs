//! Publishes on one channel, as much as pace, confirms, limits and the size of a batch allow.

use super::flight::Shared;
use super::pace::Schedule;
use super::template::Template;
use super::window::{Slot, Window};
use crate::meter::Meter;
use crate::stamp::Stamp;

pub struct Producer {
    pub number: u16,
    template: Template,
    /// The lane of each key, as an index into `lanes`.
    lane_of_key: Vec<u32>,
    lanes: Vec<Lane>,
    next_key: usize,
    published: u64,
    schedule: Option<Schedule>,
    window: Option<Window>,
    /// Its own share of what may be in flight, and how much of what it published came back.
    own_flight: Option<(u64, u64)>,
    limit: u64,
    /// The most it takes at once of what all producers share.
    share: u64,
    done: bool,
}

/// The messages that one sequence counts (routing.rs).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Lane {
    /// The plan's number of the lane.
    pub number: usize,
    pub published: u64,
    pub nacked: u64,
}

/// How a producer is told to work.
pub struct Orders {
    pub number: u16,
    pub confirm_window: Option<u32>,
    pub own_flight: Option<u64>,
    pub limit: Option<u64>,
    pub share: u64,
}

/// What a turn lends to each producer that publishes in it.
pub struct Turn<'a> {
    pub now: u64,
    pub stop_at: u64,
    pub shared: &'a Shared,
    /// How late messages are sent, against their planned time.
    pub lag: &'a mut Meter,
    /// Some producer could publish if less were in flight.
    pub starved: bool,
}

impl Producer {
    /// `lanes`: the plan's lane number of each key.
    pub fn new(orders: &Orders, template: Template, lanes: impl Iterator<Item = usize>) -> Producer {
        let lane_of_key: Vec<usize> = lanes.collect();
        let mut numbers = lane_of_key.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let index = |number: &usize| numbers.binary_search(number).unwrap_or(0) as u32;
        Producer {
            number: orders.number,
            template,
            lane_of_key: lane_of_key.iter().map(index).collect(),
            lanes: numbers.iter().map(|&number| Lane { number, ..Lane::default() }).collect(),
            next_key: 0,
            published: 0,
            schedule: None,
            window: orders.confirm_window.map(Window::new),
            own_flight: orders.own_flight.map(|limit| (limit, 0)),
            limit: orders.limit.unwrap_or(u64::MAX),
            share: orders.share.max(1),
            done: false,
        }
    }

    /// From now on messages are due by this schedule.
    pub fn follow(&mut self, schedule: Schedule) {
        self.schedule = Some(schedule);
    }

    /// Appends what may be published now, and returns how many messages that is.
    pub fn fill(&mut self, out: &mut Vec<u8>, turn: &mut Turn<'_>) -> u64 {
        self.done |= turn.now >= turn.stop_at || self.published >= self.limit;
        let count = self.room(out.len(), turn);
        match (&self.schedule, &self.window) {
            (None, None) if self.lane_of_key.len() == 1 => self.write_plain(count, turn.now, out),
            _ => (0..count).for_each(|_| self.write_one(turn, out)),
        }
        if let (Some(flight), true) = (&turn.shared.flight, count > 0) {
            flight.published(count);
        }
        count
    }

    /// Whether another message is due, as far as time is concerned.
    pub fn wants_more(&self, now: u64) -> bool {
        !self.done && self.due_at().is_none_or(|at| at <= now)
    }

    /// When the next message is due.
    pub fn due_at(&self) -> Option<u64> {
        let schedule = self.schedule.as_ref().filter(|_| !self.done)?;
        Some(schedule.planned(self.published))
    }

    /// The broker settled a publish seqno. Calls `settled` for each message that it covers.
    pub fn confirm(
        &mut self,
        tag: u64,
        multiple: bool,
        nack: bool,
        mut settled: impl FnMut(Slot),
    ) -> Result<(), String> {
        let Some(window) = &mut self.window else { return Err("a confirm that nobody asked for".to_owned()) };
        let lanes = &mut self.lanes;
        window.settle(tag, multiple, |slot| {
            lanes[slot.lane as usize].nacked += u64::from(nack);
            settled(slot);
        })
    }

    /// `count` of its messages arrived on its own connection.
    pub fn came_home(&mut self, count: u64) {
        if let Some((_, home)) = &mut self.own_flight {
            *home += count;
        }
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    pub fn unconfirmed(&self) -> u64 {
        self.window.as_ref().map_or(0, |window| u64::from(window.outstanding()))
    }

    /// Messages that were due and could not be sent before the end.
    pub fn unsent(&self, stop_at: u64) -> u64 {
        let due = self.schedule.map_or(0, |schedule| schedule.due(stop_at.saturating_sub(1)).min(self.limit));
        due.saturating_sub(self.published)
    }

    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    fn room(&self, pending_bytes: usize, turn: &mut Turn<'_>) -> u64 {
        if self.done {
            return 0;
        }
        let mut room = self.room_in_batch(pending_bytes).min(self.limit - self.published);
        if let Some(schedule) = &self.schedule {
            room = room.min(schedule.due(turn.now).saturating_sub(self.published));
        }
        if let Some(window) = &self.window {
            room = room.min(window.room());
        }
        if let Some((limit, home)) = self.own_flight {
            room = room.min((limit + home).saturating_sub(self.published));
        }
        if let (Some(flight), true) = (&turn.shared.flight, room > 0) {
            room = room.min(flight.room()).min(self.share);
            turn.starved |= room == 0;
        }
        room
    }

    /// A batch has room for one message at least, however long.
    fn room_in_batch(&self, pending_bytes: usize) -> u64 {
        match BATCH_BYTES.saturating_sub(pending_bytes) / self.template.message_bytes_max() {
            0 => u64::from(pending_bytes == 0),
            room => room as u64,
        }
    }

    /// The common case without decisions in the loop: unpaced, unconfirmed, one key.
    fn write_plain(&mut self, count: u64, now: u64, out: &mut Vec<u8>) {
        out.reserve(count as usize * self.template.message_bytes_max());
        let first = self.lanes[0].published;
        for sequence in first..first + count {
            self.template.write(0, Stamp { producer: self.number, sequence, planned: now }, out);
        }
        self.lanes[0].published += count;
        self.published += count;
    }

    fn write_one(&mut self, turn: &mut Turn<'_>, out: &mut Vec<u8>) {
        let due = self.schedule.map_or(turn.now, |schedule| schedule.planned(self.published));
        // An expiration counts from the publish, however late that is.
        let planned = if self.template.expires() { turn.now } else { due };
        let key = self.next_key;
        self.next_key = if key + 1 == self.lane_of_key.len() { 0 } else { key + 1 };
        let lane_index = self.lane_of_key[key];
        let lane = &mut self.lanes[lane_index as usize];
        self.template.write(key, Stamp { producer: self.number, sequence: lane.published, planned }, out);
        lane.published += 1;
        self.published += 1;
        if let Some(window) = &mut self.window {
            window.published(planned, lane_index);
        }
        if self.schedule.is_some() {
            turn.lag.done(due, turn.now);
        }
    }
}

/// What is written before it is sent: one send(2) for some hundred small messages.
pub const BATCH_BYTES: usize = 64 * 1024;
