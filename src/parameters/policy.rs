//! A policy: which queues and exchanges it applies to, and which of several does. So do operator policies, beside the others.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::definition::{Definition, Keys};
use super::term::term;
use super::validation::{Errors, Terms, number};
use crate::access::Pattern;
use crate::ids::Name;
use crate::queue_args::{QueueArgs, QueueKind};

/// One policy or operator policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    pub name: Name,
    pub pattern: Pattern,
    pub apply_to: ApplyTo,
    /// Any number.
    pub priority: Number,
    definition: Definition,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApplyTo {
    All,
    Queues,
    Exchanges,
    ClassicQueues,
    QuorumQueues,
    /// There are none here.
    Streams,
}

/// All of a vhost.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Policies {
    /// The first that applies is the one.
    policies: Vec<Arc<Policy>>,
    operators: Vec<Arc<Policy>>,
}

/// What applies to one queue or exchange.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Applied {
    pub policy: Option<Arc<Policy>>,
    pub operator: Option<Arc<Policy>>,
}

impl Policy {
    pub(super) fn new(name: &[u8], value: &Value, of_operator: bool) -> Result<Policy, Errors> {
        let shown = String::from_utf8_lossy(name);
        let mut terms = Terms::new(&shown, value)?;
        let priority = terms.mandatory("priority", number);
        let pattern = terms.mandatory("pattern", pattern);
        let apply_to = terms.optional("apply-to", apply_to);
        let definition = terms.mandatory("definition", |_, value| Definition::new(value, of_operator));
        terms.finish()?;
        let (priority, pattern) = (priority.zip(pattern)).expect("what is mandatory is there, or an error");
        let definition = definition.expect("it is mandatory too");
        Ok(Policy {
            name: name.into(),
            pattern,
            apply_to: apply_to.unwrap_or(ApplyTo::All),
            priority,
            definition,
        })
    }

    /// As it was given.
    pub fn definition(&self) -> &Map<String, Value> {
        self.definition.given()
    }

    pub(super) fn asks_for_federation(&self) -> bool {
        self.definition.asks_for_federation()
    }

    /// One with a key that queues of this type do not know does not apply to them at all.
    fn applies_to_queue(&self, name: &[u8], kind: QueueKind) -> bool {
        let is_meant = match self.apply_to {
            ApplyTo::All | ApplyTo::Queues => true,
            ApplyTo::ClassicQueues => kind == QueueKind::Classic,
            ApplyTo::QuorumQueues => kind == QueueKind::Quorum,
            ApplyTo::Exchanges | ApplyTo::Streams => false,
        };
        is_meant && self.definition.suits(kind) && self.pattern.matches(name)
    }

    fn applies_to_exchange(&self, name: &[u8]) -> bool {
        matches!(self.apply_to, ApplyTo::All | ApplyTo::Exchanges) && self.pattern.matches(name)
    }

    /// Of several the one of the highest priority applies; of those the first by name, which RabbitMQ leaves open.
    fn order(&self, other: &Policy) -> Ordering {
        let [own, others] = [self, other].map(|policy| policy.priority.as_f64().unwrap_or_default());
        others.total_cmp(&own).then_with(|| self.name.cmp(&other.name))
    }
}

impl ApplyTo {
    /// By its name in the API.
    pub fn parse(name: &str) -> Option<ApplyTo> {
        Some(match name {
            "all" => ApplyTo::All,
            "queues" => ApplyTo::Queues,
            "exchanges" => ApplyTo::Exchanges,
            "classic_queues" => ApplyTo::ClassicQueues,
            "quorum_queues" => ApplyTo::QuorumQueues,
            "streams" => ApplyTo::Streams,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
            ApplyTo::Exchanges => "exchanges",
            ApplyTo::ClassicQueues => "classic_queues",
            ApplyTo::QuorumQueues => "quorum_queues",
            ApplyTo::Streams => "streams",
        }
    }
}

impl Policies {
    /// The same with other operator policies, or other policies.
    pub(super) fn with(&self, of_operator: bool, mut policies: Vec<Arc<Policy>>) -> Policies {
        policies.sort_by(|one, other| one.order(other));
        if of_operator {
            Policies { policies: self.policies.clone(), operators: policies }
        } else {
            Policies { policies, operators: self.operators.clone() }
        }
    }

    pub fn of_queue(&self, name: &[u8], kind: QueueKind) -> Applied {
        self.first(|policy| policy.applies_to_queue(name, kind))
    }

    pub fn of_exchange(&self, name: &[u8]) -> Applied {
        self.first(|policy| policy.applies_to_exchange(name))
    }

    /// How many patterns are tried at most to find what applies.
    pub fn len(&self) -> usize {
        self.policies.len() + self.operators.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn first(&self, applies: impl Fn(&Policy) -> bool) -> Applied {
        let first = |of: &[Arc<Policy>]| of.iter().find(|policy| applies(policy)).cloned();
        Applied { policy: first(&self.policies), operator: first(&self.operators) }
    }
}

impl Applied {
    /// What a queue declared like that goes by.
    pub fn rules(&self, declared: &QueueArgs) -> QueueArgs {
        self.keys().rules(declared)
    }

    /// The alternate of an exchange that was declared without one.
    pub fn alternate(&self) -> Option<Name> {
        self.keys().alternate
    }

    /// Both definitions as one, as the API tells it.
    pub fn definition(&self) -> Map<String, Value> {
        let given = |policy: &Option<Arc<Policy>>| {
            policy.as_ref().map(|policy| policy.definition().clone()).unwrap_or_default()
        };
        let mut merged = given(&self.policy);
        for (key, operators) in given(&self.operator) {
            let value = match merged.remove(&key) {
                Some(own) => lesser_value(own, operators),
                None => operators,
            };
            merged.insert(key, value);
        }
        merged
    }

    fn keys(&self) -> Keys {
        let keys = |policy: &Option<Arc<Policy>>| {
            policy.as_ref().map(|policy| policy.definition.keys().clone()).unwrap_or_default()
        };
        keys(&self.policy).merged(keys(&self.operator))
    }
}

/// Of what both say: the lesser number, and else the operator's word.
fn lesser_value(own: Value, operators: Value) -> Value {
    match (own.as_u64(), operators.as_u64()) {
        (Some(own), Some(operators)) => Value::from(own.min(operators)),
        _ => operators,
    }
}

fn pattern(key: &str, value: &Value) -> Result<Pattern, String> {
    let Value::String(text) = value else {
        return Err(format!("{key} should be a binary but was {}", term(value)));
    };
    let invalid = |reason| format!("{key} should be regular expression but is invalid: {reason}");
    Pattern::of_policy(text).map_err(invalid)
}

fn apply_to(_: &str, value: &Value) -> Result<ApplyTo, String> {
    let shown = value.as_str().map_or_else(|| term(value), str::to_owned);
    value.as_str().and_then(ApplyTo::parse).ok_or_else(|| {
        format!(
            "apply-to '{shown}' unrecognised; should be one of: 'queues', 'classic_queues', \
             'quorum_queues', 'streams', 'exchanges', or 'all'"
        )
    })
}
