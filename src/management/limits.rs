//! `/api/vhost-limits` and `/api/user-limits`

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::parameters::{self, check_vhost, value_of};
use super::routes::{Need, Routes};
use super::users::named;
use super::vhosts;
use crate::access::{self, Limits};
use crate::parameters::{Change, LIMITS, Parameter, Parameters, VHOST_LIMITS, integer, term};
use crate::shard::start::Common;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, Management, SeeVhost};
    routes
        .get("/api/vhost-limits", Management, list)
        .get("/api/vhost-limits/{vhost}", SeeVhost, of_vhost)
        .put("/api/vhost-limits/{vhost}/{limit}", Administrator, put)
        .delete("/api/vhost-limits/{vhost}/{limit}", Administrator, delete)
        .get("/api/user-limits", Management, of_users)
        .get("/api/user-limits/{user}", Management, of_one_user)
        .put("/api/user-limits/{user}/{limit}", Administrator, put_of_user)
        .delete("/api/user-limits/{user}/{limit}", Administrator, delete_of_user)
}

/// Of vhosts that the user may see.
async fn list(User { user, access, .. }: User, State(common): State<Common>) -> Answer {
    let may_see = |vhost: &[u8]| user.tags.may_monitor() || access.may_enter(&user.name, vhost);
    answer::body(of_vhosts(&parameters::read(&common).await?, may_see))
}

async fn of_vhost(State(common): State<Common>, Path(vhost): Path<String>) -> Answer {
    vhosts::check(&common, &vhost).await?;
    let mut limits = of_vhosts(&parameters::read(&common).await?, |of| *of == *vhost.as_bytes());
    // Where none is left, as with RabbitMQ: in the list of all vhosts it stays.
    limits.retain(|shown| shown["value"].as_object().is_some_and(|limits| !limits.is_empty()));
    answer::body(limits)
}

async fn put(
    State(common): State<Common>,
    Path((vhost, limit)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    check_vhost(&common, &vhost).await?;
    let value = value_of(&body)?;
    change(&common, &vhost, |limits| _ = limits.insert(limit, value)).await
}

async fn delete(State(common): State<Common>, Path((vhost, limit)): Path<(String, String)>) -> Answer {
    check_vhost(&common, &vhost).await?;
    change(&common, &vhost, |limits| _ = limits.remove(&limit)).await
}

/// Sets the limits of a vhost to what they are but for this.
async fn change(common: &Common, vhost: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Answer {
    let parameters = parameters::read(common).await?;
    let before = parameters.one(vhost.as_bytes(), VHOST_LIMITS, LIMITS);
    let mut limits = before.and_then(|limits| limits.value.as_object().cloned()).unwrap_or_default();
    change(&mut limits);
    let limits = Parameter::new(vhost.as_bytes(), VHOST_LIMITS, LIMITS, Value::Object(limits));
    let limits = limits.map_err(Refusal::BadRequest)?;
    parameters::change(common, vec![Change::Put(limits)]).await?;
    done()
}

fn of_vhosts(parameters: &Parameters, wanted: impl Fn(&[u8]) -> bool) -> Vec<Value> {
    let limits = parameters.all().filter(|parameter| *parameter.component == *VHOST_LIMITS);
    let wanted = limits.filter(|parameter| wanted(&parameter.vhost));
    let shown = |limits: &Arc<Parameter>| json!({"vhost": lossy(&limits.vhost), "value": limits.value});
    wanted.map(shown).collect()
}

async fn of_users(user: User) -> Answer {
    answer::body(user.access.users().filter_map(|user| of_user(user)).collect::<Vec<_>>())
}

async fn of_one_user(user: User, Path(name): Path<String>) -> Answer {
    let user = user.access.user(name.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::body(of_user(user).into_iter().collect::<Vec<_>>())
}

async fn put_of_user(
    user: User,
    State(common): State<Common>,
    Path((name, limit)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let value = value_of(&body)?;
    let of = user.access.user(name.as_bytes());
    let of = of.ok_or_else(|| Refusal::BadTerm("no_such_user", name.clone().into()))?;
    let mut limits = of.limits;
    let unknown = || format!("Unrecognised terms [{{<<\"{limit}\">>,{}}}] in user-limits", term(&value));
    let set = limit_of(&mut limits, &limit).ok_or_else(|| Refusal::BadRequest(unknown()))?;
    // A negative number is no limit.
    *set = u32::try_from(integer(&limit, &value).map_err(Refusal::BadRequest)?).ok();
    change_user(&common, &name, limits).await
}

async fn delete_of_user(
    user: User,
    State(common): State<Common>,
    Path((name, limit)): Path<(String, String)>,
) -> Answer {
    let mut limits = user.access.user(name.as_bytes()).ok_or(Refusal::NotFound)?.limits;
    if let Some(set) = limit_of(&mut limits, &limit) {
        *set = None;
    }
    change_user(&common, &name, limits).await
}

async fn change_user(common: &Common, name: &str, limits: Limits) -> Answer {
    answer::changed(common, vec![access::Change::LimitsPut { user: named(name), limits }]).await?;
    done()
}

/// None: there are none.
fn of_user(user: &access::User) -> Option<Value> {
    let Limits { max_connections, max_channels } = user.limits;
    let limits = [("max-connections", max_connections), ("max-channels", max_channels)];
    let limits = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?))));
    let limits: Map<_, _> = limits.collect();
    (!limits.is_empty()).then(|| json!({"user": lossy(&user.name), "value": limits}))
}

fn limit_of<'a>(limits: &'a mut Limits, name: &str) -> Option<&'a mut Option<u32>> {
    match name {
        "max-connections" => Some(&mut limits.max_connections),
        "max-channels" => Some(&mut limits.max_channels),
        _ => None,
    }
}

/// Whether or not there was a limit before.
fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}
