//! `/api/definitions`: all that is declared and set, as one JSON text in RabbitMQ's form, out and in.
//!
//! ```text
//! export: users, vhosts, permissions, parameters, policies, queues, exchanges, bindings -> JSON
//! import: JSON, checked -> users -> vhosts -> permissions -> parameters -> queues, exchanges -> bindings
//! ```
//! What is imported is added to what is there; what is there and says otherwise is left as it is.

mod export;
mod import;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

use super::answer::{self, Answer};
use super::site::Api;
use super::vhosts;

use import::import;

/// What a server is to begin with. The error says what is wrong.
pub async fn load(api: &Api, read: &[u8]) -> Result<(), String> {
    let definitions: Value = serde_json::from_slice(read).map_err(|error| error.to_string())?;
    import(&api.common, &definitions, None).await.map_err(|refusal| format!("{refusal:?}"))
}

pub async fn show(State(api): State<Api>) -> Answer {
    answer::body(export::all(&api).await?)
}

/// Of one vhost, which its items do not name.
pub async fn show_vhost(State(api): State<Api>, Path(vhost): Path<String>) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    answer::body(export::of_vhost(&api, &vhost).await?)
}

pub async fn put(State(api): State<Api>, body: Bytes) -> Answer {
    let definitions: Value = answer::read(&body)?;
    import(&api.common, &definitions, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Into one vhost, whichever they came from.
pub async fn put_vhost(State(api): State<Api>, Path(vhost): Path<String>, body: Bytes) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    let definitions: Value = answer::read(&body)?;
    import(&api.common, &definitions, Some(&vhost)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
