//! `/api/vhosts`

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::list::Asked;
use super::login::User;
use super::routes::{Need, Routes};
use super::site::Api;
use super::users::named;
use super::watch::{Ages, Rates, Subject, message_stats, number_with_rate};
use crate::access::{self, Access, Change, Permission};
use crate::ids::Name;
use crate::machine;
use crate::shard::desk::{Done, Order};
use crate::shard::start::Common;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, Management};
    routes
        .get("/api/vhosts", Management, list)
        .get("/api/vhosts/{vhost}", Administrator, one)
        .put("/api/vhosts/{vhost}", Administrator, put)
        .delete("/api/vhosts/{vhost}", Administrator, delete)
        .post("/api/vhosts/{vhost}/deletion/protection", Administrator, protect)
        .delete("/api/vhosts/{vhost}/deletion/protection", Administrator, unprotect)
}

/// What is told of a vhost; kept by the broker as JSON.
#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
#[serde(default)]
struct About {
    description: String,
    /// Names, or one text with commas.
    tags: Tags,
    #[serde(rename = "defaultqueuetype", alias = "default_queue_type")]
    default_queue_type: Option<String>,
    tracing: bool,
    /// Whether it must not be deleted.
    #[serde(rename = "protected_from_deletion")]
    protected: Option<bool>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Tags {
    List(Vec<String>),
    Text(String),
}

impl Default for Tags {
    fn default() -> Tags {
        Tags::List(Vec::new())
    }
}

impl Tags {
    fn list(&self) -> Vec<String> {
        match self {
            Tags::List(tags) => tags.clone(),
            Tags::Text(text) => {
                let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                tags.map(str::to_owned).collect()
            }
        }
    }
}

/// Those that the user may enter, unless it may see all.
async fn list(User { user, access, .. }: User, State(api): State<Api>) -> Answer {
    let mut all = all(&api.common).await?;
    all.retain(|vhost| may_see(&user, &access, vhost));
    let rates = api.watch.rates();
    all.iter_mut().for_each(|vhost| add_counts(&rates, vhost));
    answer::body(all)
}

async fn one(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    ages: Ages,
) -> Answer {
    let mut shown = check(&api.common, &name).await?;
    add_counts(&api.watch.rates(), &mut shown);
    ages.add_samples(&api.watch, Subject::Vhost(named(&name)), &mut shown);
    asked.one(shown)
}

/// What was in a vhost and passed it when all was looked at last.
fn add_counts(rates: &Rates, vhost: &mut Value) {
    let Value::Object(shown) = vhost else { return };
    let totals = rates.totals(shown["name"].as_str().map(str::as_bytes));
    let now = totals.now;
    number_with_rate(shown, "messages", now.ready + now.unacked, totals.ready + totals.unacked);
    number_with_rate(shown, "messages_ready", now.ready, totals.ready);
    number_with_rate(shown, "messages_unacknowledged", now.unacked, totals.unacked);
    shown.insert("message_stats".to_owned(), message_stats(&now.traffic, totals.traffic));
}

/// The vhost of that name, as it is shown.
pub async fn check(common: &Common, name: &str) -> Result<Value, Refusal> {
    let found = told(common).await?.into_iter().find(|(vhost, _)| **vhost == *name.as_bytes());
    let (vhost, about) = found.ok_or(Refusal::NotFound)?;
    Ok(shown(&vhost, &about, &node(common)))
}

fn may_see(user: &access::User, access: &Access, vhost: &Value) -> bool {
    let name = vhost["name"].as_str().unwrap_or_default();
    user.tags.may_monitor() || access.may_enter(&user.name, name.as_bytes())
}

async fn put(asker: User, State(common): State<Common>, Path(name): Path<String>, body: Bytes) -> Answer {
    let mut about: About = if body.is_empty() { About::default() } else { answer::read(&body)? };
    if about.protected.is_none() {
        about.protected = before(&common, &name).await?.and_then(|before| before.protected);
    }
    let existed = declare(&common, &name, &about).await?;
    if !existed && !asker.is_trusted() {
        // Who makes a vhost may use it, as with RabbitMQ.
        let (vhost, user, permission) = (named(&name), asker.user.name.clone(), Permission::all());
        answer::changed(&common, vec![Change::PermissionPut { vhost, user, permission }]).await?;
    }
    answer::put(existed)
}

/// A vhost of definitions.
pub async fn define(common: &Common, name: &str, item: &Value) -> Result<(), Refusal> {
    let mut about = item.clone();
    if let Some(metadata) = item.get("metadata").and_then(Value::as_object)
        && let Value::Object(about) = &mut about
    {
        about.extend(metadata.clone());
    }
    if let Value::Object(about) = &mut about
        && about.get("default_queue_type").is_some_and(|kind| kind == "undefined")
    {
        about.remove("default_queue_type");
    }
    let about: About =
        serde_json::from_value(about).map_err(|error| Refusal::BadRequest(error.to_string()))?;
    declare(common, name, &about).await.map(drop)
}

async fn protect(State(common): State<Common>, Path(name): Path<String>) -> Answer {
    set_protected(&common, &name, true).await
}

async fn unprotect(State(common): State<Common>, Path(name): Path<String>) -> Answer {
    set_protected(&common, &name, false).await
}

async fn set_protected(common: &Common, name: &str, protected: bool) -> Answer {
    let before = before(common, name).await?.ok_or(Refusal::NotFound)?;
    declare(common, name, &About { protected: Some(protected), ..before }).await?;
    answer::deleted()
}

/// Answers whether it was there.
async fn declare(common: &Common, name: &str, about: &About) -> Result<bool, Refusal> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Refusal::BadRequest(format!("the name of a vhost has 1 to {NAME_BYTES_MAX} octets")));
    }
    let about = serde_json::to_vec(about).expect("a struct of texts is JSON");
    match common.ask(Order::DeclareVhost { vhost: named(name), about: Name::from(about) }).await {
        Some(Done::Vhost { existed }) => Ok(existed),
        Some(Done::VhostEnds) => Err(Refusal::BadRequest(format!("vhost '{name}' is being deleted"))),
        _ => Err(Refusal::Unavailable),
    }
}

