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
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answer::{self, Answer};
use super::routes::{Need, Routes};
use super::site::Api;
use super::vhosts;
use import::import;

pub fn routes(routes: Routes) -> Routes {
    use Need::Administrator;
    routes
        .get("/api/definitions", Administrator, show)
        .post("/api/definitions", Administrator, put)
        .get("/api/all-configuration", Administrator, show)
        .post("/api/all-configuration", Administrator, put)
        .get("/api/definitions/{vhost}", Administrator, show_vhost)
        .post("/api/definitions/{vhost}", Administrator, put_vhost)
}

/// What a server is to begin with. The error says what is wrong.
pub async fn load(api: &Api, read: &[u8]) -> Result<(), String> {
    let definitions: Value = serde_json::from_slice(read).map_err(|error| error.to_string())?;
    import(&api.common, &definitions, None).await.map_err(|refusal| format!("{refusal:?}"))
}

/// Whether there is a user among them.
pub fn brings_users(read: &[u8]) -> bool {
    let definitions: Option<Value> = serde_json::from_slice(read).ok();
    definitions.is_some_and(|it| it["users"].as_array().is_some_and(|users| !users.is_empty()))
}

async fn show(State(api): State<Api>) -> Answer {
    answer::body(export::all(&api).await?)
}

/// Of one vhost, which its items do not name.
async fn show_vhost(State(api): State<Api>, Path(vhost): Path<String>) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    answer::body(export::of_vhost(&api, &vhost).await?)
}

async fn put(State(api): State<Api>, Posted { file, next }: Posted) -> Answer {
    import(&api.common, &answer::read(&file)?, None).await?;
    taken(next)
}

/// Into one vhost, whichever they came from.
async fn put_vhost(
    State(api): State<Api>,
    Path(vhost): Path<String>,
    Posted { file, next }: Posted,
) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    import(&api.common, &answer::read(&file)?, Some(&vhost)).await?;
    taken(next)
}

/// Definitions as the body of a request, or as the field `file` of a form, as RabbitMQ's page uploads them.
pub struct Posted {
    file: Bytes,
    /// The field `redirect`.
    next: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Posted, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("multipart/form-data")) {
            let file = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
            return Ok(Posted { file, next: None });
        }
        let form = Multipart::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Posted::of(form).await.map_err(IntoResponse::into_response)
    }
}

impl Posted {
    /// Without a file it is one in which there is nothing, which is no JSON.
    async fn of(mut form: Multipart) -> Result<Posted, MultipartError> {
        let mut posted = Posted { file: Bytes::new(), next: None };
        while let Some(field) = form.next_field().await? {
            match field.name() {
                Some("file") => posted.file = field.bytes().await?,
                Some("redirect") => posted.next = Some(field.text().await?),
                _ => {}
            }
        }
        Ok(posted)
    }
}

/// A form may say what page the browser shows next: one of those beside the API.
fn taken(next: Option<String>) -> Answer {
    let next =
        next.filter(|next| next.starts_with("../#/")).and_then(|next| HeaderValue::try_from(next).ok());
    Ok(match next {
        Some(next) => (StatusCode::SEE_OTHER, [(header::LOCATION, next)]).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
