//! Runtime parameters: what is set over the HTTP API and lies in a vhost by component and name, and what lies in none.
//! Policies, operator policies and the limits of vhosts are parameters, and so are upstreams of federation, which have no effect.
//!
//! ```text
//! HTTP API -> Parameter::new (validated, parsed once) -> Change -> the control shard: journal, Parameters::apply
//!                                                        -> a copy for every shard: queues go by their policies
//! ```

mod definition;
mod federation;
mod ha;
mod limits;
mod policy;
mod record;
mod term;
#[cfg(test)]
mod tests;
mod validation;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use limits::VhostLimits;
pub use policy::{Applied, ApplyTo, Policies, Policy};
pub use record::Change;
pub use term::term;
pub use validation::integer;

use crate::ids::Name;
use serde_json::Value;
use validation::Errors;

/// All of them. A copy costs two counters; a change copies the map it is in if others hold it too.
///
/// Lives on: the control shard, which changes it; every shard has a copy of what was true when it last heard.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// A vhost without parameters has no entry.
    vhosts: Arc<BTreeMap<Name, Arc<OfVhost>>>,
    global: Arc<BTreeMap<Name, Value>>,
}

/// Those of one vhost, and what they mean.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct OfVhost {
    /// By component, then by name.
    components: BTreeMap<Name, BTreeMap<Name, Arc<Parameter>>>,
    policies: Arc<Policies>,
    limits: VhostLimits,
}

/// One that was found to be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    pub vhost: Name,
    pub component: Name,
    pub name: Name,
    /// As the API tells it.
    pub value: Value,
    meaning: Meaning,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Meaning {
    Policy(Arc<Policy>),
    OperatorPolicy(Arc<Policy>),
    Limits(VhostLimits),
    /// None: it is kept and shown.
    Federation,
}

pub const POLICY: &[u8] = b"policy";
pub const OPERATOR_POLICY: &[u8] = b"operator_policy";
pub const VHOST_LIMITS: &[u8] = b"vhost-limits";
/// A global parameter.
pub const CLUSTER_NAME: &[u8] = b"cluster_name";
/// The name of the only parameter of that component.
pub const LIMITS: &[u8] = b"limits";

const SHOVEL: &[u8] = b"shovel";
/// Unlike a federation link, of which messages are a copy, one that stands still leaves messages where nobody reads them.
const NO_SHOVELS: &str = "component shovel not found: no messages are shovelled here";

impl Parameter {
    /// The error is RabbitMQ's text for the API.
    pub fn new(vhost: &[u8], component: &[u8], name: &[u8], value: Value) -> Result<Parameter, String> {
        let meaning = meaning(component, name, &value).map_err(|errors| errors.text())?;
        let [vhost, component, name] = [vhost, component, name].map(Name::from);
        Ok(Parameter { vhost, component, name, value, meaning })
    }

    /// What it is if its component is that of policies or operator policies.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        match &self.meaning {
            Meaning::Policy(policy) | Meaning::OperatorPolicy(policy) => Some(policy),
            Meaning::Limits(_) | Meaning::Federation => None,
        }
    }

    /// What nobody here does.
    pub fn asks_for_federation(&self) -> bool {
        match &self.meaning {
            Meaning::Federation => true,
            Meaning::Policy(policy) => policy.asks_for_federation(),
            Meaning::OperatorPolicy(_) | Meaning::Limits(_) => false,
        }
    }
}

fn meaning(component: &[u8], name: &[u8], value: &Value) -> Result<Meaning, Errors> {
    match component {
        POLICY => Policy::new(name, value, false).map(|policy| Meaning::Policy(Arc::new(policy))),
        OPERATOR_POLICY => {
            Policy::new(name, value, true).map(|policy| Meaning::OperatorPolicy(Arc::new(policy)))
        }
        VHOST_LIMITS => VhostLimits::new(name, value).map(Meaning::Limits),
        federation::UPSTREAM => federation::check_upstream(name, value).map(|()| Meaning::Federation),
        federation::UPSTREAM_SET => federation::check_set(name, value).map(|()| Meaning::Federation),
        SHOVEL => Err(Errors::one(NO_SHOVELS.to_owned())),
        _ => Err(Errors::one(format!("component {} not found", String::from_utf8_lossy(component)))),
    }
}

