//! A queue is paused and goes on; a consumer is sent away.

use axum::extract::{Path, State};

use super::super::answer::{self, Answer, Refusal};
use super::super::connections;
use super::super::login::User;
use super::super::site::Api;
use super::{order, queue};
use crate::access::Operation;
use crate::shard::queue_orders::{QueueDone, QueueOrder};
use crate::shard::start::Common;

/// Consumers get nothing until the queue goes on or the server starts again; the rest is as before.
pub async fn pause(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
) -> Answer {
    set_paused(&common, &user, (&vhost, &name), true).await
}

pub async fn resume(
    user: User,
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
) -> Answer {
    set_paused(&common, &user, (&vhost, &name), false).await
}

async fn set_paused(common: &Common, user: &User, named: (&str, &str), paused: bool) -> Answer {
    let id = queue(common, user, named, Operation::Configure).await?;
    order(common, id, QueueOrder::Pause(paused)).await?;
    answer::deleted()
}

/// The client is told as when the queue had gone. Whoever may close the connection may do it.
pub async fn cancel(
    user: User,
    State(api): State<Api>,
    Path((connection, channel, tag)): Path<(String, u16, String)>,
) -> Answer {
    let consumer = connections::consumer_named(&api, &user, (&connection, channel, &tag)).await?;
    match order(&api.common, consumer.queue, QueueOrder::Cancel(consumer.at)).await? {
        QueueDone::NoConsumer => Err(Refusal::NotFound),
        _ => answer::deleted(),
    }
}
