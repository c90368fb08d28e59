//! `/api/policies` and `/api/operator-policies`

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::login::User;
use super::parameters::{self, put_one};
use super::vhosts;
use crate::parameters::{OPERATOR_POLICY, POLICY, Parameter, Parameters, Policy};
use crate::shard::start::Common;
use crate::text::lossy;

/// Policies, or operator policies. Of the latter RabbitMQ's refusals are not escaped for HTML.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Policies,
    OperatorPolicies,
}

use super::routes::{Need, Routes};
use Kind::{OperatorPolicies, Policies};

pub fn routes(routes: Routes) -> Routes {
    use Need::{Administrator, EnterVhost, Management, Policymaker};
    routes
        .get("/api/policies", Management, list)
        .get("/api/policies/{vhost}", EnterVhost, of_vhost)
        .get("/api/policies/{vhost}/{name}", Policymaker, one)
        .put("/api/policies/{vhost}/{name}", Policymaker, put)
        .delete("/api/policies/{vhost}/{name}", Policymaker, delete)
        .get("/api/operator-policies", Management, operators_list)
        .get("/api/operator-policies/{vhost}", EnterVhost, operators_of_vhost)
        .get("/api/operator-policies/{vhost}/{name}", Administrator, operators_one)
        .put("/api/operator-policies/{vhost}/{name}", Administrator, put_operators)
        .delete("/api/operator-policies/{vhost}/{name}", Administrator, delete_operators)
}

impl Kind {
    fn component(self) -> &'static [u8] {
        match self {
            Policies => POLICY,
            OperatorPolicies => OPERATOR_POLICY,
        }
    }

    async fn list(self, user: &User, common: &Common) -> Answer {
        let parameters = parameters::read(common).await?;
        answer::body(self.shown(&parameters, |vhost| user.may_enter(vhost)))
    }

    async fn of_vhost(self, common: &Common, vhost: &str) -> Answer {
        vhosts::check(common, vhost).await?;
        let parameters = parameters::read(common).await?;
        answer::body(self.shown(&parameters, |of| *of == *vhost.as_bytes()))
    }

    async fn one(self, common: &Common, vhost: &str, name: &str) -> Answer {
        let parameters = parameters::read(common).await?;
        let one = parameters.one(vhost.as_bytes(), self.component(), name.as_bytes());
        answer::body(one.and_then(|one| shown(one)).ok_or(Refusal::NotFound)?)
    }

    async fn put(self, common: &Common, vhost: &str, name: &str, body: &[u8]) -> Answer {
        parameters::check_vhost(common, vhost).await?;
        let value = value_of(answer::read_map(body)?)?;
        let parameter = Parameter::new(vhost.as_bytes(), self.component(), name.as_bytes(), value);
        let escape = |text: String| if self == Policies { parameters::escaped(&text) } else { text };
        put_one(common, parameter.map_err(|text| Refusal::BadRequest(escape(text)))?).await
    }

    fn shown(self, parameters: &Parameters, wanted: impl Fn(&[u8]) -> bool) -> Vec<Value> {
        let of_kind = parameters.all().filter(|parameter| *parameter.component == *self.component());
        of_kind
            .filter(|parameter| wanted(&parameter.vhost))
            .filter_map(|parameter| shown(parameter))
            .collect()
    }
}

/// What of a body is the parameter's value; the rest is ignored, as RabbitMQ does.
fn value_of(mut body: Map<String, Value>) -> Result<Value, Refusal> {
    let missing = ["pattern", "definition"].into_iter().filter(|key| !body.contains_key(*key));
    let missing: Vec<_> = missing.map(|key| format!("{{key_missing,{key}}}")).collect();
    if !missing.is_empty() {
        return Err(Refusal::BadRequest(format!("[{}]", missing.join(","))));
    }
    let mut take = |key: &str, default: Value| body.remove(key).unwrap_or(default);
    Ok(json!({
        "pattern": take("pattern", Value::Null),
        "definition": take("definition", Value::Null),
        "priority": take("priority", json!(0)),
        "apply-to": take("apply-to", json!("all")),
    }))
}

/// Policies, but not those of the operator.
pub fn shown_all(parameters: &Parameters, wanted: impl Fn(&Parameter) -> bool) -> Vec<Value> {
    let policies = parameters.all().filter(|parameter| *parameter.component == *POLICY && wanted(parameter));
    policies.filter_map(|parameter| shown(parameter)).collect()
}

fn shown(parameter: &Parameter) -> Option<Value> {
    let Policy { name, pattern, apply_to, priority, .. } = &**parameter.policy()?;
    Some(json!({
        "vhost": lossy(&parameter.vhost),
        "name": lossy(name),
        "pattern": pattern.text(),
        "apply-to": apply_to.name(),
        "definition": parameter.policy()?.definition(),
        "priority": priority,
    }))
}

async fn list(user: User, State(common): State<Common>) -> Answer {
    Policies.list(&user, &common).await
}

async fn of_vhost(State(common): State<Common>, Path(vhost): Path<String>) -> Answer {
    Policies.of_vhost(&common, &vhost).await
}

async fn one(State(common): State<Common>, Path((vhost, name)): Path<(String, String)>) -> Answer {
    Policies.one(&common, &vhost, &name).await
}

async fn put(
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    Policies.put(&common, &vhost, &name, &body).await
}

async fn delete(State(common): State<Common>, Path((vhost, name)): Path<(String, String)>) -> Answer {
    parameters::delete_one(&common, &vhost, POLICY, &name).await
}

async fn operators_list(user: User, State(common): State<Common>) -> Answer {
    OperatorPolicies.list(&user, &common).await
}

async fn operators_of_vhost(State(common): State<Common>, Path(vhost): Path<String>) -> Answer {
    OperatorPolicies.of_vhost(&common, &vhost).await
}

async fn operators_one(State(common): State<Common>, Path((vhost, name)): Path<(String, String)>) -> Answer {
    OperatorPolicies.one(&common, &vhost, &name).await
}

async fn put_operators(
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    OperatorPolicies.put(&common, &vhost, &name, &body).await
}

async fn delete_operators(
    State(common): State<Common>,
    Path((vhost, name)): Path<(String, String)>,
) -> Answer {
    parameters::delete_one(&common, &vhost, OPERATOR_POLICY, &name).await
}