impl Parameters {
    pub fn apply(mut self, change: Change) -> Parameters {
        match change {
            Change::Put(parameter) => self.change(&parameter.vhost.clone(), |of| of.put(parameter)),
            Change::Deleted { vhost, component, name } => {
                self.change(&vhost, |of| of.delete(&component, &name));
            }
            Change::GlobalPut { name, value } => drop(Arc::make_mut(&mut self.global).insert(name, value)),
            Change::GlobalDeleted { name } => drop(Arc::make_mut(&mut self.global).remove(&name)),
        }
        self
    }

    /// All parameters of a vhost end with it.
    pub fn forget_vhost(mut self, vhost: &[u8]) -> Parameters {
        Arc::make_mut(&mut self.vhosts).remove(vhost);
        self
    }

    /// What makes the same of none.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let puts = self.all().map(|parameter| Change::Put(Parameter::clone(parameter)));
        let globals = self.globals();
        puts.chain(
            globals.map(|(name, value)| Change::GlobalPut { name: name.clone(), value: value.clone() }),
        )
    }

    /// By vhost, component and name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Parameter>> {
        let components = self.vhosts.values().flat_map(|of| of.components.values());
        components.flat_map(BTreeMap::values)
    }

    pub fn one(&self, vhost: &[u8], component: &[u8], name: &[u8]) -> Option<&Arc<Parameter>> {
        self.vhosts.get(vhost)?.components.get(component)?.get(name)
    }

    /// By name.
    pub fn globals(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.global.iter()
    }

    pub fn global(&self, name: &[u8]) -> Option<&Value> {
        self.global.get(name)
    }

    /// What the cluster was called over the API, if it was.
    pub fn cluster_name(&self) -> Option<&str> {
        self.global(CLUSTER_NAME).and_then(Value::as_str)
    }

    /// Shared: whoever keeps it sees by its address whether it is still true.
    pub fn policies(&self, vhost: &[u8]) -> Option<&Arc<Policies>> {
        self.vhosts.get(vhost).map(|of| &of.policies)
    }

    /// The vhosts whose policies are others than they were before.
    pub fn with_other_policies<'a>(&'a self, before: &'a Parameters) -> impl Iterator<Item = &'a Name> {
        let gone = before.vhosts.keys().filter(|vhost| !self.vhosts.contains_key(*vhost));
        self.vhosts.keys().chain(gone).filter(|vhost| match (self.policies(vhost), before.policies(vhost)) {
            (Some(now), Some(then)) => !Arc::ptr_eq(now, then),
            (Some(some), None) | (None, Some(some)) => !some.is_empty(),
            (None, None) => false,
        })
    }

    pub fn limits(&self, vhost: &[u8]) -> VhostLimits {
        self.vhosts.get(vhost).map(|of| of.limits).unwrap_or_default()
    }

    fn change(&mut self, vhost: &Name, change: impl FnOnce(&mut OfVhost)) {
        let vhosts = Arc::make_mut(&mut self.vhosts);
        let of = Arc::make_mut(vhosts.entry(vhost.clone()).or_default());
        change(of);
        if of.components.is_empty() {
            vhosts.remove(vhost);
        }
    }
}

impl OfVhost {
    fn put(&mut self, parameter: Parameter) {
        let (component, name) = (parameter.component.clone(), parameter.name.clone());
        self.components.entry(component.clone()).or_default().insert(name, Arc::new(parameter));
        self.interpret(&component);
    }

    fn delete(&mut self, component: &Name, name: &[u8]) {
        let Some(named) = self.components.get_mut(component) else { return };
        named.remove(name);
        if named.is_empty() {
            self.components.remove(component);
        }
        self.interpret(component);
    }

    /// Takes over what the parameters of a component mean now.
    fn interpret(&mut self, component: &[u8]) {
        let named = self.components.get(component).into_iter().flat_map(BTreeMap::values);
        match component {
            VHOST_LIMITS => {
                self.limits = named.map(|parameter| parameter.limits()).next().unwrap_or_default();
            }
            POLICY | OPERATOR_POLICY => {
                let policies = named.filter_map(|parameter| parameter.policy()).cloned().collect();
                self.policies = Arc::new(self.policies.with(component == OPERATOR_POLICY, policies));
            }
            _ => {}
        }
    }
}

impl Parameter {
    fn limits(&self) -> VhostLimits {
        if let Meaning::Limits(limits) = self.meaning { limits } else { VhostLimits::default() }
    }
}
