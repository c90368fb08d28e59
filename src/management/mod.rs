//! The HTTP side, on a thread of its own: it reads what the shards publish, and asks at their desks for the rest.

mod answer;
mod bindings;
mod direct;
mod limits;
mod login;
mod parameters;
mod permissions;
mod policies;
mod routes;
pub mod table;
mod users;
mod vhosts;

use crate::shard::start::{Common, Snapshot};
use crate::text::lossy;
use answer::Answer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use login::User;
use routes::{Need, Routes};
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
        let config = common.config.clone();
        let router = routes(common).finish().layer(DefaultBodyLimit::max(config.http_body_bytes_max));
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

/// A panic in this thread costs one answer, not the broker.
pub const THREAD: &str = "management";

/// What is asked for outside of the prefix is not there.
fn under(prefix: &str, router: Router) -> Router {
    if prefix.is_empty() { router } else { Router::new().nest_service(prefix, router) }
}

fn routes(common: Common) -> Routes {
    use Need::{Administrator, EnterVhost, Management, Nothing, Policymaker, SeeVhost};
    Routes::new(common)
        .get("/health/ready", Nothing, ready)
        .get("/debug/shards", Nothing, shards)
        .get("/api/whoami", Management, whoami)
        .get("/api/vhosts", Management, vhosts::list)
        .get("/api/vhosts/{vhost}", Administrator, vhosts::one)
        .put("/api/vhosts/{vhost}", Administrator, vhosts::put)
        .delete("/api/vhosts/{vhost}", Administrator, vhosts::delete)
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
        .get("/api/cluster-name", Management, parameters::cluster_name)
        .put("/api/cluster-name", Administrator, parameters::put_cluster_name)
}

async fn whoami(User { user, .. }: User) -> Answer {
    answer::body(json!({"name": lossy(&user.name), "tags": user.tags.names().collect::<Vec<_>>()}))
}

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
