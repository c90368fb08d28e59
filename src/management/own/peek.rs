//! Messages that wait in a queue are shown; they stay where they are, as they are.

use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer::{self, Answer, Refusal};
use super::super::direct::{shown_payload, shown_properties};
use super::super::login::User;
use super::super::table;
use super::{order, queue};
use crate::access::Operation;
use crate::amqp::frame::{self, FrameKind};
use crate::amqp::{Properties, Table};
use crate::death;
use crate::ids::QueueId;
use crate::limits::{GET_BYTES_MAX, PEEK_REQUEST_MESSAGES};
use crate::message::{Message, keeps_bcc, without_bcc};
use crate::queue::Spot;
use crate::shard::queue_orders::{Peeked, PeekedMessage, QueueDone, QueueOrder};
use crate::shard::start::Common;

/// Which messages, and how much of them.
#[derive(Deserialize)]
pub struct Wanted {
    /// Those published before the one at that position are left out.
    #[serde(default)]
    from: u64,
    /// Where the last answer ended.
    cursor: Option<String>,
    count: Option<usize>,
    /// The whole routing key.
    key: Option<String>,
    /// Part of the body.
    body: Option<String>,
    /// `name:value`
    header: Option<String>,
    /// Bytes of a payload that are shown.
    truncate: Option<usize>,
}

/// In the order in which they leave the queue.
pub async fn show(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let spot = wanted.cursor.as_deref().map_or(Ok(Spot::FRONT), read_cursor)?;
    let filter = Filter::of(&wanted)?;
    let id = queue(&common, &user, (&vhost, &name), Operation::Read).await?;
    let mut shown = Shown { count_max: wanted.count.unwrap_or(COUNT), ..Shown::default() };
    let next = shown.fill(&common, id, (spot, wanted.from), &filter, wanted.truncate).await?;
    answer::body(json!({
        "messages": shown.messages,
        "looked_at": shown.looked_at,
        "cursor": next.map(|spot| format!("{}.{}", spot.priority, spot.sequence)),
    }))
}

#[derive(Default)]
struct Shown {
    count_max: usize,
    messages: Vec<Value>,
    bytes: usize,
    looked_at: u64,
}

impl Shown {
    /// Where more can be found, if there is more.
    async fn fill(
        &mut self,
        common: &Common,
        queue: QueueId,
        (mut spot, least): (Spot, u64),
        filter: &Filter<'_>,
        truncate: Option<usize>,
    ) -> Result<Option<Spot>, Refusal> {
        loop {
            if self.is_full() {
                return Ok(Some(spot));
            }
            let piece = peek(common, queue, QueueOrder::Peek { from: spot, least }).await?;
            for message in piece.messages {
                if self.is_full() {
                    return Ok(Some(Spot { priority: message.priority, sequence: message.sequence }));
                }
                self.add(&message, filter, truncate);
            }
            match piece.next {
                Some(next) => spot = next,
                None => return Ok(None),
            }
            tokio::task::yield_now().await;
        }
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= self.count_max
            || self.bytes >= GET_BYTES_MAX
            || self.looked_at >= PEEK_REQUEST_MESSAGES
    }

    fn add(&mut self, message: &PeekedMessage, filter: &Filter<'_>, truncate: Option<usize>) {
        self.looked_at += 1;
        let read = Read::of(message);
        if filter.takes(&read) {
            let payload = read.body(truncate.unwrap_or(usize::MAX));
            self.bytes += payload.len() + read.content.len().min(HEADER_BYTES);
            self.messages.push(read.shown(message, &payload));
        }
    }
}

/// Positions of so many ready messages, in the order in which they leave the queue.
pub async fn first(common: &Common, queue: QueueId, count: usize) -> Result<Vec<u64>, Refusal> {
    let (mut positions, mut next) = (Vec::new(), Some(Spot::FRONT));
    while let Some(from) = next.filter(|_| positions.len() < count) {
        let piece = peek(common, queue, QueueOrder::Peek { from, least: 0 }).await?;
        positions.extend(piece.messages.iter().map(|message| message.sequence));
        next = piece.next;
        tokio::task::yield_now().await;
    }
    positions.truncate(count);
    Ok(positions)
}

/// What an order shows of a queue.
pub async fn peek(common: &Common, queue: QueueId, peek: QueueOrder) -> Result<Peeked, Refusal> {
    match order(common, queue, peek).await? {
        QueueDone::Peeked(peeked) => Ok(peeked),
        _ => Err(Refusal::Unavailable),
    }
}

