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
mod users;
mod vhosts;
mod watch;

pub use app::App;
pub use door::Door;
pub use site::{Listening, Site};

use crate::shard::start::{Common, Snapshot};
use crate::text::lossy;
use answer::Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::serve::{ListenerExt, TapIo};
use axum::{Json, Router};
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
        common,
        watch: Arc::default(),
        throttle: Arc::default(),
        logins: Arc::default(),
        remembered: Arc::new(Remembered::new()?),
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
            let metrics = scraped(Routes::new(api.clone())).finish();
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
    routes(api.clone()).finish().layer(from_fn_with_state(api.clone(), app::guard))
}

fn routes(api: Api) -> Routes {
    use Need::{Administrator, EnterVhost, Management, Monitoring, Nothing, Policymaker, SeeVhost};
    let routes = Routes::new(api)
        .get("/api/overview", Management, overview::show)
        .get("/api/nodes", Monitoring, nodes::list)
        .get("/api/nodes/{node}", Monitoring, nodes::one)
        .get("/api/nodes/{node}/memory", Monitoring, nodes::memory)
        .get("/api/queues", Management, queues::list)
        .get("/api/queues/detailed", Management, queues::list)
        .get("/api/queues/{vhost}", SeeVhost, queues::of_vhost)
        .get("/api/queues/{vhost}/{queue}", SeeVhost, queues::one)
        .get("/api/exchanges", Management, exchanges::list)
        .get("/api/exchanges/{vhost}", SeeVhost, exchanges::of_vhost)
        .get("/api/exchanges/{vhost}/{exchange}", SeeVhost, exchanges::one)
        .get("/api/connections", Management, connections::list)
        .get("/api/connections/{connection}", Management, connections::one)
        .delete("/api/connections/{connection}", Management, connections::close)
        .get("/api/connections/{connection}/channels", Management, connections::channels_of)
        .get("/api/connections/username/{user}", Management, connections::of_user)
        .delete("/api/connections/username/{user}", Management, connections::close_of_user)
        .get("/api/vhosts/{vhost}/connections", SeeVhost, connections::of_vhost)
        .get("/api/vhosts/{vhost}/channels", SeeVhost, connections::channels_of_vhost)
        .get("/api/channels", Management, connections::channels)
        .get("/api/channels/{channel}", Management, connections::channel)
        .get("/api/consumers", Management, connections::consumers)
        .get("/api/consumers/{vhost}", SeeVhost, connections::consumers_of_vhost);
    let routes = own::routes(scraped(small_answers(health_checks(routes))));
    routes
        .get("/health/ready", Nothing, ready)
        .get("/debug/shards", Nothing, shards)
        .get("/api/whoami", Management, whoami)
        .get("/api/vhosts", Management, vhosts::list)
        .get("/api/vhosts/{vhost}", Administrator, vhosts::one)
        .put("/api/vhosts/{vhost}", Administrator, vhosts::put)
        .delete("/api/vhosts/{vhost}", Administrator, vhosts::delete)
        .post("/api/vhosts/{vhost}/deletion/protection", Administrator, vhosts::protect)
        .delete("/api/vhosts/{vhost}/deletion/protection", Administrator, vhosts::unprotect)
        .get("/api/vhosts/{vhost}/permissions", Administrator, permissions::of_vhost)
        .get("/api/vhosts/{vhost}/topic-permissions", Administrator, permissions::topics_of_vhost)
        .put("/api/exchanges/{vhost}/{exchange}", EnterVhost, direct::put_exchange)
        .delete("/api/exchanges/{vhost}/{exchange}", EnterVhost, direct::delete_exchange)
        .post("/api/exchanges/{vhost}/{exchange}/publish", EnterVhost, direct::publish)
        .put("/api/queues/{vhost}/{queue}", EnterVhost, direct::put_queue)
        .delete("/api/queues/{vhost}/{queue}", EnterVhost, direct::delete_queue)
        .delete("/api/queues/{vhost}/{queue}/contents", EnterVhost, direct::purge)
        .post("/api/queues/{vhost}/{queue}/get", EnterVhost, direct::get)
        .post("/api/queues/{vhost}/{queue}/actions", Administrator, direct::act_on_queue)
        .get("/api/queues/{vhost}/{queue}/bindings", EnterVhost, bindings::of_queue)
        .get("/api/exchanges/{vhost}/{exchange}/bindings/source", EnterVhost, bindings::from_exchange)
        .get("/api/exchanges/{vhost}/{exchange}/bindings/destination", EnterVhost, bindings::to_exchange)
        .get("/api/bindings", Management, bindings::list)
        .get("/api/bindings/{vhost}", EnterVhost, bindings::of_vhost)
        .get("/api/bindings/{vhost}/e/{source}/{kind}/{destination}", EnterVhost, bindings::between)
        .post("/api/bindings/{vhost}/e/{source}/{kind}/{destination}", EnterVhost, bindings::bind)
        .get("/api/bindings/{vhost}/e/{source}/{kind}/{destination}/{props}", EnterVhost, bindings::one)
        .delete("/api/bindings/{vhost}/e/{source}/{kind}/{destination}/{props}", EnterVhost, bindings::unbind)
        .get("/api/aliveness-test/{vhost}", EnterVhost, direct::aliveness)
        .get("/api/users", Administrator, users::list)
        .get("/api/users/{user}", Administrator, users::one)
        .put("/api/users/{user}", Administrator, users::put)
        .delete("/api/users/{user}", Administrator, users::delete)
        .get("/api/users/{user}/permissions", Administrator, users::permissions)
        .get("/api/users/{user}/topic-permissions", Administrator, users::topic_permissions)
        .get("/api/permissions", Administrator, permissions::list)
        .get("/api/permissions/{vhost}/{user}", Administrator, permissions::one)
        .put("/api/permissions/{vhost}/{user}", Administrator, permissions::put)
        .delete("/api/permissions/{vhost}/{user}", Administrator, permissions::delete)
        .get("/api/topic-permissions", Administrator, permissions::topics)
        .get("/api/topic-permissions/{vhost}/{user}", Administrator, permissions::topics_of_one)
        .put("/api/topic-permissions/{vhost}/{user}", Administrator, permissions::put_topic)
        .delete("/api/topic-permissions/{vhost}/{user}", Administrator, permissions::delete_topics)
        .delete("/api/topic-permissions/{vhost}/{user}/{exchange}", Administrator, permissions::delete_topic)
        .get("/api/policies", Management, policies::list)
        .get("/api/policies/{vhost}", EnterVhost, policies::of_vhost)
        .get("/api/policies/{vhost}/{name}", Policymaker, policies::one)
        .put("/api/policies/{vhost}/{name}", Policymaker, policies::put)
        .delete("/api/policies/{vhost}/{name}", Policymaker, policies::delete)
        .get("/api/operator-policies", Management, policies::operators_list)
        .get("/api/operator-policies/{vhost}", EnterVhost, policies::operators_of_vhost)
        .get("/api/operator-policies/{vhost}/{name}", Administrator, policies::operators_one)
        .put("/api/operator-policies/{vhost}/{name}", Administrator, policies::put_operators)
        .delete("/api/operator-policies/{vhost}/{name}", Administrator, policies::delete_operators)
        .get("/api/parameters", Policymaker, parameters::list)
        .get("/api/parameters/{component}", Policymaker, parameters::of_component)
        .get("/api/parameters/{component}/{vhost}", Policymaker, parameters::of_vhost)
        .get("/api/parameters/{component}/{vhost}/{name}", Policymaker, parameters::one)
        .put("/api/parameters/{component}/{vhost}/{name}", Policymaker, parameters::put)
        .delete("/api/parameters/{component}/{vhost}/{name}", Policymaker, parameters::delete)
        .get("/api/global-parameters", Policymaker, parameters::globals)
        .get("/api/global-parameters/{name}", Policymaker, parameters::global)
        .put("/api/global-parameters/{name}", Policymaker, parameters::put_global)
        .delete("/api/global-parameters/{name}", Policymaker, parameters::delete_global)
        .get("/api/vhost-limits", Management, limits::list)
        .get("/api/vhost-limits/{vhost}", SeeVhost, limits::of_vhost)
        .put("/api/vhost-limits/{vhost}/{limit}", Administrator, limits::put)
        .delete("/api/vhost-limits/{vhost}/{limit}", Administrator, limits::delete)
        .get("/api/user-limits", Management, limits::of_users)
        .get("/api/user-limits/{user}", Management, limits::of_one_user)
        .put("/api/user-limits/{user}/{limit}", Administrator, limits::put_of_user)
        .delete("/api/user-limits/{user}/{limit}", Administrator, limits::delete_of_user)
        .get("/api/definitions", Administrator, definitions::show)
        .post("/api/definitions", Administrator, definitions::put)
        .get("/api/all-configuration", Administrator, definitions::show)
        .post("/api/all-configuration", Administrator, definitions::put)
        .get("/api/definitions/{vhost}", Administrator, definitions::show_vhost)
        .post("/api/definitions/{vhost}", Administrator, definitions::put_vhost)
        .get("/api/haremq/app", Administrator, app::show)
        .put("/api/haremq/app", Administrator, app::set)
        .put("/api/haremq/listeners", Administrator, app::set_listeners)
        .put("/api/haremq/limits", Administrator, door::set_limits)
        .get("/api/haremq/settings", Administrator, door::settings)
        .post("/api/haremq/stop", Administrator, door::stop)
        .get("/api/cluster-name", Management, parameters::cluster_name)
        .put("/api/cluster-name", Administrator, parameters::put_cluster_name)
}

