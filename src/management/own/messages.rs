//! Messages are taken out of a queue by their positions: deleted, or carried somewhere else.

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::super::answer::{self, Answer, Refusal};
use super::super::direct::{Body, Failure, Published, Session, exchange_name, short, text};
use super::super::login::User;
use super::peek::{Read, first, peek};
use super::{order, queue};
use crate::access::Operation;
use crate::amqp::{Properties, ShortStr};
use crate::ids::QueueId;
use crate::limits::{PEEK_MESSAGES, PEEK_REQUEST_MESSAGES};
use crate::shard::queue_orders::{QueueDone, QueueOrder};
use crate::shard::start::Common;

/// Those that are not ready any more are named.
pub async fn delete(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let chosen = Chosen::of(&Body::read(&body)?)?;
    let id = queue(&common, &user, (&vhost, &name), Operation::Read).await?;
    let mut positions = chosen.positions(&common, id).await?;
    positions.sort_unstable();
    let mut missing = positions.clone();
    for piece in positions.chunks(PEEK_MESSAGES) {
        let dropped = drop_some(&common, id, piece).await?;
        missing.retain(|position| dropped.binary_search(position).is_err());
    }
    answer::body(json!({"deleted": positions.len() - missing.len(), "missing": missing}))
}

/// Each is published anew, and deleted when its new queues have it: what fails midway leaves it in both, never in neither.
pub async fn carry(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let body = Body::read(&body)?;
    let chosen = Chosen::of(&body)?;
    let route = route(&body)?;
    let id = queue(&common, &user, (&vhost, &name), Operation::Read).await?;
    let positions = chosen.positions(&common, id).await?;
    let mut session = Session::open(&common, &user, &vhost).await?;
    let (mut moved, mut failed) = (0, Vec::new());
    for position in positions {
        match carry_one(&common, id, position, &mut session, route).await? {
            None => moved += 1,
            Some(why) => failed.push(json!({"position": position, "reason": why})),
        }
    }
    answer::body(json!({"moved": moved, "failed": failed}))
}

/// Why it was not moved.
async fn carry_one(
    common: &Common,
    queue: QueueId,
    position: u64,
    session: &mut Session,
    route: Route<'_>,
) -> Result<Option<&'static str>, Refusal> {
    let peeked = peek(common, queue, QueueOrder::PeekAt(position)).await?;
    let Some(message) = peeked.messages.first().map(Read::of) else { return Ok(Some("missing")) };
    let [exchange, key] = match route {
        Route::Queue(name) => [ShortStr::EMPTY, name],
        Route::Exchange(exchange, Some(key)) => [exchange, key],
        Route::Exchange(exchange, None) => {
            [exchange, ShortStr::new(&message.routing_key).expect("it came as one")]
        }
    };
    // CC would lead it to more queues than it is moved to.
    let properties = message.properties();
    let without_cc = properties.headers().map(|headers| properties.with_headers(&headers.without(b"CC")));
    let properties =
        without_cc.as_deref().map_or(properties, |bytes| Properties::decode(bytes).expect("we wrote it"));
    let published = session.publish([exchange, key], properties, &message.body(usize::MAX)).await;
    match published.map_err(Failure::with_code)? {
        Published::Unroutable => return Ok(Some("unroutable")),
        Published::Rejected => return Ok(Some("rejected")),
        Published::Routed => {}
    }
    // A consumer has it now, and so have the new queues.
    let is_there_no_more = drop_some(common, queue, &[position]).await?.is_empty();
    Ok(is_there_no_more.then_some("delivered meanwhile"))
}

async fn drop_some(common: &Common, queue: QueueId, positions: &[u64]) -> Result<Vec<u64>, Refusal> {
    match order(common, queue, QueueOrder::Drop(positions.to_vec())).await? {
        QueueDone::Dropped(dropped) => Ok(dropped),
        _ => Err(Refusal::Unavailable),
    }
}

/// Where messages are moved to.
#[derive(Clone, Copy)]
enum Route<'a> {
    Queue(ShortStr<'a>),
    /// With the routing key that they have, if none is named.
    Exchange(ShortStr<'a>, Option<ShortStr<'a>>),
}

fn route(body: &Body) -> Result<Route<'_>, Refusal> {
    let find = |key: &'static str| body.find(key).map(|value| text(key, value)).transpose();
    match (find("queue")?, find("exchange")?) {
        (Some(queue), None) => Ok(Route::Queue(short("queue", queue)?)),
        (None, Some(exchange)) => {
            let key = find("routing_key")?.map(|key| short("routing_key", key)).transpose()?;
            Ok(Route::Exchange(exchange_name(exchange)?, key))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(Refusal::BadRequest("either queue or exchange must be named".to_owned()))
        }
    }
}

/// Which messages of a queue are meant.
enum Chosen {
    /// In the order of the queue, each once.
    At(Vec<u64>),
    /// So many of those that would leave it first.
    First(u64),
}

impl Chosen {
    fn of(body: &Body) -> Result<Chosen, Refusal> {
        let too_many =
            |what| Refusal::BadRequest(format!("{what} more than {PEEK_REQUEST_MESSAGES} of them"));
        if let Some(first) = body.find("first") {
            let count = first.as_u64().ok_or_else(|| Refusal::BadTerm("not_a_count", first.clone()))?;
            return if count > PEEK_REQUEST_MESSAGES {
                Err(too_many("first wants"))
            } else {
                Ok(Chosen::First(count))
            };
        }
        let [positions] = body.require(["positions"])?;
        let wrong = || Refusal::BadTerm("not_positions", positions.clone());
        let numbers = positions.as_array().ok_or_else(wrong)?;
        if numbers.len() as u64 > PEEK_REQUEST_MESSAGES {
            return Err(too_many("positions has"));
        }
        let mut numbers =
            numbers.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>().ok_or_else(wrong)?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Chosen::At(numbers))
    }

    async fn positions(self, common: &Common, queue: QueueId) -> Result<Vec<u64>, Refusal> {
        match self {
            Chosen::At(positions) => Ok(positions),
            Chosen::First(count) => first(common, queue, count as usize).await,
        }
    }
}
