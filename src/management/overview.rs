//! `/api/overview`

use axum::extract::{Query, State};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::list::Asked;
use super::login::User;
use super::parameters;
use super::routes::{Need, Routes};
use super::site::{Api, Site};
use super::watch::{Ages, VhostTotals, message_stats, number_with_rate};

pub fn routes(routes: Routes) -> Routes {
    use Need::Management;
    routes.get("/api/overview", Management, show)
}

async fn show(user: User, State(api): State<Api>, Query(asked): Query<Asked>, ages: Ages) -> Answer {
    let mut shown = about(&api.site, &parameters::cluster_name_of(&api).await?);
    totals(&user, &api, &ages, &mut shown);
    asked.one(Value::Object(shown))
}

fn about(site: &Site, cluster: &str) -> Map<String, Value> {
    let about = json!({
        "management_version": site.product_version,
        "rates_mode": "basic",
        "sample_retention_policies": {
            "global": [600, 3600, 28800, 86400],
            "basic": [600, 3600],
            "detailed": [600],
        },
        "exchange_types": exchange_types(),
        "product_name": "HareMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "rabbitmq_version": site.product_version,
        "cluster_name": cluster,
        "cluster_tags": {},
        "node_tags": {},
        // Nobody has run here on Erlang.
        "erlang_version": "",
        "erlang_full_version": "",
        "crypto_lib_version": "",
        "disable_stats": false,
        "enable_queue_totals": false,
        "default_queue_type": "classic",
        "is_op_policy_updating_enabled": true,
        "release_series_support_status": "supported",
        "statistics_db_event_queue": 0,
        "node": site.node,
        "listeners": site.listeners(),
        "contexts": site.contexts(),
    });
    let Value::Object(about) = about else { unreachable!("written as an object") };
    about
}

pub fn exchange_types() -> [Value; 4] {
    ["direct", "fanout", "headers", "topic"].map(|name| {
        let description = format!("AMQP {name} exchange, as per the AMQP specification");
        json!({"name": name, "description": description, "enabled": true})
    })
}

fn totals(user: &User, api: &Api, ages: &Ages, shown: &mut Map<String, Value>) {
    let rates = api.watch.rates();
    let sees_all = user.user.tags.may_monitor();
    let totals = rates.totals(None);
    let mut now = totals.now;
    if !sees_all {
        now = VhostTotals::default();
        let vhosts = rates.last().map(|sample| &sample.vhosts).into_iter().flatten();
        vhosts.filter(|(vhost, _)| user.may_see(vhost)).for_each(|(_, of_vhost)| now.add(of_vhost));
    }
    shown.insert(
        "object_totals".to_owned(),
        json!({
            "channels": now.channels,
            "connections": now.connections,
            "consumers": now.consumers,
            "exchanges": now.exchanges,
            "queues": now.queues,
        }),
    );
    let mut lengths = Map::new();
    number_with_rate(&mut lengths, "messages", now.ready + now.unacked, totals.ready + totals.unacked);
    number_with_rate(&mut lengths, "messages_ready", now.ready, totals.ready);
    number_with_rate(&mut lengths, "messages_unacknowledged", now.unacked, totals.unacked);
    let mut stats = message_stats(&now.traffic, totals.traffic);
    if sees_all {
        api.watch.over_time(|history| {
            ages.add_lengths(history, &mut lengths);
            ages.add_stats(history, &mut stats);
        });
    }
    shown.insert("queue_totals".to_owned(), Value::Object(lengths));
    shown.insert("message_stats".to_owned(), stats);
    shown.insert("churn_rates".to_owned(), churn(api));
}

/// What came and went, with rates since the last samples.
fn churn(api: &Api) -> Value {
    let mut churn = Map::new();
    for (name, count) in api.common.churn() {
        let rate = api.watch.rates().churn(name);
        number_with_rate(&mut churn, name, count, rate);
    }
    Value::Object(churn)
}
