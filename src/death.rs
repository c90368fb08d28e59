//! What becomes of a message that its queue gives up: a dead letter, which is the same body on another route, with
//! headers that tell how it came there.
//!
//! ```text
//! x-death                                    array of tables, the latest death first; one for each queue and reason:
//!                                            [original-expiration,] count, reason, queue, time, exchange, routing-keys
//! x-first-death-{reason,queue,exchange}      of the first of all
//! x-last-death-{reason,queue,exchange}       of the latest
//! ```
//! As RabbitMQ 4 has it (mc.erl, mc_amqpl.erl, rabbit_dead_letter.erl), but for two bounds: a history that somebody's
//! rejection has closed is cut to what one frame holds, and one without any ends at [`AUTOMATIC_DEATHS_MAX`] queues.

use crate::amqp::frame::FRAME_OVERHEAD;
use crate::amqp::{ArrayWriter, Properties, ShortStr, Table, TableWriter, Value};
use crate::limits::{AUTOMATIC_DEATHS_MAX, FRAME_MAX_BYTES};
use crate::message::Message;

/// Why a queue gives a message up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    /// What headers call it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// What happened to a message in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    pub reason: Reason,
    pub queue: &'a [u8],
    /// Seconds since 1970.
    pub time_s: u64,
}

/// The record of a message on its way to the dead letter exchange, with `routing_key` in place of all its keys or, without
/// one, with those it has.
///
/// `known` says that it is a letter already, so that its headers are ours. What a client wrote under their names is
/// replaced and not interpreted.
pub fn letter(
    message: &Message<'_>,
    known: bool,
    death: &Death<'_>,
    exchange: &[u8],
    routing_key: Option<&[u8]>,
) -> Vec<u8> {
    let properties = Properties::of_checked(message.header());
    let headers = properties.headers().unwrap_or_default();
    let ours = our_headers(message, if known { headers } else { Table::EMPTY }, death);
    let single = routing_key.map(|_| without_keys(headers));
    let kept = single.as_deref().map_or(headers, Table::from_checked);

    let lasting = properties.without_expiration();
    let properties =
        Properties::from_checked(&lasting).with_headers(&kept.overlaid(Table::from_checked(&ours)));
    message.rerouted(&route(exchange, routing_key.unwrap_or(message.routing_key())), &properties)
}

/// The record of a message whose header `x-delivery-count` says how often it came back to its queue, as RabbitMQ's
/// quorum queues have it.
pub fn with_delivery_count(message: &Message<'_>, count: u64) -> Vec<u8> {
    let count = TableWriter::new().i64("x-delivery-count", i64::try_from(count).unwrap_or(i64::MAX)).finish();
    let properties = Properties::of_checked(message.header());
    let headers = properties.headers().unwrap_or_default().overlaid(Table::from_checked(&count));
    message.with_properties(&properties.with_headers(&headers))
}

/// The queues that a letter must not be brought to: those it came through since it was last rejected. Rejecting it is
/// somebody's wish to see it again; without, it would go round for ever.
pub fn cycle_queues<'a>(letter: &Message<'a>) -> CycleQueues<'a> {
    CycleQueues(letter.headers().unwrap_or_default())
}

/// The headers of a letter.
#[derive(Clone, Copy, Debug)]
pub struct CycleQueues<'a>(Table<'a>);

impl<'a> CycleQueues<'a> {
    /// It came through as many as its headers may list: it goes nowhere.
    pub fn is_full(&self) -> bool {
        self.names().nth(AUTOMATIC_DEATHS_MAX - 1).is_some()
    }

    /// The latest first.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        deaths(self.0).take_while(|death| !was_rejected(death)).filter_map(|death| text(&death, "queue"))
    }
}

/// Names in the arguments of a queue may be longer than any name or key can be; RabbitMQ's channels break on such a
/// letter, and we cut them.
fn route(exchange: &[u8], routing_key: &[u8]) -> Vec<u8> {
    let mut route = Vec::with_capacity(2 + exchange.len() + routing_key.len());
    for name in [exchange, routing_key] {
        let name = &name[..name.len().min(ShortStr::LEN_MAX)];
        route.push(name.len() as u8);
        route.extend_from_slice(name);
    }
    route
}

/// Headers without those that hold routing keys: they would lead a letter where its one key is to replace them all.
fn without_keys(headers: Table<'_>) -> Vec<u8> {
    Table::from_checked(&headers.without(CC)).without(b"BCC")
}

/// The headers that the letter gets; `before` has those it got at earlier deaths.
fn our_headers(message: &Message<'_>, before: Table<'_>, death: &Death<'_>) -> Vec<u8> {
    let reason = death.reason.name().as_bytes();
    let first = |name: &str, now| text(&before, name).unwrap_or(now);
    let headers = TableWriter::with_capacity(HEADERS_BYTES)
        .string("x-first-death-exchange", first("x-first-death-exchange", message.exchange()))
        .string("x-first-death-queue", first("x-first-death-queue", death.queue))
        .string("x-first-death-reason", first("x-first-death-reason", reason))
        .string("x-last-death-exchange", message.exchange())
        .string("x-last-death-queue", death.queue)
        .string("x-last-death-reason", reason);

    let earlier: Vec<Table<'_>> = deaths(before).collect();
    let earlier_bytes: usize = earlier.iter().map(listed_bytes).sum();
    let other_bytes = message.header().len() - earlier_bytes + FRAME_OVERHEAD + OUR_BYTES_MAX;
    let room = (FRAME_MAX_BYTES as usize).saturating_sub(other_bytes);
    headers.array("x-death", |array| list(array, message, &earlier, death, room)).finish()
}

