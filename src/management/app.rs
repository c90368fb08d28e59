//! RabbitMQ's application, which is stopped and started while the process lives: without it nobody is let in, and the API
//! answers only for itself.
//!
//! ```text
//! running --stop--> sockets shut, shards closed, connections gone --start--> shards open, sockets open
//! ```
//! Queues and messages stay as they are, those that are not durable too; exclusive queues go with their connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::answer::{self, Answer, Refusal};
use super::routes::{Need, Routes};
use super::site::Api;
use crate::limits::{APP_STOPPED, CLOSE_OK_TIMEOUT_NS};
use crate::net::valve::Valve;
use crate::shard::desk::Order;
use crate::shard::start::Common;

pub fn routes(routes: Routes) -> Routes {
    use Need::Administrator;
    routes.get("/api/haremq/app", Administrator, show).put("/api/haremq/app", Administrator, set).put(
        "/api/haremq/listeners",
        Administrator,
        set_listeners,
    )
}

/// Lives on: the thread of HTTP.
pub struct App {
    /// Of AMQP.
    valves: Vec<Arc<Valve>>,
    running: AtomicBool,
    /// One change at a time: it takes a while.
    changing: Mutex<()>,
}

impl App {
    pub fn new(valves: Vec<Arc<Valve>>) -> App {
        App { valves, running: AtomicBool::new(true), changing: Mutex::default() }
    }

    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    fn shut(&self) {
        self.valves.iter().for_each(|valve| valve.shut());
    }

    fn open(&self) -> io::Result<()> {
        self.valves.iter().filter(|valve| valve.is_shut()).try_for_each(|valve| valve.open())
    }

    /// Returns when all connections are gone, or have had the time that they have.
    async fn stop(&self, common: &Common) -> Result<(), Refusal> {
        let _turn = self.changing.lock().await;
        if self.running.swap(false, Ordering::SeqCst) {
            tracing::info!("stopping the application; the process stays");
        }
        self.shut();
        let_in(common, false).await?;
        // The shards look at their deadlines every 100 ms.
        let deadline =
            Instant::now() + Duration::from_nanos(CLOSE_OK_TIMEOUT_NS) + Duration::from_millis(500);
        while connections(common) > 0 && Instant::now() < deadline {
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn start(&self, common: &Common) -> Result<(), Refusal> {
        let _turn = self.changing.lock().await;
        let_in(common, true).await?;
        self.open().map_err(|error| not_bound(&error))?;
        if !self.running.swap(true, Ordering::SeqCst) {
            tracing::info!("the application is started");
        }
        Ok(())
    }
}

/// Tells every shard.
async fn let_in(common: &Common, everybody: bool) -> Result<(), Refusal> {
    for shard in common.shards() {
        common.ask_at(shard, Order::LetIn(everybody)).await.ok_or(Refusal::Unavailable)?;
    }
    Ok(())
}

fn connections(common: &Common) -> u32 {
    common.inboxes.iter().map(|inbox| inbox.connections.load(Ordering::Relaxed)).sum()
}

fn not_bound(error: &io::Error) -> Refusal {
    Refusal::Precondition(format!("cannot listen for AMQP again: {error}"))
}

const POLL: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Running {
    running: bool,
}

#[derive(Deserialize)]
struct Open {
    open: bool,
}

async fn show(State(api): State<Api>) -> Answer {
    answer::body(json!({"running": api.site.app.is_running()}))
}

async fn set(State(api): State<Api>, body: Bytes) -> Answer {
    let Running { running } = answer::read(&body)?;
    let app = &api.site.app;
    if running {
        app.start(&api.common).await?
    } else {
        app.stop(&api.common).await?
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether new connections come in; those that are there stay.
pub async fn set_listeners(State(api): State<Api>, body: Bytes) -> Answer {
    let Open { open } = answer::read(&body)?;
    let app = &api.site.app;
    let _turn = app.changing.lock().await;
    if open {
        app.open().map_err(|error| not_bound(&error))?
    } else {
        app.shut()
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Refuses what needs the application while it is stopped.
pub async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if api.site.app.is_running() || !path.starts_with("/api/") || WITHOUT.contains(&path) {
        return next.run(request).await;
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": APP_STOPPED, "reason": REASON}))).into_response()
}

/// What is answered without it.
const WITHOUT: [&str; 4] =
    ["/api/haremq/app", "/api/haremq/settings", "/api/haremq/rotate-logs", "/api/haremq/stop"];

/// RabbitMQ's words.
const REASON: &str = "this command requires the 'rabbit' app to be running on the target node. Start it with \
                      'rabbitmqctl start_app'.";
