//! `/api/permissions` and `/api/topic-permissions`

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::routes::{Need, Routes};
use super::users::named;
use super::vhosts;
use crate::access::{Access, Change, Operation, Permission, TopicOperation, TopicPermission};
use crate::ids::Name;
use crate::shard::start::Common;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::Administrator;
    routes
        .get("/api/vhosts/{vhost}/permissions", Administrator, of_vhost)
        .get("/api/vhosts/{vhost}/topic-permissions", Administrator, topics_of_vhost)
        .get("/api/permissions", Administrator, list)
        .get("/api/permissions/{vhost}/{user}", Administrator, one)
        .put("/api/permissions/{vhost}/{user}", Administrator, put)
        .delete("/api/permissions/{vhost}/{user}", Administrator, delete)
        .get("/api/topic-permissions", Administrator, topics)
        .get("/api/topic-permissions/{vhost}/{user}", Administrator, topics_of_one)
        .put("/api/topic-permissions/{vhost}/{user}", Administrator, put_topic)
        .delete("/api/topic-permissions/{vhost}/{user}", Administrator, delete_topics)
        .delete("/api/topic-permissions/{vhost}/{user}/{exchange}", Administrator, delete_topic)
}

#[derive(Deserialize)]
struct Patterns {
    configure: Option<String>,
    write: Option<String>,
    read: Option<String>,
    exchange: Option<String>,
}

async fn list(User { access, .. }: User) -> Answer {
    answer::body(shown_permissions(&access, |_, _| true))
}

async fn of_vhost(
    User { access, .. }: User,
    State(common): State<Common>,
    Path(vhost): Path<String>,
) -> Answer {
    vhosts::check(&common, &vhost).await?;
    answer::body(shown_permissions(&access, |of, _| **of == *vhost.as_bytes()))
}

