//! Where a message would go, and by which bindings; nothing is published.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::super::answer::{self, Answer, Refusal};
use super::super::direct::{Body, exchange_name, text};
use super::super::{bindings, table, vhosts};
use crate::amqp::Table;
use crate::exchange::{ExchangeSpec, Inquiry, RouteError, Trail};
use crate::ids::{Name, ShardId};
use crate::shard::desk::{Done, End, ListedBinding, Order, Wanted};
use crate::shard::report::Sought;
use crate::shard::start::Common;
use crate::text::lossy;

pub async fn explain(State(common): State<Common>, Path(vhost): Path<String>, body: Bytes) -> Answer {
    let body = Body::read(&body)?;
    let [exchange] = body.require(["exchange"])?;
    let exchange = Name::from(exchange_name(text("exchange", exchange)?)?.as_bytes());
    let routing_key = body.short("routing_key", "")?;
    let headers = body.find("headers").map_or(Ok(Vec::new()), table::written).map_err(Refusal::BadRequest)?;
    vhosts::check(&common, &vhost).await?;
    let vhost = Name::from(vhost.as_bytes());
    let refused = |error: RouteError| Told::default().shown(Some((error, error.text(&vhost, &exchange))));
    let Some(spec) = find_exchange(&common, &vhost, &exchange).await? else {
        return answer::body(refused(RouteError::NoExchange));
    };
    if spec.internal {
        return answer::body(refused(RouteError::Internal));
    }
    let headers = Table::decode(&headers).expect("it was checked");
    let told = match Inquiry::new(routing_key.as_bytes(), headers) {
        Ok(inquiry) => Told::follow(&common, &vhost, exchange, inquiry).await?.shown(None),
        Err(header) => refused(RouteError::Header(header)),
    };
    answer::body(told)
}

/// What is found out on the way.
#[derive(Default)]
struct Told {
    queues: BTreeSet<Name>,
    exchanges: Vec<Value>,
    /// Some binding, or alternate, has taken the message.
    is_led_on: bool,
}

impl Told {
    async fn follow(
        common: &Common,
        vhost: &Name,
        exchange: Name,
        inquiry: Inquiry<'_>,
    ) -> Result<Told, Refusal> {
        let (mut told, mut trail) = (Told::default(), Trail::new(inquiry, exchange));
        while let Some(name) = trail.advance() {
            let Some(spec) = find_exchange(common, vhost, &name).await? else {
                told.exchanges.push(json!({"exchange": table::text(&name), "exists": false}));
                continue;
            };
            let passed = if name.is_empty() {
                told.by_name(common, vhost, &inquiry).await?
            } else {
                told.by_bindings(common, vhost, &spec, &mut trail).await?
            };
            let alternate_taken = trail.leave(&spec);
            told.is_led_on |= alternate_taken || !passed.is_empty();
            told.exchanges.push(json!({
                "exchange": table::text(&name),
                "exists": true,
                "type": spec.kind.name(),
                "bindings": passed.iter().map(|binding| bindings::shown(vhost, binding)).collect::<Value>(),
                "alternate_exchange": spec.alternate.as_ref().map(|name| table::text(name)),
                "alternate_taken": alternate_taken,
            }));
        }
        Ok(told)
    }

    /// The bindings of the exchange that take the message.
    async fn by_bindings(
        &mut self,
        common: &Common,
        vhost: &Name,
        spec: &ExchangeSpec,
        trail: &mut Trail<'_>,
    ) -> Result<Vec<ListedBinding>, Refusal> {
        let (mut passed, mut place) = (Vec::new(), None);
        loop {
            let wanted = Wanted::From(spec.name.clone());
            let piece = match common.ask(Order::Bindings { vhost: vhost.clone(), wanted, place }).await {
                Some(Done::Bindings(piece)) => piece,
                Some(Done::NotFound) => return Err(Refusal::NotFound),
                _ => return Err(Refusal::Unavailable),
            };
            for binding in piece.bindings {
                let to = match &binding.destination {
                    End::Exchange(name) => Some(name),
                    End::Queue(_) => None,
                };
                if trail.visit(spec.kind, &binding.key, &binding.arguments, to) {
                    if let End::Queue(queue) = &binding.destination {
                        self.queues.insert(queue.clone());
                    }
                    passed.push(binding);
                }
            }
            place = piece.next;
            if place.is_none() {
                return Ok(passed);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The default exchange has a binding to each queue by its name, which is kept nowhere.
    async fn by_name(
        &mut self,
        common: &Common,
        vhost: &Name,
        inquiry: &Inquiry<'_>,
    ) -> Result<Vec<ListedBinding>, Refusal> {
        let mut passed = Vec::new();
        for key in inquiry.keys() {
            let name = Name::from(key);
            let order = Order::Seek { vhost: vhost.clone(), name: name.clone() };
            match common.ask_at(ShardId::CONTROL, order).await {
                Some(Done::Sought(Sought::Nowhere)) => continue,
                Some(Done::Sought(Sought::Here(_) | Sought::At(_))) => {}
                _ => return Err(Refusal::Unavailable),
            }
            if self.queues.insert(name.clone()) {
                passed.push(ListedBinding {
                    source: Name::from([]),
                    destination: End::Queue(name.clone()),
                    key: name,
                    arguments: Name::from([]),
                });
            }
        }
        Ok(passed)
    }

    fn shown(self, refused: Option<(RouteError, String)>) -> Value {
        let Told { queues, exchanges, is_led_on } = self;
        let why_not = match &refused {
            Some((RouteError::NoExchange, text)) => Some(("no_exchange", text.as_str())),
            Some((RouteError::Internal, text)) => Some(("internal_exchange", text.as_str())),
            Some((RouteError::Header(_), text)) => Some(("unacceptable_header", text.as_str())),
            None if !queues.is_empty() => None,
            None if is_led_on => {
                Some(("no_queue_reached", "it is led on to exchanges, and by those to no queue"))
            }
            None => Some(("no_binding_matches", "no binding of the exchange takes it")),
        };
        json!({
            "routed": !queues.is_empty(),
            "queues": queues.iter().map(|name| lossy(name)).collect::<Vec<_>>(),
            "why_not": why_not.map(|(code, _)| code),
            "explanation": why_not.map(|(_, text)| text),
            "exchanges": exchanges,
        })
    }
}

async fn find_exchange(
    common: &Common,
    vhost: &Name,
    name: &Name,
) -> Result<Option<Box<ExchangeSpec>>, Refusal> {
    let order = Order::Exchange { vhost: vhost.clone(), name: name.clone() };
    match common.ask(order).await {
        Some(Done::Exchange(spec)) => Ok(Some(spec)),
        Some(Done::NotFound) => Ok(None),
        _ => Err(Refusal::Unavailable),
    }
}
