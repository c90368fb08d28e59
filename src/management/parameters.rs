//! `/api/parameters`, `/api/global-parameters` and `/api/cluster-name`

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::routes::{Need, Routes};
use super::site::Api;
use super::users::named;
use super::vhosts;
use crate::ids::Name;
use crate::parameters::{CLUSTER_NAME, Change, POLICY, Parameter, Parameters};
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, Management, Policymaker};
    routes
        .get("/api/parameters", Policymaker, list)
        .get("/api/parameters/{component}", Policymaker, of_component)
        .get("/api/parameters/{component}/{vhost}", Policymaker, of_vhost)
        .get("/api/parameters/{component}/{vhost}/{name}", Policymaker, one)
        .put("/api/parameters/{component}/{vhost}/{name}", Policymaker, put)
        .delete("/api/parameters/{component}/{vhost}/{name}", Policymaker, delete)
        .get("/api/global-parameters", Policymaker, globals)
        .get("/api/global-parameters/{name}", Policymaker, global)
        .put("/api/global-parameters/{name}", Policymaker, put_global)
        .delete("/api/global-parameters/{name}", Policymaker, delete_global)
        .get("/api/cluster-name", Management, cluster_name)
        .put("/api/cluster-name", Administrator, put_cluster_name)
}

async fn list(user: User, State(common): State<Common>) -> Answer {
    let parameters = read(&common).await?;
    let may_enter = |of: &Parameter| user.may_enter(&of.vhost);
    answer::body(shown_all(&parameters, may_enter))
}

async fn of_component(user: User, State(common): State<Common>, Path(component): Path<String>) -> Answer {
    let parameters = read(&common).await?;
    let may_enter = |of: &Parameter| user.may_enter(&of.vhost);
    answer::body(shown_all(&parameters, |of| *of.component == *component.as_bytes() && may_enter(of)))
}

async fn of_vhost(State(common): State<Common>, Path((component, vhost)): Path<(String, String)>) -> Answer {
    vhosts::check(&common, &vhost).await?;
    let parameters = read(&common).await?;
    answer::body(shown_all(&parameters, |of| {
        *of.component == *component.as_bytes() && *of.vhost == *vhost.as_bytes()
    }))
}

async fn one(
    State(common): State<Common>,
    Path((component, vhost, name)): Path<(String, String, String)>,
) -> Answer {
    let parameters = read(&common).await?;
    let one = parameters.one(vhost.as_bytes(), component.as_bytes(), name.as_bytes());
    let one = one.filter(|_| component.as_bytes() != POLICY);
    answer::body(shown(one.ok_or(Refusal::NotFound)?))
}