async fn one(User { access, .. }: User, Path((vhost, user)): Path<(String, String)>) -> Answer {
    let permission = access.permission(vhost.as_bytes(), user.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::body(shown(vhost.as_bytes(), user.as_bytes(), permission))
}

async fn put(
    User { access, .. }: User,
    State(common): State<Common>,
    Path((vhost, user)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let Patterns { configure, write, read, .. } = answer::read(&body)?;
    let key = |given: Option<String>, key| given.ok_or_else(|| key_missing(key));
    let (configure, write, read) = (key(configure, "configure")?, key(write, "write")?, key(read, "read")?);
    check_both(&common, &access, &vhost, &user).await?;
    let permission = Permission::new(&configure, &write, &read).map_err(Refusal::BadRequest)?;
    let existed = access.permission(vhost.as_bytes(), user.as_bytes()).is_some();
    let (vhost, user) = (named(&vhost), named(&user));
    answer::changed(&common, vec![Change::PermissionPut { vhost, user, permission }]).await?;
    answer::put(existed)
}

async fn delete(
    User { access, .. }: User,
    State(common): State<Common>,
    Path((vhost, user)): Path<(String, String)>,
) -> Answer {
    access.permission(vhost.as_bytes(), user.as_bytes()).ok_or(Refusal::NotFound)?;
    let (vhost, user) = (named(&vhost), named(&user));
    answer::changed(&common, vec![Change::PermissionDeleted { vhost, user }]).await?;
    answer::deleted()
}

/// A permission of definitions.
pub fn defined(vhost: &str, user: &str, [configure, write, read]: [&str; 3]) -> Result<Change, Refusal> {
    let permission = Permission::new(configure, write, read).map_err(Refusal::BadRequest)?;
    Ok(Change::PermissionPut { vhost: named(vhost), user: named(user), permission })
}

/// A topic permission of definitions.
pub fn defined_topic(
    vhost: &str,
    user: &str,
    exchange: &str,
    [write, read]: [&str; 2],
) -> Result<Change, Refusal> {
    let [vhost, user, exchange] = [vhost, user, exchange].map(named);
    let topic = TopicPermission::new(&vhost, &user, &exchange, write, read);
    topic.map(Change::TopicPermissionPut).map_err(Refusal::BadRequest)
}

async fn topics(User { access, .. }: User) -> Answer {
    answer::body(shown_topics(&access, |_| true))
}

async fn topics_of_vhost(
    User { access, .. }: User,
    State(common): State<Common>,
    Path(vhost): Path<String>,
) -> Answer {
    vhosts::check(&common, &vhost).await?;
    answer::body(shown_topics(&access, |topic| **topic.vhost() == *vhost.as_bytes()))
}

async fn topics_of_one(User { access, .. }: User, Path((vhost, user)): Path<(String, String)>) -> Answer {
    let all = shown_topics(&access, |topic| is_of(topic, &vhost, &user));
    if all.is_empty() { Err(Refusal::NotFound) } else { answer::body(all) }
}

async fn put_topic(
    User { access, .. }: User,
    State(common): State<Common>,
    Path((vhost, user)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let Patterns { exchange, write, read, .. } = answer::read(&body)?;
    let key = |given: Option<String>, key| given.ok_or_else(|| key_missing(key));
    let (exchange, write, read) = (key(exchange, "exchange")?, key(write, "write")?, key(read, "read")?);
    check_both(&common, &access, &vhost, &user).await?;
    let names = [&vhost, &user, &exchange].map(|name| named(name));
    let existed = access.topic_permission(&names[0], &names[1], &names[2]).is_some();
    let topic = TopicPermission::new(&names[0], &names[1], &names[2], &write, &read);
    let topic = topic.map_err(Refusal::BadRequest)?;
    answer::changed(&common, vec![Change::TopicPermissionPut(topic)]).await?;
    answer::put(existed)
}

async fn delete_topics(
    User { access, .. }: User,
    State(common): State<Common>,
    Path((vhost, user)): Path<(String, String)>,
) -> Answer {
    access.topic_permissions().find(|topic| is_of(topic, &vhost, &user)).ok_or(Refusal::NotFound)?;
    forget_topics(&common, &vhost, &user, None).await
}

async fn delete_topic(
    User { access, .. }: User,
    State(common): State<Common>,
    Path((vhost, user, exchange)): Path<(String, String, String)>,
) -> Answer {
    let exchange = named(&exchange);
    access.topic_permission(vhost.as_bytes(), user.as_bytes(), &exchange).ok_or(Refusal::NotFound)?;
    forget_topics(&common, &vhost, &user, Some(exchange)).await
}

async fn forget_topics(common: &Common, vhost: &str, user: &str, exchange: Option<Name>) -> Answer {
    let (vhost, user) = (named(vhost), named(user));
    answer::changed(common, vec![Change::TopicPermissionDeleted { vhost, user, exchange }]).await?;
    answer::deleted()
}

async fn check_both(common: &Common, access: &Access, vhost: &str, user: &str) -> Result<(), Refusal> {
    let is_there = access.user(user.as_bytes()).is_some() && vhosts::check(common, vhost).await.is_ok();
    if is_there { Ok(()) } else { Err(Refusal::BadRequest("vhost_or_user_not_found".to_owned())) }
}

fn is_of(topic: &TopicPermission, vhost: &str, user: &str) -> bool {
    **topic.vhost() == *vhost.as_bytes() && **topic.user() == *user.as_bytes()
}

fn key_missing(key: &str) -> Refusal {
    Refusal::BadRequest(format!("[{{key_missing,{key}}}]"))
}

/// Those of vhost and user that `wanted` picks.
pub fn shown_permissions(access: &Access, wanted: impl Fn(&Name, &Name) -> bool) -> Vec<Value> {
    let wanted = access.permissions().filter(|(vhost, user, _)| wanted(vhost, user));
    wanted.map(|(vhost, user, permission)| shown(vhost, user, permission)).collect()
}

pub fn shown_topics(access: &Access, wanted: impl Fn(&TopicPermission) -> bool) -> Vec<Value> {
    let wanted = access.topic_permissions().filter(|topic| wanted(topic));
    let shown = |topic: &TopicPermission| {
        json!({
            "user": lossy(topic.user()),
            "vhost": lossy(topic.vhost()),
            "exchange": lossy(topic.exchange()),
            "write": topic.pattern(TopicOperation::Write).text(),
            "read": topic.pattern(TopicOperation::Read).text(),
        })
    };
    wanted.map(|topic| shown(topic)).collect()
}

fn shown(vhost: &[u8], user: &[u8], permission: &Permission) -> Value {
    json!({
        "user": lossy(user),
        "vhost": lossy(vhost),
        "configure": permission.pattern(Operation::Configure).text(),
        "write": permission.pattern(Operation::Write).text(),
        "read": permission.pattern(Operation::Read).text(),
    })
}
