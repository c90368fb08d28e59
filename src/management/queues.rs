//! `/api/queues`: what there is; how it is declared and emptied is in `direct`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::connections::{self, ConnectionName};
use super::list::{Asked, Row};
use super::login::User;
use super::routes::{Need, Routes};
use super::site::{Api, Site};
use super::table;
use super::vhosts;
use super::watch::{self, Ages, Rates, Subject, message_stats, time_text};
use crate::amqp::Table;
use crate::queue_args::QueueKind;
use crate::shard::report::QueueReport;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Management, SeeVhost};
    routes
        .get("/api/queues", Management, list)
        .get("/api/queues/detailed", Management, list)
        .get("/api/queues/{vhost}", SeeVhost, of_vhost)
        .get("/api/queues/{vhost}/{queue}", SeeVhost, one)
}

/// A queue in a list.
pub struct Shown {
    pub report: QueueReport,
    rates: Arc<Rates>,
    site: Arc<Site>,
}

/// Of all vhosts that the user may see.
async fn list(user: User, State(api): State<Api>, Query(asked): Query<Asked>) -> Answer {
    listed(&api, &asked, |vhost| user.may_see(vhost)).await
}

async fn of_vhost(State(api): State<Api>, Path(vhost): Path<String>, Query(asked): Query<Asked>) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    listed(&api, &asked, |of| *of == *vhost.as_bytes()).await
}

async fn listed(api: &Api, asked: &Asked, wanted: impl Fn(&[u8]) -> bool) -> Answer {
    let mut shown = all(api).await?;
    shown.retain(|queue| wanted(&queue.report.spec.vhost));
    asked.list(shown)
}

async fn one(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    ages: Ages,
) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    let queue = find(&api, &vhost, &name).await?;
    let mut shown = queue.render();
    ages.add_samples(&api.watch, Subject::Queue(queue.report.id), &mut shown);
    let consumers = connections::consumers_of(&api, &queue.report).await?;
    if let Value::Object(shown) = &mut shown {
        shown.insert("consumer_details".to_owned(), consumers);
        // RabbitMQ has these for rates_mode detailed.
        shown.insert("incoming".to_owned(), json!([]));
        shown.insert("deliveries".to_owned(), json!([]));
        if let Some(owner) = queue.report.spec.exclusive {
            let owner = connections::find(&api, owner).await.map(|owner| owner.owner());
            shown.insert("owner_pid_details".to_owned(), owner.unwrap_or(Value::Null));
        }
    }
    asked.one(shown)
}

async fn all(api: &Api) -> Result<Vec<Shown>, Refusal> {
    let (rates, queues) = (api.watch.rates(), watch::queues(&api.common).await?);
    let shown = |report| Shown { report, rates: rates.clone(), site: api.site.clone() };
    Ok(queues.into_iter().map(shown).collect())
}

async fn find(api: &Api, vhost: &str, name: &str) -> Result<Shown, Refusal> {
    let report = watch::queue(&api.common, vhost.as_bytes(), name.as_bytes()).await?;
    let report = report.ok_or(Refusal::NotFound)?;
    Ok(Shown { report, rates: api.watch.rates(), site: api.site.clone() })
}

impl Row for Shown {
    fn vhost(&self) -> Cow<'_, str> {
        lossy(&self.report.spec.vhost)
    }

    fn name(&self) -> Cow<'_, str> {
        lossy(&self.report.spec.name)
    }

    fn render(&self) -> Value {
        let QueueReport { id, spec, ready, unacked, consumers, paused, capacity, .. } = &self.report;
        let QueueReport { ready_bodies, unacked_bodies, traffic, policies, .. } = &self.report;
        let rates = self.rates.queue(*id);
        let kind = match spec.rules.kind {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
        };
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| _ = row.insert(name.to_owned(), value);
        put("name", json!(self.name()));
        put("vhost", json!(self.vhost()));
        put("type", json!(kind));
        put("durable", json!(spec.durable));
        put("auto_delete", json!(spec.auto_delete));
        put("exclusive", json!(spec.exclusive.is_some()));
        put("arguments", table::shown(Table::from_checked(&spec.arguments)));
        put("node", json!(self.site.node));
        put("state", json!(if *paused { "paused" } else { "running" }));
        if let Some(since) = self.rates.queue_idle_since(&self.report) {
            put("idle_since", json!(time_text(since)));
        }
        put("policy", json!(policies.policy.as_ref().map(|policy| lossy(&policy.name))));
        put("operator_policy", json!(policies.operator.as_ref().map(|policy| lossy(&policy.name))));
        put("effective_policy_definition", Value::Object(policies.definition()));
        put("consumers", json!(consumers));
        put("consumer_capacity", json!(capacity));
        put("consumer_utilisation", json!(capacity));
        put("messages", json!(ready + unacked));
        put("messages_details", json!({"rate": rates.ready + rates.unacked}));
        put("messages_ready", json!(ready));
        put("messages_ready_details", json!({"rate": rates.ready}));
        put("messages_unacknowledged", json!(unacked));
        put("messages_unacknowledged_details", json!({"rate": rates.unacked}));
        put("messages_ram", json!(ready + unacked));
        put("messages_ready_ram", json!(ready));
        put("messages_unacknowledged_ram", json!(unacked));
        put("messages_paged_out", json!(0));
        let bytes = ready_bodies.bytes + unacked_bodies.bytes;
        put("message_bytes", json!(bytes));
        put("message_bytes_ready", json!(ready_bodies.bytes));
        put("message_bytes_unacknowledged", json!(unacked_bodies.bytes));
        put("message_bytes_ram", json!(bytes));
        put("message_bytes_persistent", json!(ready_bodies.kept_bytes + unacked_bodies.kept_bytes));
        put("messages_persistent", json!(ready_bodies.kept + unacked_bodies.kept));
        put("memory", json!(bytes));
        put("message_stats", message_stats(traffic, rates.traffic));
        put("durability", json!(if spec.durable { spec.durability.name() } else { "none" }));
        put("shard", json!(id.shard.0));
        Value::Object(row)
    }
}

impl ConnectionName {
    /// As the owner of an exclusive queue.
    fn owner(&self) -> Value {
        json!({
            "name": self.to_string(),
            "peer_host": self.peer.ip().to_string(),
            "peer_port": self.peer.port(),
        })
    }
}