async fn put(
    State(common): State<Common>,
    Path((component, vhost, name)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    check_vhost(&common, &vhost).await?;
    let value = value_of(&body)?;
    if component.as_bytes() == POLICY {
        return Err(Refusal::BadRequest("policies may not be set using this method".to_owned()));
    }
    let parameter = Parameter::new(vhost.as_bytes(), component.as_bytes(), name.as_bytes(), value);
    put_one(&common, parameter.map_err(|text| Refusal::BadRequest(escaped(&text)))?).await
}

async fn delete(
    State(common): State<Common>,
    Path((component, vhost, name)): Path<(String, String, String)>,
) -> Answer {
    if component.as_bytes() == POLICY {
        return Err(Refusal::NotFound);
    }
    delete_one(&common, &vhost, component.as_bytes(), &name).await
}

async fn globals(State(common): State<Common>) -> Answer {
    let parameters = read(&common).await?;
    answer::body(shown_globals(&parameters))
}

async fn global(State(common): State<Common>, Path(name): Path<String>) -> Answer {
    let parameters = read(&common).await?;
    let value = parameters.global(name.as_bytes()).ok_or(Refusal::NotFound)?;
    answer::body(shown_global(name.as_bytes(), value))
}

async fn put_global(State(common): State<Common>, Path(name): Path<String>, body: Bytes) -> Answer {
    let value = value_of(&body)?;
    let existed = read(&common).await?.global(name.as_bytes()).is_some();
    change(&common, vec![Change::GlobalPut { name: named(&name), value }]).await?;
    answer::put(existed)
}

async fn delete_global(State(common): State<Common>, Path(name): Path<String>) -> Answer {
    read(&common).await?.global(name.as_bytes()).ok_or(Refusal::NotFound)?;
    change(&common, vec![Change::GlobalDeleted { name: named(&name) }]).await?;
    answer::deleted()
}

async fn cluster_name(State(api): State<Api>) -> Answer {
    answer::body(json!({"name": cluster_name_of(&api).await?}))
}

async fn put_cluster_name(State(common): State<Common>, body: Bytes) -> Answer {
    let name = match answer::read_map(&body)?.remove("name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(Refusal::BadRequest("the name of a cluster is a text".to_owned())),
        None => return Err(Refusal::BadRequest("[{key_missing,name}]".to_owned())),
    };
    let (parameter, value) = (Name::from(CLUSTER_NAME), Value::String(name));
    change(&common, vec![Change::GlobalPut { name: parameter, value }]).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What it was set to here, or else by the configuration.
pub async fn cluster_name_of(api: &Api) -> Result<String, Refusal> {
    let parameters = read(&api.common).await?;
    Ok(parameters.cluster_name().unwrap_or(&api.site.cluster).to_owned())
}

/// As they are.
pub async fn read(common: &Common) -> Result<Parameters, Refusal> {
    match common.ask(Order::Parameters).await {
        Some(Done::Parameters(parameters)) => Ok(parameters),
        _ => Err(Refusal::Unavailable),
    }
}

/// Changes parameters; they are on disk and count everywhere when this returns.
pub async fn change(common: &Common, changes: Vec<Change>) -> Result<(), Refusal> {
    changes.iter().for_each(warn_of_no_effect);
    match common.ask(Order::ChangeParameters(changes)).await {
        Some(Done::Changed) => Ok(()),
        _ => Err(Refusal::Unavailable),
    }
}

fn warn_of_no_effect(change: &Change) {
    if let Change::Put(parameter @ Parameter { vhost, component, name, .. }) = change
        && parameter.asks_for_federation()
    {
        let [vhost, component, name] = [vhost, component, name].map(|text| lossy(text));
        tracing::warn!(%vhost, %component, %name, "this has no effect: nothing is federated here");
    }
}

pub async fn put_one(common: &Common, parameter: Parameter) -> Answer {
    let Parameter { vhost, component, name, .. } = &parameter;
    let existed = read(common).await?.one(vhost, component, name).is_some();
    change(common, vec![Change::Put(parameter)]).await?;
    answer::put(existed)
}

pub async fn delete_one(common: &Common, vhost: &str, component: &[u8], name: &str) -> Answer {
    let parameters = read(common).await?;
    let one = parameters.one(vhost.as_bytes(), component, name.as_bytes()).ok_or(Refusal::NotFound)?;
    let Parameter { vhost, component, name, .. } = Parameter::clone(one);
    change(common, vec![Change::Deleted { vhost, component, name }]).await?;
    answer::deleted()
}

/// Where something is to be put, RabbitMQ names what is not there.
pub async fn check_vhost(common: &Common, vhost: &str) -> Result<(), Refusal> {
    vhosts::check(common, vhost).await.map(drop).map_err(|refusal| match refusal {
        Refusal::NotFound => Refusal::Missing("vhost_not_found".to_owned()),
        other => other,
    })
}

/// RabbitMQ's texts for parameters are made for pages.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The field `value` of a body.
pub fn value_of(body: &[u8]) -> Result<Value, Refusal> {
    let mut map: Map<String, Value> = answer::read_map(body)?;
    map.remove("value").ok_or_else(|| Refusal::BadRequest("[{key_missing,value}]".to_owned()))
}

/// Policies are not among them: they have an API of their own.
pub fn shown_all(parameters: &Parameters, wanted: impl Fn(&Parameter) -> bool) -> Vec<Value> {
    let all = parameters.all().filter(|parameter| *parameter.component != *POLICY && wanted(parameter));
    all.map(|parameter| shown(parameter)).collect()
}

fn shown(Parameter { vhost, component, name, value, .. }: &Parameter) -> Value {
    json!({"value": value, "vhost": lossy(vhost), "component": lossy(component), "name": lossy(name)})
}

pub fn shown_globals(parameters: &Parameters) -> Vec<Value> {
    parameters.globals().map(|(name, value)| shown_global(name, value)).collect()
}

fn shown_global(name: &[u8], value: &Value) -> Value {
    json!({"name": lossy(name), "value": value})
}