/// A message as a consumer would get it.
pub struct Read {
    pub exchange: Box<[u8]>,
    pub routing_key: Box<[u8]>,
    content: Vec<u8>,
}

impl Read {
    pub fn of(peeked: &PeekedMessage) -> Read {
        let counted = (peeked.returns > 0).then(|| {
            death::with_delivery_count(&Message::from_record(&peeked.record), u64::from(peeked.returns))
        });
        let message = Message::from_record(counted.as_deref().unwrap_or(&peeked.record));
        let content =
            if keeps_bcc(message.content) { without_bcc(message.content) } else { message.content.to_vec() };
        Read { exchange: message.exchange().into(), routing_key: message.routing_key().into(), content }
    }

    pub fn properties(&self) -> Properties<'_> {
        Properties::of_checked(self.message().header())
    }

    pub fn body_bytes(&self) -> u64 {
        self.message().body_bytes()
    }

    /// So many octets of it, or all.
    pub fn body(&self, bytes_max: usize) -> Vec<u8> {
        let (mut body, mut rest) = (Vec::new(), &*self.content);
        while let Ok(Some((frame, taken))) = frame::decode(rest, u32::MAX) {
            if frame.kind == FrameKind::Body {
                let room = bytes_max - body.len();
                body.extend_from_slice(&frame.payload[..frame.payload.len().min(room)]);
            }
            rest = &rest[taken..];
        }
        body
    }

    fn headers(&self) -> Table<'_> {
        self.properties().headers().unwrap_or_default()
    }

    fn message(&self) -> Message<'_> {
        Message { route: &[], content: &self.content }
    }

    fn shown(&self, peeked: &PeekedMessage, payload: &[u8]) -> Value {
        let (payload, encoding) = shown_payload(payload, false);
        json!({
            "position": peeked.sequence,
            "priority": peeked.priority,
            "state": "ready",
            "redelivered": peeked.redelivered,
            "exchange": table::text(&self.exchange),
            "routing_key": table::text(&self.routing_key),
            "properties": shown_properties(self.properties()),
            "payload_bytes": self.body_bytes(),
            "payload": payload,
            "payload_encoding": encoding,
        })
    }
}

/// What a message must have, all of it.
#[derive(Default)]
struct Filter<'a> {
    key: Option<&'a str>,
    body: Option<&'a str>,
    header: Option<(&'a str, &'a str)>,
}

impl Filter<'_> {
    fn of(wanted: &Wanted) -> Result<Filter<'_>, Refusal> {
        let header = wanted.header.as_deref().map(|header| {
            let reason = || Refusal::BadRequest("header must be name:value".to_owned());
            header.split_once(':').ok_or_else(reason)
        });
        Ok(Filter {
            key: wanted.key.as_deref(),
            body: wanted.body.as_deref().filter(|body| !body.is_empty()),
            header: header.transpose()?,
        })
    }

    fn takes(&self, read: &Read) -> bool {
        let by_key = self.key.is_none_or(|key| *read.routing_key == *key.as_bytes());
        by_key && self.takes_header(read.headers()) && self.takes_body(read)
    }

    fn takes_header(&self, headers: Table<'_>) -> bool {
        let Some((name, wanted)) = self.header else { return true };
        headers.find(name.as_bytes()).is_some_and(|value| match table::shown_value(value) {
            Value::String(text) => text == wanted,
            other => {
                let text = other.to_string();
                text == wanted
            }
        })
    }

    fn takes_body(&self, read: &Read) -> bool {
        let Some(wanted) = self.body else { return true };
        let body = read.body(usize::MAX);
        body.windows(wanted.len()).any(|part| part == wanted.as_bytes())
    }
}

/// `priority.position`
fn read_cursor(cursor: &str) -> Result<Spot, Refusal> {
    let parts = cursor.split_once('.');
    let spot = parts.and_then(|(priority, sequence)| {
        Some(Spot { priority: priority.parse().ok()?, sequence: sequence.parse().ok()? })
    });
    spot.ok_or_else(|| Refusal::BadRequest("cursor is not one of ours".to_owned()))
}

const COUNT: usize = 100;
/// What is counted for the properties of a message that is shown.
const HEADER_BYTES: usize = 1024;
