//! How answers look: RabbitMQ's codes, and its words for what is wrong.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::access::Change;
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

/// Why there is nothing else to answer.
#[derive(Debug)]
pub enum Refusal {
    /// No user, or not the right password. `reason` is left out if there was none.
    Unauthenticated {
        tried: bool,
    },
    /// The user may not do that: why.
    NotAuthorised(String),
    NotFound,
    /// What is spoken of is not there, in RabbitMQ's words.
    Missing(String),
    BadRequest(String),
    /// What is asked for may not be done to what is there.
    Precondition(String),
    /// What is wrong, and what was given: RabbitMQ's term of both.
    BadTerm(&'static str, Value),
    /// There is no such page of a list.
    PageOutOfRange(String),
    /// The server stops, or has too much to do.
    Unavailable,
}

pub type Answer = Result<Response, Refusal>;

pub fn body(value: impl Serialize) -> Answer {
    Ok(([(header::CACHE_CONTROL, "no-cache"), (header::VARY, VARY)], Json(value)).into_response())
}

/// JSON that is text already.
pub fn written(json: Vec<u8>) -> Answer {
    let kind = (header::CONTENT_TYPE, "application/json");
    Ok(([kind, (header::CACHE_CONTROL, "no-cache"), (header::VARY, VARY)], json).into_response())
}

/// The body of a request.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::BadRequest("not_json".to_owned()))
}

/// The body of a request that has named fields; without one it has none.
pub fn read_map(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() { Ok(Map::new()) } else { read(body) }
}

/// Changes users and permissions; they are on disk and count everywhere when this returns.
pub async fn changed(common: &Common, changes: Vec<Change>) -> Result<(), Refusal> {
    match common.ask(Order::ChangeAccess(changes)).await {
        Some(Done::Changed) => Ok(()),
        _ => Err(Refusal::Unavailable),
    }
}

/// Does what takes long on another thread, so that other requests go on.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Unavailable)
}

/// 201 for what was not there, 204 for what was.
pub fn put(existed: bool) -> Answer {
    Ok(if existed { StatusCode::NO_CONTENT } else { StatusCode::CREATED }.into_response())
}

pub fn deleted() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let basic = [(header::WWW_AUTHENTICATE, "Basic realm=\"RabbitMQ Management\"")];
        match self {
            Refusal::Unauthenticated { tried: false } => (StatusCode::UNAUTHORIZED, basic).into_response(),
            Refusal::Unauthenticated { tried: true } => {
                let text = json!({"error": "not_authorized", "reason": "Login failed"});
                (StatusCode::UNAUTHORIZED, basic, Json(text)).into_response()
            }
            Refusal::NotAuthorised(reason) => {
                let text = json!({"error": "not_authorised", "reason": reason});
                (StatusCode::UNAUTHORIZED, Json(text)).into_response()
            }
            Refusal::NotFound => {
                let text = json!({"error": "Object Not Found", "reason": "Not Found"});
                (StatusCode::NOT_FOUND, Json(text)).into_response()
            }
            Refusal::Missing(reason) => {
                (StatusCode::NOT_FOUND, Json(json!({"error": "not_found", "reason": reason}))).into_response()
            }
            Refusal::BadRequest(reason) => bad_request(reason.into()),
            Refusal::Precondition(reason) => {
                let text = json!({"error": "precondition_failed", "reason": reason});
                (StatusCode::PRECONDITION_FAILED, Json(text)).into_response()
            }
            Refusal::BadTerm(what, given) => bad_request(json!([what, given])),
            Refusal::PageOutOfRange(reason) => {
                let text = json!({"error": "page_out_of_range", "reason": reason});
                (StatusCode::BAD_REQUEST, Json(text)).into_response()
            }
            Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

fn bad_request(reason: Value) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": "bad_request", "reason": reason}))).into_response()
}

pub const VARY: &str = "accept, accept-encoding, origin";