/// Of whoever reaches the port, as with RabbitMQ.
fn scraped(routes: Routes) -> Routes {
    routes
        .get("/metrics", Need::Nothing, metrics::aggregated)
        .get("/metrics/per-object", Need::Nothing, metrics::per_object)
        .get("/metrics/detailed", Need::Nothing, metrics::detailed)
}

fn small_answers(routes: Routes) -> Routes {
    use Need::{Administrator, Management, Monitoring, Nothing, SeeVhost};
    routes
        .get("/api/auth", Nothing, misc::auth)
        .post("/api/login", Nothing, cookie::begin)
        .delete("/api/login", Nothing, cookie::end)
        .get("/api/version", Management, misc::version)
        .get("/api/extensions", Management, misc::nothing)
        .get("/api/feature-flags", Administrator, misc::feature_flags)
        .put("/api/feature-flags/{flag}/enable", Administrator, misc::enable_feature_flag)
        .get("/api/deprecated-features", Administrator, misc::deprecated_features)
        .get("/api/deprecated-features/used", Administrator, misc::deprecated_features_used)
        .post("/api/rebalance/queues", Administrator, misc::rebalance)
        .delete("/api/reset", Administrator, misc::reset)
        .delete("/api/reset/{node}", Administrator, misc::reset)
        .get("/api/auth/attempts/{node}", Monitoring, misc::auth_attempts)
        .get("/api/auth/hash_password/{password}", Administrator, misc::hash_password)
        .get("/api/users/without-permissions", Administrator, misc::users_without_permissions)
        .post("/api/users/bulk-delete", Administrator, misc::delete_users)
        .get("/api/shovels", Monitoring, misc::nothing)
        .get("/api/shovels/{vhost}", Monitoring, misc::nothing)
        .get("/api/federation-links", Monitoring, misc::nothing)
        .get("/api/federation-links/{vhost}", Monitoring, misc::nothing)
        .get("/api/stream/connections", Management, misc::nothing)
        .get("/api/stream/connections/{vhost}", SeeVhost, misc::nothing)
        .get("/api/stream/publishers", Management, misc::nothing)
        .get("/api/stream/publishers/{vhost}", SeeVhost, misc::nothing)
        .get("/api/stream/consumers", Management, misc::nothing)
        .get("/api/stream/consumers/{vhost}", SeeVhost, misc::nothing)
}

fn health_checks(routes: Routes) -> Routes {
    use Need::Management;
    routes
        .get("/api/health/checks/alarms", Management, nodes::alarms)
        .get("/api/health/checks/local-alarms", Management, nodes::alarms)
        .get("/api/health/checks/port-listener/{port}", Management, nodes::port_listener)
        .get("/api/health/checks/protocol-listener/{protocol}", Management, nodes::protocol_listener)
        .get("/api/health/checks/virtual-hosts", Management, nodes::in_service)
        .get("/api/health/checks/is-in-service", Management, nodes::in_service)
        .get("/api/health/checks/ready-to-serve-clients", Management, nodes::in_service)
        .get("/api/health/checks/below-node-connection-limit", Management, nodes::in_service)
        .get("/api/health/checks/certificate-expiration/{within}/{unit}", Management, nodes::certificates)
        .get("/api/health/checks/node-is-quorum-critical", Management, nodes::single_node)
        .get("/api/health/checks/node-is-mirror-sync-critical", Management, nodes::single_node)
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
