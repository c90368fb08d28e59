//! The HTTP side, on a thread of its own: it reads what the shards publish, and asks at their desks for the rest.

mod answer;
mod login;
mod permissions;
mod users;
mod vhosts;

use crate::shard::start::{Common, Snapshot};
use crate::text::lossy;
use answer::Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use login::User;
use serde_json::json;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// Serves for ever; the thread ends with the process.
pub fn start(listener: TcpListener, common: Common) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let routes = routes(common).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, routes).await
    };
    thread::Builder::new().name(THREAD.into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve) {
            tracing::error!(%error, "HTTP is no longer served");
        }
    })?;
    Ok(())
}

/// A panic in this thread costs one answer, not the broker.
pub const THREAD: &str = "management";

fn routes(common: Common) -> Router {
    Router::new()
        .route("/health/ready", get(ready))
        .route("/debug/shards", get(shards))
        .route("/api/whoami", get(whoami))
        .route("/api/vhosts", get(vhosts::list))
        .route("/api/vhosts/{vhost}", get(vhosts::one).put(vhosts::put).delete(vhosts::delete))
        .route("/api/vhosts/{vhost}/permissions", get(permissions::of_vhost))
        .route("/api/vhosts/{vhost}/topic-permissions", get(permissions::topics_of_vhost))
        .route("/api/users", get(users::list))
        .route("/api/users/{user}", get(users::one).put(users::put).delete(users::delete))
        .route("/api/users/{user}/permissions", get(users::permissions))
        .route("/api/users/{user}/topic-permissions", get(users::topic_permissions))
        .route("/api/permissions", get(permissions::list))
        .route(
            "/api/permissions/{vhost}/{user}",
            get(permissions::one).put(permissions::put).delete(permissions::delete),
        )
        .route("/api/topic-permissions", get(permissions::topics))
        .route(
            "/api/topic-permissions/{vhost}/{user}",
            get(permissions::topics_of_one).put(permissions::put_topic).delete(permissions::delete_topics),
        )
        .route("/api/topic-permissions/{vhost}/{user}/{exchange}", delete(permissions::delete_topic))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(common)
}

async fn whoami(User { user, .. }: User) -> Answer {
    answer::body(json!({"name": lossy(&user.name), "tags": user.tags.names().collect::<Vec<_>>()}))
}

/// Of what is sent to us.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// 200 while every shard is up.
async fn ready(State(common): State<Common>) -> (StatusCode, &'static str) {
    if common.published.iter().all(|shard| shard.is_up()) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn shards(State(common): State<Common>) -> Json<Vec<Snapshot>> {
    Json(common.snapshots())
}
