//! What the API does to exchanges, queues, bindings and messages: by AMQP, as the user who asks.

mod body;
mod declare;
mod messages;
mod session;

pub use body::{Body, short, text};
pub use declare::{
    act_on_queue, delete_exchange, delete_queue, exchange_name, purge, put_exchange, put_queue,
};
pub use messages::{aliveness, get, publish, shown_payload, shown_properties};
pub use session::{Failure, Published, Session};

use super::answer::Refusal;
use super::login::User;
use super::routes::{Need, Routes};
use super::vhosts;
use crate::amqp::{Method, ReplyCode};
use crate::shard::start::Common;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, EnterVhost};
    routes
        .put("/api/exchanges/{vhost}/{exchange}", EnterVhost, put_exchange)
        .delete("/api/exchanges/{vhost}/{exchange}", EnterVhost, delete_exchange)
        .post("/api/exchanges/{vhost}/{exchange}/publish", EnterVhost, publish)
        .put("/api/queues/{vhost}/{queue}", EnterVhost, put_queue)
        .delete("/api/queues/{vhost}/{queue}", EnterVhost, delete_queue)
        .delete("/api/queues/{vhost}/{queue}/contents", EnterVhost, purge)
        .post("/api/queues/{vhost}/{queue}/get", EnterVhost, get)
        .post("/api/queues/{vhost}/{queue}/actions", Administrator, act_on_queue)
        .get("/api/aliveness-test/{vhost}", EnterVhost, aliveness)
}

/// Where the user may enter the vhost; there, what is refused says more than without it.
pub async fn enter(common: &Common, user: &User, vhost: &str) -> Result<Session, Refusal> {
    let refused = match Session::open(common, user, vhost).await {
        Ok(session) => return Ok(session),
        Err(failure) => failure,
    };
    vhosts::check(common, vhost).await.map_err(|_| Refusal::Missing("vhost_not_found".to_owned()))?;
    Err(refused.into())
}

impl Session {
    /// Whether what a passive declare names is there.
    pub async fn finds(&mut self, passive: Method<'_>) -> Result<bool, Failure> {
        match self.call(passive).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some(ReplyCode::NotFound.code()) => {
                self.reopen().await?;
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

impl Failure {
    pub fn code(&self) -> Option<u16> {
        match self {
            Failure::Closed { code, .. } => Some(*code),
            Failure::Silent => None,
        }
    }

    /// As RabbitMQ refuses what it asks of a channel: with all that the channel said.
    pub fn in_full(self) -> Refusal {
        match self {
            Failure::Closed { code: NOT_FOUND, text } => Refusal::Missing(text),
            Failure::Closed { code: ACCESS_REFUSED, text } => Refusal::NotAuthorised(text),
            other => other.with_code(),
        }
    }

    /// As RabbitMQ refuses a message.
    pub fn with_code(self) -> Refusal {
        match self {
            Failure::Closed { code: CONNECTION_FORCED, .. } | Failure::Silent => Refusal::Unavailable,
            Failure::Closed { code, text } => Refusal::BadRequest(format!("{code} {text}")),
        }
    }
}

/// As RabbitMQ refuses what it asks of exchanges, queues and bindings: without the code, and not a word on permissions.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let Failure::Closed { code, text } = failure else { return Refusal::Unavailable };
        let explanation = text.split_once(" - ").map_or(&*text, |(_, explanation)| explanation).to_owned();
        match code {
            NOT_FOUND => Refusal::Missing(explanation),
            ACCESS_REFUSED | NOT_ALLOWED => Refusal::NotAuthorised("Access refused.".to_owned()),
            CONNECTION_FORCED => Refusal::Unavailable,
            _ => Refusal::BadRequest(explanation),
        }
    }
}

const CONNECTION_FORCED: u16 = ReplyCode::ConnectionForced as u16;
const ACCESS_REFUSED: u16 = ReplyCode::AccessRefused as u16;
const NOT_FOUND: u16 = ReplyCode::NotFound as u16;
const NOT_ALLOWED: u16 = ReplyCode::NotAllowed as u16;