/// What is told of a vhost so far; none if it is not there.
async fn before(common: &Common, name: &str) -> Result<Option<About>, Refusal> {
    let found = told(common).await?.into_iter().find(|(vhost, _)| **vhost == *name.as_bytes());
    Ok(found.map(|(_, about)| serde_json::from_slice(&about).unwrap_or_default()))
}

async fn delete(State(common): State<Common>, Path(name): Path<String>) -> Answer {
    if before(&common, &name).await?.is_some_and(|vhost| vhost.protected == Some(true)) {
        let text = format!("Refusing to delete virtual host '{name}' because it is protected from deletion");
        return Err(Refusal::Precondition(text));
    }
    match common.ask(Order::DeleteVhost { vhost: named(&name) }).await {
        Some(Done::Vhost { .. }) => answer::deleted(),
        Some(Done::VhostEnds | Done::NotFound) => Err(Refusal::NotFound),
        _ => Err(Refusal::Unavailable),
    }
}

pub async fn all(common: &Common) -> Result<Vec<Value>, Refusal> {
    let node = node(common);
    Ok(told(common).await?.iter().map(|(name, about)| shown(name, about, &node)).collect())
}

fn node(common: &Common) -> String {
    common.config.node_name(&machine::host_name())
}

/// The names of all, with what is told of them.
async fn told(common: &Common) -> Result<Vec<(Name, Name)>, Refusal> {
    match common.ask(Order::Vhosts).await {
        Some(Done::Vhosts(vhosts)) => Ok(vhosts),
        _ => Err(Refusal::Unavailable),
    }
}

fn shown(name: &[u8], about: &[u8], node: &str) -> Value {
    let mut about: About = serde_json::from_slice(about).unwrap_or_default();
    if name == b"/" && about == (About { protected: about.protected, ..About::default() }) {
        about.description = "Default virtual host".to_owned();
    }
    let queue_type = about.default_queue_type.as_deref().unwrap_or("undefined");
    let tags = about.tags.list();
    json!({
        "name": String::from_utf8_lossy(name),
        "description": about.description,
        "tags": tags,
        "default_queue_type": queue_type,
        "tracing": about.tracing,
        "protected_from_deletion": about.protected.unwrap_or(false),
        "metadata": {"description": about.description, "tags": tags, "default_queue_type": queue_type},
        "cluster_state": {node: "running"},
    })
}

/// connection.open has no more for it.
const NAME_BYTES_MAX: usize = 255;
