//! Small answers that tools ask for: what is on, who tried to log in, and polite words about what one server has none of.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::routes::{Need, Routes};
use super::site::Api;
use super::users;
use crate::access::{Change, PasswordHash};
use crate::ids::Name;
use crate::shard::start::Common;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, Management, Monitoring, Nothing, SeeVhost};
    routes
        .get("/api/auth", Nothing, auth)
        .get("/api/version", Management, version)
        .get("/api/extensions", Management, nothing)
        .get("/api/feature-flags", Administrator, feature_flags)
        .put("/api/feature-flags/{flag}/enable", Administrator, enable_feature_flag)
        .get("/api/deprecated-features", Administrator, deprecated_features)
        .get("/api/deprecated-features/used", Administrator, deprecated_features_used)
        .post("/api/rebalance/queues", Administrator, rebalance)
        .delete("/api/reset", Administrator, reset)
        .delete("/api/reset/{node}", Administrator, reset)
        .get("/api/auth/attempts/{node}", Monitoring, auth_attempts)
        .get("/api/auth/hash_password/{password}", Administrator, hash_password)
        .get("/api/users/without-permissions", Administrator, users_without_permissions)
        .post("/api/users/bulk-delete", Administrator, delete_users)
        .get("/api/shovels", Monitoring, nothing)
        .get("/api/shovels/{vhost}", Monitoring, nothing)
        .get("/api/federation-links", Monitoring, nothing)
        .get("/api/federation-links/{vhost}", Monitoring, nothing)
        .get("/api/stream/connections", Management, nothing)
        .get("/api/stream/connections/{vhost}", SeeVhost, nothing)
        .get("/api/stream/publishers", Management, nothing)
        .get("/api/stream/publishers/{vhost}", SeeVhost, nothing)
        .get("/api/stream/consumers", Management, nothing)
        .get("/api/stream/consumers/{vhost}", SeeVhost, nothing)
}

/// What there is none of here: plugins' extensions, shovels, federation links, streams.
async fn nothing() -> Answer {
    answer::body(json!([]))
}

/// Asked for without a login, by the page that would begin one.
async fn auth() -> Answer {
    answer::body(json!({"oauth_enabled": false, "oauth_disable_basic_auth": false}))
}

async fn version(State(api): State<Api>) -> Answer {
    answer::body(json!({
        "rabbitmq_version": api.site.product_version,
        "product_name": "HareMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
    }))
}

/// RabbitMQ's flags of the features that we have.
const FEATURE_FLAGS: &[(&str, &str)] = &[
    ("classic_mirrored_queue_version", "Support setting version for classic mirrored queues"),
    ("drop_unroutable_metric", "Count unroutable publishes to be dropped in stats"),
    ("empty_basic_get_metric", "Count AMQP `basic.get` on empty queues in stats"),
    (
        "implicit_default_bindings",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    ("maintenance_mode_status", "Maintenance mode status"),
    ("quorum_queue", "Support queues of type `quorum`"),
    ("stream_queue", "Support queues of type `stream`"),
    ("user_limits", "Configure connection and channel limits for a user"),
    ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
];

async fn feature_flags() -> Answer {
    let shown = |(name, desc): &(&str, &str)| {
        json!({
            "name": name,
            "desc": desc,
            "doc_url": "",
            "state": "enabled",
            "stability": "stable",
            "provided_by": "rabbit",
        })
    };
    answer::body(FEATURE_FLAGS.iter().map(shown).collect::<Vec<_>>())
}

/// All that we have are enabled.
async fn enable_feature_flag(Path(name): Path<String>) -> Answer {
    if FEATURE_FLAGS.iter().any(|(known, _)| *known == name) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(Refusal::BadRequest("unsupported".to_owned()))
}

/// What RabbitMQ calls deprecated and we do have.
async fn deprecated_features() -> Answer {
    let shown = |(name, desc): (&str, &str)| {
        json!({
            "name": name,
            "desc": desc,
            "deprecation_phase": "permitted_by_default",
            "state": "permitted",
            "doc_url": "",
            "provided_by": "rabbit",
        })
    };
    answer::body([shown(("global_qos", "")), shown(("transient_nonexcl_queues", ""))])
}

/// Of those, none is watched.
async fn deprecated_features_used() -> Answer {
    answer::body(json!([]))
}

/// There is one server: all is balanced.
async fn rebalance() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Forgets the samples that rates are made of.
async fn reset(State(api): State<Api>) -> Answer {
    api.watch.reset();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn auth_attempts(State(common): State<Common>) -> Answer {
    let refused = common.counter("logins_refused");
    let succeeded = common.counter("logins");
    answer::body([json!({
        "protocol": "amqp091",
        "auth_attempts": refused + succeeded,
        "auth_attempts_failed": refused,
        "auth_attempts_succeeded": succeeded,
    })])
}

/// The hash of a password, as a user's `password_hash` takes it.
async fn hash_password(State(common): State<Common>, Path(password): Path<String>) -> Answer {
    let (hashing, salt) = (common.config.users.password_hashing, users::salt()?);
    let hash = answer::beside(move || PasswordHash::new(hashing, password.as_bytes(), salt)).await?;
    answer::body(json!({"ok": hash.text()}))
}

/// Users who may enter no vhost.
async fn users_without_permissions(User { access, .. }: User) -> Answer {
    let may_nothing = |name: &Name| !access.permissions().any(|(_, user, _)| user == name);
    let shown = access.users().filter(|user| may_nothing(&user.name)).map(|user| users::shown(user));
    answer::body(shown.collect::<Vec<_>>())
}

#[derive(Deserialize)]
struct Named {
    users: Vec<String>,
}

/// All of them, or none if one is not there: RabbitMQ deletes those before it.
async fn delete_users(User { access, .. }: User, State(common): State<Common>, body: Bytes) -> Answer {
    let Named { users } = answer::read(&body)?;
    if let Some(unknown) = users.iter().find(|name| access.user(name.as_bytes()).is_none()) {
        return Err(Refusal::BadTerm("no_such_user", json!(unknown)));
    }
    let change = |name: String| Change::UserDeleted { user: Name::from(name.as_bytes()) };
    answer::changed(&common, users.into_iter().map(change).collect()).await?;
    answer::deleted()
}
