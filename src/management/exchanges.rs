//! `/api/exchanges`: what there is; how it is declared and published to is in `direct`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::list::{Asked, Row};
use super::login::User;
use super::routes::{Need, Routes};
use super::site::Api;
use super::watch::{self, Ages, Rates, Subject, number_with_rate};
use super::{parameters, table, vhosts};
use crate::amqp::Table;
use crate::exchange::{ExchangeSpec, Passed};
use crate::parameters::Policies;
use crate::text::lossy;

pub fn routes(routes: Routes) -> Routes {
    use Need::{Management, SeeVhost};
    routes.get("/api/exchanges", Management, list).get("/api/exchanges/{vhost}", SeeVhost, of_vhost).get(
        "/api/exchanges/{vhost}/{exchange}",
        SeeVhost,
        one,
    )
}

/// An exchange in a list.
struct Shown {
    spec: Arc<ExchangeSpec>,
    passed: Passed,
    rates: Arc<Rates>,
    /// Of its vhost; none if there are none.
    policies: Option<Arc<Policies>>,
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
    shown.retain(|exchange| wanted(&exchange.spec.vhost));
    asked.list(shown)
}

pub async fn one(
    State(api): State<Api>,
    Path((vhost, name)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    ages: Ages,
) -> Answer {
    vhosts::check(&api.common, &vhost).await?;
    let name = if name == "amq.default" { "" } else { &name };
    let mut all = all(&api).await?.into_iter();
    let is_meant = |spec: &ExchangeSpec| *spec.vhost == *vhost.as_bytes() && *spec.name == *name.as_bytes();
    let found = all.find(|exchange| is_meant(&exchange.spec)).ok_or(Refusal::NotFound)?;
    let mut shown = found.render();
    let subject = Subject::Exchange(found.spec.vhost.clone(), found.spec.name.clone());
    ages.add_samples(&api.watch, subject, &mut shown);
    if let Value::Object(shown) = &mut shown {
        // RabbitMQ has these for rates_mode detailed.
        shown.insert("incoming".to_owned(), json!([]));
        shown.insert("outgoing".to_owned(), json!([]));
    }
    asked.one(shown)
}

async fn all(api: &Api) -> Result<Vec<Shown>, Refusal> {
    let (rates, exchanges) = (api.watch.rates(), watch::exchanges(&api.common).await?);
    let parameters = parameters::read(&api.common).await?;
    let shown = |(spec, passed): (Arc<ExchangeSpec>, Passed)| {
        let policies = parameters.policies(&spec.vhost).cloned();
        Shown { spec, passed, rates: rates.clone(), policies }
    };
    Ok(exchanges.into_iter().map(shown).collect())
}

impl Row for Shown {
    fn vhost(&self) -> Cow<'_, str> {
        lossy(&self.spec.vhost)
    }

    fn name(&self) -> Cow<'_, str> {
        lossy(&self.spec.name)
    }

    fn render(&self) -> Value {
        let Shown { spec, passed, rates, policies } = self;
        let (published, routed) = rates.exchange(&spec.vhost, &spec.name);
        let mut stats = Map::new();
        number_with_rate(&mut stats, "publish_in", passed.published, published);
        number_with_rate(&mut stats, "publish_out", passed.routed, routed);
        let mut shown = json!({
            "name": self.name(),
            "vhost": self.vhost(),
            "type": spec.kind.name(),
            "durable": spec.durable,
            "auto_delete": spec.auto_delete,
            "internal": spec.internal,
            "arguments": table::shown(Table::from_checked(&spec.arguments)),
            "user_who_performed_action": "rmq-internal",
            "message_stats": stats,
        });
        let policy = policies.as_ref().and_then(|policies| policies.of_exchange(&spec.name).policy);
        if let Some(policy) = policy {
            shown["policy"] = json!(lossy(&policy.name));
        }
        shown
    }
}
