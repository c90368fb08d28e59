//! `/api/bindings`, and the bindings of an exchange or a queue.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{self, Answer, Refusal};
use super::direct::{Body, Session, enter, exchange_name};
use super::list::{Asked, Row};
use super::login::User;
use super::routes::{Need, Routes};
use super::table;
use crate::amqp::{Method, ShortStr, Table};
use crate::ids::Name;
use crate::shard::desk::{Done, End, ListedBinding, Order, Wanted};
use crate::shard::start::Common;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{EnterVhost, Management};
    routes
        .get("/api/queues/{vhost}/{queue}/bindings", EnterVhost, of_queue)
        .get("/api/exchanges/{vhost}/{exchange}/bindings/source", EnterVhost, from_exchange)
        .get("/api/exchanges/{vhost}/{exchange}/bindings/destination", EnterVhost, to_exchange)
        .get("/api/bindings", Management, list)
        .get("/api/bindings/{vhost}", EnterVhost, of_vhost)
        .get("/api/bindings/{vhost}/e/{source}/{kind}/{destination}", EnterVhost, between)
        .post("/api/bindings/{vhost}/e/{source}/{kind}/{destination}", EnterVhost, bind)
        .get("/api/bindings/{vhost}/e/{source}/{kind}/{destination}/{props}", EnterVhost, one)
        .delete("/api/bindings/{vhost}/e/{source}/{kind}/{destination}/{props}", EnterVhost, unbind)
}

