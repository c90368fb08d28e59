//! The HTTP side, on a thread of its own: it reads what the shards publish, and asks at their desks for the rest.

mod answer;
mod login;
mod vhosts;

use crate::shard::start::{Common, Snapshot};
use answer::Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
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
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(common)
}

async fn whoami(user: User) -> Answer {
    answer::body(json!({"name": user.name, "tags": ["administrator"]}))
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
