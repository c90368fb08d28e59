//! `PUT` and `DELETE` of exchanges and queues, and what else is done to a queue.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::super::answer::{self, Answer, Refusal};
use super::super::login::User;
use super::body::{Body, short, text};
use super::enter;
use crate::amqp::{Method, ShortStr, Table};
use crate::shard::start::Common;

pub async fn put_exchange(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let body = Body::read(&body)?;
    let arguments = body.arguments()?;
    let exchange = exchange_name(&name)?;
    let declare = Method::ExchangeDeclare {
        exchange,
        type_: body.short("type", "direct")?,
        passive: false,
        durable: body.flag("durable")?,
        auto_delete: body.flag("auto_delete")?,
        internal: body.flag("internal")?,
        nowait: false,
        arguments: Table::decode(&arguments).expect("it was checked"),
    };
    let mut session = enter(&common, &user, &vhost).await?;
    let existed = session.finds(find_exchange(exchange)).await?;
    session.call(declare).await?;
    answer::put(existed)
}

pub async fn delete_exchange(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    Query(Conditions { if_unused, .. }): Query<Conditions>,
) -> Answer {
    let exchange = exchange_name(&name)?;
    let mut session = enter(&common, &user, &vhost).await.map_err(as_object)?;
    session.call(find_exchange(exchange)).await.map_err(Refusal::from).map_err(as_object)?;
    session.call(Method::ExchangeDelete { exchange, if_unused: is_true(&if_unused), nowait: false }).await?;
    answer::deleted()
}

/// A queue that is said to be exclusive is not: it would end with the request.
pub async fn put_queue(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let body = Body::read(&body)?;
    let arguments = body.arguments()?;
    let queue = short("queue", &name)?;
    let declare = Method::QueueDeclare {
        queue,
        passive: false,
        durable: body.flag("durable")?,
        exclusive: false,
        auto_delete: body.flag("auto_delete")?,
        nowait: false,
        arguments: Table::decode(&arguments).expect("it was checked"),
    };
    let mut session = enter(&common, &user, &vhost).await?;
    if body.flag("passive")? {
        session.call(find_queue(queue)).await?;
        return answer::put(true);
    }
    let existed = session.finds(find_queue(queue)).await?;
    session.call(declare).await?;
    answer::put(existed)
}

pub async fn delete_queue(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    Query(Conditions { if_unused, if_empty, .. }): Query<Conditions>,
) -> Answer {
    let queue = short("queue", &name)?;
    let mut session = enter(&common, &user, &vhost).await.map_err(as_object)?;
    session.call(find_queue(queue)).await.map_err(Refusal::from).map_err(as_object)?;
    let (if_unused, if_empty) = (is_true(&if_unused), is_true(&if_empty));
    session.call(Method::QueueDelete { queue, if_unused, if_empty, nowait: false }).await?;
    answer::deleted()
}

/// All that is ready, or with `count` so many from the front (LavinMQ).
pub async fn purge(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    Query(Conditions { count, .. }): Query<Conditions>,
) -> Answer {
    let queue = short("queue", &name)?;
    let mut session = enter(&common, &user, &vhost).await.map_err(as_object)?;
    let Some(count) = count else {
        session
            .call(Method::QueuePurge { queue, nowait: false })
            .await
            .map_err(Refusal::from)
            .map_err(as_object)?;
        return answer::deleted();
    };
    for _ in 0..count {
        let got = session.get(queue, true).await.map_err(Refusal::from).map_err(as_object)?;
        if got.is_none() {
            break;
        }
    }
    session.close().await?;
    answer::deleted()
}

/// A queue of one node is always in sync with itself.
pub async fn act_on_queue(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let body = Body::read(&body)?;
    let [action] = body.require(["action"])?;
    let mut session = enter(&common, &user, &vhost).await.map_err(as_object)?;
    session.call(find_queue(short("queue", &name)?)).await.map_err(Refusal::from).map_err(as_object)?;
    match text("action", action)? {
        "sync" | "cancel_sync" => answer::deleted(),
        _ => Err(Refusal::BadTerm("unknown", action.clone())),
    }
}

#[derive(Deserialize)]
pub struct Conditions {
    #[serde(rename = "if-unused")]
    if_unused: Option<String>,
    #[serde(rename = "if-empty")]
    if_empty: Option<String>,
    count: Option<u64>,
}

fn is_true(value: &Option<String>) -> bool {
    value.as_deref() == Some("true")
}

/// The default exchange has a name here.
pub fn exchange_name(name: &str) -> Result<ShortStr<'_>, Refusal> {
    short("exchange", if name == DEFAULT { "" } else { name })
}

const DEFAULT: &str = "amq.default";

fn find_exchange(exchange: ShortStr<'_>) -> Method<'_> {
    Method::ExchangeDeclare {
        exchange,
        type_: ShortStr::EMPTY,
        passive: true,
        durable: false,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

fn find_queue(queue: ShortStr<'_>) -> Method<'_> {
    Method::QueueDeclare {
        queue,
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::EMPTY,
    }
}

/// What a path names and is not there is told in other words.
fn as_object(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Missing(_) => Refusal::NotFound,
        other => other,
    }
}