async fn list(user: User, State(common): State<Common>, Query(asked): Query<Asked>) -> Answer {
    let Some(Done::Vhosts(vhosts)) = common.ask(Order::Vhosts).await else {
        return Err(Refusal::Unavailable);
    };
    let mut all = Vec::new();
    for (vhost, _) in vhosts.iter().filter(|(vhost, _)| user.may_enter(vhost)) {
        match all_in(&common, vhost).await {
            Ok(shown) => all.extend(shown),
            // It has gone meanwhile.
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    asked.list(all)
}

async fn of_vhost(
    State(common): State<Common>,
    Path(vhost): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    asked.list(all_in(&common, &named(&vhost)).await?)
}

/// With that to the default exchange, whether there is such a queue or not.
async fn of_queue(
    State(common): State<Common>,
    Path((vhost, queue)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Answer {
    let (vhost, queue) = (named(&vhost), End::Queue(named(&queue)));
    let mut bindings = ask(&common, &vhost, Wanted::To(queue.clone())).await?;
    bindings.extend(default_binding(queue));
    asked.list(rows(&vhost, bindings))
}

async fn from_exchange(
    State(common): State<Common>,
    Path((vhost, exchange)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Answer {
    let (vhost, exchange) = (named(&vhost), exchange_named(&exchange)?);
    let wanted = if exchange.is_empty() { Wanted::Default } else { Wanted::From(exchange) };
    asked.list(rows(&vhost, ask(&common, &vhost, wanted).await?))
}

async fn to_exchange(
    State(common): State<Common>,
    Path((vhost, exchange)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Answer {
    let vhost = named(&vhost);
    let to = Wanted::To(End::Exchange(exchange_named(&exchange)?));
    asked.list(rows(&vhost, ask(&common, &vhost, to).await?))
}

/// The ends of a binding as a path names them, and perhaps which of those between them.
#[derive(Deserialize)]
pub struct Ends {
    vhost: String,
    source: String,
    /// `q`, or `e`.
    kind: String,
    destination: String,
    #[serde(default)]
    props: String,
}

async fn between(State(common): State<Common>, Path(ends): Path<Ends>, Query(asked): Query<Asked>) -> Answer {
    asked.list(rows(&named(&ends.vhost), ends.bindings(&common).await?))
}

async fn one(State(common): State<Common>, Path(ends): Path<Ends>, Query(asked): Query<Asked>) -> Answer {
    asked.one(Shown { vhost: named(&ends.vhost), binding: ends.binding(&common).await? }.render())
}

/// Binding again what is bound changes nothing, and is answered as if it was new.
async fn bind(user: User, State(common): State<Common>, Path(ends): Path<Ends>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    let (routing_key, arguments) = (body.short("routing_key", "")?, body.arguments()?);
    let (source, destination) = (exchange_name(&ends.source)?, ends.destination()?);
    let arguments = Table::decode(&arguments).expect("it was checked");
    let bind = match &destination {
        End::Queue(queue) => Method::QueueBind {
            queue: short(queue)?,
            exchange: source,
            routing_key,
            nowait: false,
            arguments,
        },
        End::Exchange(exchange) => Method::ExchangeBind {
            destination: short(exchange)?,
            source,
            routing_key,
            nowait: false,
            arguments,
        },
    };
    enter(&common, &user, &ends.vhost).await?.call(bind).await?;
    let props = properties_key(&routing_key, &arguments.sorted());
    let location = format!("{}/{}", quoted(ends.destination.as_bytes()), quoted(props.as_bytes()));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

async fn unbind(user: User, State(common): State<Common>, Path(ends): Path<Ends>) -> Answer {
    let ListedBinding { source, destination, key, arguments } = ends.binding(&common).await?;
    let (source, routing_key) = (short(&source)?, short(&key)?);
    let arguments = Table::decode(&arguments).expect("it was checked when it was bound");
    let unbind = match &destination {
        End::Queue(queue) => {
            Method::QueueUnbind { queue: short(queue)?, exchange: source, routing_key, arguments }
        }
        End::Exchange(exchange) => Method::ExchangeUnbind {
            destination: short(exchange)?,
            source,
            routing_key,
            nowait: false,
            arguments,
        },
    };
    let mut session: Session = enter(&common, &user, &ends.vhost).await?;
    session.call(unbind).await?;
    answer::deleted()
}

impl Ends {
    fn destination(&self) -> Result<End, Refusal> {
        match &*self.kind {
            "q" => Ok(End::Queue(named(&self.destination))),
            "e" => Ok(End::Exchange(exchange_named(&self.destination)?)),
            _ => Err(Refusal::NotFound),
        }
    }

    async fn bindings(&self, common: &Common) -> Result<Vec<ListedBinding>, Refusal> {
        let (vhost, source, destination) =
            (named(&self.vhost), exchange_named(&self.source)?, self.destination()?);
        let is_default = source.is_empty();
        let mut bindings = ask(common, &vhost, Wanted::Between(source, destination.clone())).await?;
        bindings.extend(default_binding(destination).filter(|_| is_default));
        Ok(bindings)
    }

    async fn binding(&self, common: &Common) -> Result<ListedBinding, Refusal> {
        let (key, hash) = self.props.split_once('~').unwrap_or((&self.props, ""));
        let is_wanted = |binding: &ListedBinding| {
            let is_key = quoted_key(&binding.key) == key || *binding.key == *key.as_bytes();
            is_key && hash_of(&binding.arguments) == hash
        };
        self.bindings(common).await?.into_iter().find(is_wanted).ok_or(Refusal::NotFound)
    }
}

async fn all_in(common: &Common, vhost: &Name) -> Result<Vec<Shown>, Refusal> {
    let mut bindings = ask(common, vhost, Wanted::Default).await?;
    bindings.extend(ask(common, vhost, Wanted::All).await?);
    Ok(rows(vhost, bindings))
}

/// Piece by piece, so that no shard is kept from its work.
async fn ask(common: &Common, vhost: &Name, wanted: Wanted) -> Result<Vec<ListedBinding>, Refusal> {
    let (mut bindings, mut place) = (Vec::new(), None);
    loop {
        let order = Order::Bindings { vhost: vhost.clone(), wanted: wanted.clone(), place };
        match common.ask(order).await {
            Some(Done::Bindings(mut piece)) => {
                bindings.append(&mut piece.bindings);
                place = piece.next;
            }
            Some(Done::NotFound) => return Err(Refusal::NotFound),
            _ => return Err(Refusal::Unavailable),
        }
        if place.is_none() {
            return Ok(bindings);
        }
    }
}

fn default_binding(destination: End) -> Option<ListedBinding> {
    let End::Queue(key) = &destination else { return None };
    let (key, nothing) = (key.clone(), Name::from([]));
    Some(ListedBinding { source: nothing.clone(), destination, key, arguments: nothing })
}

/// Those that were made, of one vhost or of all, as definitions have them.
pub async fn definitions(common: &Common, of: Option<&str>) -> Result<Vec<Value>, Refusal> {
    let Some(Done::Vhosts(vhosts)) = common.ask(Order::Vhosts).await else {
        return Err(Refusal::Unavailable);
    };
    let mut all = Vec::new();
    for (vhost, _) in vhosts.iter().filter(|(vhost, _)| of.is_none_or(|of| of.as_bytes() == &**vhost)) {
        match ask(common, vhost, Wanted::All).await {
            Ok(bindings) => all.extend(rows(vhost, bindings).iter().map(Row::render)),
            // It has gone meanwhile.
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    all.iter_mut().filter_map(Value::as_object_mut).for_each(|binding| _ = binding.remove("properties_key"));
    Ok(all)
}

/// In RabbitMQ's order, which sorting by vhost and source keeps.
fn rows(vhost: &Name, mut bindings: Vec<ListedBinding>) -> Vec<Shown> {
    let order = |binding: &ListedBinding| {
        let (End::Queue(name) | End::Exchange(name)) = &binding.destination;
        let (source, key) = (binding.source.clone(), binding.key.clone());
        (source, name.clone(), key, binding.arguments.clone())
    };
    bindings.sort_by_cached_key(order);
    bindings.into_iter().map(|binding| Shown { vhost: vhost.clone(), binding }).collect()
}

/// A binding in a list.
struct Shown {
    vhost: Name,
    binding: ListedBinding,
}

impl Row for Shown {
    fn vhost(&self) -> Cow<'_, str> {
        lossy(&self.vhost)
    }

    fn name(&self) -> Cow<'_, str> {
        lossy(&self.binding.source)
    }

    fn render(&self) -> Value {
        shown(&self.vhost, &self.binding)
    }
}

pub fn shown(vhost: &Name, binding: &ListedBinding) -> Value {
    let ListedBinding { source, destination, key, arguments } = binding;
    let (name, kind) = match destination {
        End::Queue(name) => (name, "queue"),
        End::Exchange(name) => (name, "exchange"),
    };
    json!({
        "source": table::text(source),
        "vhost": table::text(vhost),
        "destination": table::text(name),
        "destination_type": kind,
        "routing_key": table::text(key),
        "arguments": table::shown(Table::decode(arguments).expect("it was checked when it was bound")),
        "properties_key": properties_key(key, arguments),
    })
}

/// What tells a binding from the others between the same ends, fit for a path: `~` if there is nothing to tell.
fn properties_key(key: &[u8], arguments: &[u8]) -> String {
    match (quoted_key(key), hash_of(arguments)) {
        (key, hash) if key.is_empty() || !hash.is_empty() => format!("{key}~{hash}"),
        (key, _) => key,
    }
}

fn quoted_key(key: &[u8]) -> String {
    quoted(key).replace('~', "%7E")
}

/// Clients take it as it is: RabbitMQ's comes from Erlang. Nothing for no arguments.
fn hash_of(arguments: &[u8]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    Base64UrlUnpadded::encode_string(&Sha256::digest(arguments)[..HASH_BYTES])
}

const HASH_BYTES: usize = 9;

/// As forms are encoded.
fn quoted(bytes: &[u8]) -> String {
    let quoted = |&byte: &u8| match byte {
        b' ' => "+".to_owned(),
        b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(quoted).collect()
}

fn exchange_named(name: &str) -> Result<Name, Refusal> {
    Ok(Name::from(exchange_name(name)?.as_bytes()))
}

fn short(name: &[u8]) -> Result<ShortStr<'_>, Refusal> {
    ShortStr::new(name).ok_or(Refusal::NotFound)
}

fn named(name: &str) -> Name {
    Name::from(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keys_are_rabbitmqs_but_for_the_hash() {
        assert_eq!(properties_key(b"", b""), "~");
        assert_eq!(properties_key("a~b/c d+%é".as_bytes(), b""), "a%7Eb%2Fc+d%2B%25%C3%A9");
        let arguments = table::written(&json!({"x": 1, "y": "z"})).unwrap();
        let hash = hash_of(&arguments);
        assert_eq!(hash.len(), 12);
        assert_eq!(properties_key(b"k", &arguments), format!("k~{hash}"));
        assert_eq!(properties_key(b"", &arguments), format!("~{hash}"));
        assert_ne!(hash_of(&table::written(&json!({"x": 2, "y": "z"})).unwrap()), hash);
    }
}
