//! The HTTP side, on a thread of its own: it reads what the shards publish, and asks at their desks for the rest.

mod answer;
mod app;
mod bindings;
mod connections;
mod cookie;
mod definitions;
mod direct;
mod door;
mod exchanges;
mod limits;
mod list;
mod live;
mod log;
mod login;
mod metrics;
mod misc;
mod nodes;
mod overview;
mod own;
mod parameters;
mod permissions;
mod policies;
mod process;
mod queues;
mod remembered;
mod routes;
mod site;
pub mod table;
mod throttle;
mod ui;
mod users;
mod vhosts;
mod watch;

pub use app::App;
pub use definitions::brings_users;
pub use door::Door;
pub use log::Lines as LogLines;
pub use site::{Listening, Site};

use crate::shard::start::{Common, Snapshot};
use crate::text::lossy;
use answer::Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::serve::{ListenerExt, TapIo};
use axum::{Extension, Json, Router};
use login::User;
use remembered::Remembered;
use routes::{Need, Routes};
use serde_json::json;
use site::Api;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use ui::Ui;

/// Where requests come in.
pub struct Listeners {
    pub http: TcpListener,
    /// For metrics alone.
    pub prometheus: Option<TcpListener>,
    /// In the data folder, of a [`Door`].
    pub ctl: Option<UnixListener>,
}

/// Serves for ever; the thread ends with the process. Returns when the definitions of that file are in, if there is one:
/// nobody should come in before.
pub fn start(
    listeners: Listeners,
    common: Common,
    site: Site,
    load_definitions: Option<&Path>,
) -> Result<(), String> {
    let api = Api {
        ui: Arc::new(Ui::new(&common.config.http_path_prefix)),
        common,
        watch: Arc::default(),
        throttle: Arc::default(),
        logins: Arc::default(),
        remembered: Arc::new(Remembered::new()?),
        streams: Arc::default(),
        site: Arc::new(site),
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.thread_name(THREAD).max_blocking_threads(HASHING_THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    if let Some(file) = load_definitions {
        let read = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let loaded = runtime.block_on(definitions::load(&api, &read));
        loaded.map_err(|why| format!("definitions of {}: {why}", file.display()))?;
        tracing::info!(file = %file.display(), "definitions loaded");
    }
    serve(runtime, listeners, api).map_err(|error| error.to_string())
}

type AtOnce = TapIo<tokio::net::TcpListener, fn(&mut TcpStream)>;

/// An answer is sent in pieces, none of which waits for the ack of the one before.
fn at_once(listener: TcpListener) -> io::Result<AtOnce> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // A socket that refuses is slower, and as good.
    Ok(listener.tap_io(|socket| _ = socket.set_nodelay(true)))
}

fn serve(runtime: Runtime, listeners: Listeners, api: Api) -> io::Result<()> {
    let Listeners { http: listener, prometheus, ctl } = listeners;
    listener.set_nonblocking(true)?;
    prometheus.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
    let serve = async move {
        let (watch, common) = (api.watch.clone(), api.common.clone());
        tokio::spawn(async move { watch.keep_looking(&common).await });
        let listener = at_once(listener)?;
        if let Some(prometheus) = prometheus {
            let prometheus = at_once(prometheus)?;
            let metrics = metrics::routes(Routes::new(api.clone())).finish();
            tokio::spawn(async move { axum::serve(prometheus, metrics).await });
        }
        if let Some(ctl) = ctl {
            let routes = guarded(&api);
            tokio::spawn(async move { door::serve(ctl, routes).await });
        }
        let config = api.common.config.clone();
        let router = guarded(&api).layer(DefaultBodyLimit::max(config.http_body_bytes_max));
        let router = under(&config.http_path_prefix, router);
        let routes = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, routes).await
    };
    thread::Builder::new().name(THREAD.into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve) {
            tracing::error!(%error, "HTTP is no longer served");
        }
    })?;
    Ok(())
}

/// Passwords are hashed beside the requests: argon2id takes some 20 MiB for each.
const HASHING_THREADS: usize = 2;

/// A panic in this thread costs one answer, not the broker.
pub const THREAD: &str = "management";

/// What is asked for outside of the prefix is not there.
fn under(prefix: &str, router: Router) -> Router {
    if prefix.is_empty() { router } else { Router::new().nest_service(prefix, router) }
}

fn guarded(api: &Api) -> Router {
    let router = routes(api.clone()).finish().layer(from_fn_with_state(api.clone(), app::guard));
    // What is told live is asked for by the same way.
    router.clone().layer(Extension(live::Inner(router)))
}

/// Each section says what its routes are, and who may use them.
fn routes(api: Api) -> Routes {
    let sections = [
        overview::routes,
        nodes::routes,
        queues::routes,
        exchanges::routes,
        connections::routes,
        vhosts::routes,
        permissions::routes,
        direct::routes,
        bindings::routes,
        users::routes,
        policies::routes,
        parameters::routes,
        limits::routes,
        definitions::routes,
        app::routes,
        door::routes,
        metrics::routes,
        misc::routes,
        cookie::routes,
        own::routes,
        live::routes,
        log::routes,
        ui::routes,
        small_answers,
    ];
    sections.into_iter().fold(Routes::new(api), |routes, section| section(routes))
}

fn small_answers(routes: Routes) -> Routes {
    use Need::{Management, Nothing};
    routes.get("/api/whoami", Management, whoami).get("/health/ready", Nothing, ready).get(
        "/debug/shards",
        Nothing,
        shards,
    )
}

async fn whoami(User { user, .. }: User) -> Answer {
    answer::body(json!({"name": lossy(&user.name), "tags": user.tags.names().collect::<Vec<_>>()}))
}

/// 200 while every shard is up, and its application runs.
async fn ready(State(Api { common, site, .. }): State<Api>) -> (StatusCode, &'static str) {
    if site.app.is_running() && common.published.iter().all(|shard| shard.is_up()) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn shards(State(common): State<Common>) -> Json<Vec<Snapshot>> {
    Json(common.snapshots())
}