/// Lists this death and then the earlier ones in about `room` bytes.
///
/// What does not fit is left out: routing keys that CC added to this one, and the oldest ones. This one stays in any case,
/// and so do those since the last rejection, for [`cycle_queues`].
fn list(
    array: ArrayWriter,
    message: &Message<'_>,
    earlier: &[Table<'_>],
    death: &Death<'_>,
    room: usize,
) -> ArrayWriter {
    let same = earlier.iter().position(|entry| is_of(entry, death));
    let this = match same {
        Some(at) => Entry::again(&earlier[at]),
        None => {
            // Half of what is left: the next deaths want some of it too.
            let earlier_bytes: usize = earlier.iter().map(listed_bytes).sum();
            Entry::first(message, death, room.saturating_sub(earlier_bytes + ENTRY_BYTES_MAX) / 2)
        }
    };
    let this = this.finish();
    let this = Table::from_checked(&this);
    let mut room = room.saturating_sub(listed_bytes(&this));
    let mut array = array.value(Value::Table(this));
    let mut automatic = death.reason != Reason::Rejected;
    for (_, entry) in earlier.iter().enumerate().filter(|(at, _)| Some(*at) != same) {
        automatic = automatic && !was_rejected(entry);
        let bytes = listed_bytes(entry);
        if bytes > room && !automatic {
            break;
        }
        room = room.saturating_sub(bytes);
        array = array.value(Value::Table(*entry));
    }
    array
}

/// One death of the list.
struct Entry<'a> {
    original_expiration: Option<&'a [u8]>,
    count: i64,
    reason: &'a [u8],
    queue: &'a [u8],
    time_s: u64,
    exchange: &'a [u8],
    routing_keys: Vec<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// `cc_room`: bytes that routing keys may take besides the first.
    fn first(message: &Message<'a>, death: &Death<'a>, mut cc_room: usize) -> Entry<'a> {
        let fits = |key: &&[u8]| {
            let left = cc_room.checked_sub(KEY_OVERHEAD + key.len());
            cc_room = left.unwrap_or(0);
            left.is_some()
        };
        let cc = message.headers().and_then(|headers| headers.find(CC)?.as_array()).unwrap_or_default();
        let more = cc.iter().filter_map(|key| key.as_str()).take_while(fits);
        Entry {
            original_expiration: Properties::of_checked(message.header())
                .expiration()
                .map(|text| text.as_bytes()),
            count: 1,
            reason: death.reason.name().as_bytes(),
            queue: death.queue,
            time_s: death.time_s,
            exchange: message.exchange(),
            routing_keys: std::iter::once(message.routing_key()).chain(more).collect(),
        }
    }

    /// The same once more: all but the count tells of the first time.
    fn again(entry: &Table<'a>) -> Entry<'a> {
        let string = |name| text(entry, name).unwrap_or_default();
        let keys = entry.find(b"routing-keys").and_then(|keys| keys.as_array()).unwrap_or_default();
        Entry {
            original_expiration: text(entry, "original-expiration"),
            count: entry.find(b"count").and_then(|count| count.as_integer()).unwrap_or(0).saturating_add(1),
            reason: string("reason"),
            queue: string("queue"),
            time_s: if let Some(Value::Timestamp(time_s)) = entry.find(b"time") { time_s } else { 0 },
            exchange: string("exchange"),
            routing_keys: keys.iter().filter_map(|key| key.as_str()).collect(),
        }
    }

    fn finish(&self) -> Vec<u8> {
        let mut fields = TableWriter::with_capacity(ENTRY_BYTES);
        if let Some(text) = self.original_expiration {
            fields = fields.string("original-expiration", text);
        }
        let keys = |array| self.routing_keys.iter().fold(array, |array: ArrayWriter, key| array.string(key));
        fields
            .i64("count", self.count)
            .string("reason", self.reason)
            .string("queue", self.queue)
            .timestamp("time", self.time_s)
            .string("exchange", self.exchange)
            .array("routing-keys", keys)
            .finish()
    }
}

fn deaths<'a>(headers: Table<'a>) -> impl Iterator<Item = Table<'a>> + use<'a> {
    let list = headers.find(b"x-death").and_then(|list| list.as_array()).unwrap_or_default();
    list.iter().filter_map(|entry| entry.as_table())
}

fn is_of(entry: &Table<'_>, death: &Death<'_>) -> bool {
    text(entry, "queue") == Some(death.queue) && text(entry, "reason") == Some(death.reason.name().as_bytes())
}

fn was_rejected(entry: &Table<'_>) -> bool {
    text(entry, "reason") == Some(Reason::Rejected.name().as_bytes())
}

fn text<'a>(table: &Table<'a>, name: &str) -> Option<&'a [u8]> {
    table.find(name.as_bytes())?.as_str()
}

/// What an entry takes in the list: its tag, its length, itself.
fn listed_bytes(entry: &Table<'_>) -> usize {
    1 + 4 + entry.as_bytes().len()
}

const CC: &[u8] = b"CC";
/// Tag and length of a string in an array.
const KEY_OVERHEAD: usize = 1 + 4;
/// What our headers and an entry rarely exceed.
const HEADERS_BYTES: usize = 512;
const ENTRY_BYTES: usize = 192;
/// An entry in the list with one routing key, all its strings as long as short strings can be.
const ENTRY_BYTES_MAX: usize = 1_153;
/// Our headers with an empty list, all their strings that long, and the length of a table that was not there before.
const OUR_BYTES_MAX: usize = 1_220;

#[cfg(test)]
mod tests;
