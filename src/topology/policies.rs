//! What lies in a vhost comes under other policies. Which alternate an exchange has is decided here, piece by piece, and told
//! to every router; queues are looked at by their shards, once all exchanges are done with.
//!
//! ```text
//! change_parameters -> Record -> exchanges, piece by piece -> Broadcast(AlternateChanged) -> Effect::Parameters -> each shard
//! ```

use std::ops::Bound::{self, Excluded, Unbounded};
use std::sync::Arc;

use super::exchanges::alternate;
use super::record::Record;
use super::state::{Effect, Topology};
use super::vhosts::Vhosts;
use crate::exchange::{Change, ExchangeSpec, Name};
use crate::ids::{Requester, root};
use crate::limits::POLICY_MATCHES;
use crate::parameters::{self, Applied, Parameters};
use crate::text;

impl Vhosts {
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Changes parameters, but not those of vhosts that are not there. `Effect::Parameters` comes when all exchanges go by
    /// them.
    pub fn change_parameters(
        &mut self,
        changes: Vec<parameters::Change>,
        to: Requester,
        out: &mut Vec<Effect>,
    ) {
        let before = self.parameters.clone();
        for change in changes {
            let is_open = |vhost: &Name| self.topologies.get(vhost).is_some_and(Topology::is_open);
            if change.vhost().is_none_or(is_open) {
                out.push(Effect::Record { vhost: root(), record: Record::Parameters(change.clone()) });
                self.parameters = std::mem::take(&mut self.parameters).apply(change);
            }
        }
        for (vhost, topology) in &mut self.topologies {
            topology.limits = self.parameters.limits(vhost);
        }
        for vhost in self.parameters.with_other_policies(&before) {
            if let Some(topology) = self.topologies.get_mut(vhost) {
                topology.policies = self.parameters.policies(vhost).cloned().unwrap_or_default();
                topology.ruling = Some(Unbounded);
            }
        }
        self.changed.push_back(to);
        self.rule_exchanges(out);
    }

    /// A piece of what is left of the exchanges; when nothing is, the shards hear of the parameters.
    pub(super) fn rule_exchanges(&mut self, out: &mut Vec<Effect>) {
        if self.changed.is_empty() {
            return;
        }
        for topology in self.topologies.values_mut().filter(|topology| topology.ruling.is_some()) {
            if !topology.rule_exchanges(POLICY_MATCHES, out) {
                return;
            }
        }
        let parameters = &self.parameters;
        out.extend(
            self.changed.drain(..).map(|to| Effect::Parameters { parameters: parameters.clone(), to }),
        );
    }
}

impl Topology {
    /// Looks at exchanges until so many patterns were tried. True when it has looked at all.
    fn rule_exchanges(&mut self, matches_max: usize, out: &mut Vec<Effect>) -> bool {
        let mut left = matches_max;
        while let Some(from) = self.ruling.take().filter(|_| self.is_open()) {
            let from = from.as_ref().map(|name| &**name);
            let Some(name) =
                self.exchanges.range::<[u8], _>((from, Unbounded)).next().map(|(name, _)| name.clone())
            else {
                return true;
            };
            if let Some(spec) = self.rule(&name) {
                self.broadcast(Change::AlternateChanged { spec }, None, out);
            }
            self.ruling = Some(Excluded(name));
            left = left.saturating_sub(1 + self.policies.len());
            if left == 0 {
                return false;
            }
        }
        true
    }

    /// Applies the policies to an exchange; answers what it is now if it has another alternate.
    pub(super) fn rule(&mut self, name: &[u8]) -> Option<Arc<ExchangeSpec>> {
        let applied = self.policies.of_exchange(name);
        let exchange = self.exchanges.get_mut(name)?;
        let alternate = with_policies(&exchange.spec, &applied);
        if alternate == exchange.spec.alternate {
            return None;
        }
        let spec = Arc::new(ExchangeSpec { alternate, ..ExchangeSpec::clone(&exchange.spec) });
        exchange.spec = spec.clone();
        Some(spec)
    }
}

/// The alternate that an exchange declared like that has. Nothing is without a way from the default exchange that RabbitMQ
/// would look for an alternate for.
pub(super) fn with_policies(spec: &ExchangeSpec, applied: &Applied) -> Option<Name> {
    let declared = alternate(text::Vhost(&spec.vhost), &spec.name, &spec.arguments).ok().flatten();
    declared.or_else(|| applied.alternate()).filter(|_| !spec.name.is_empty())
}

/// From where on the exchanges of a vhost are looked at.
pub(super) type Ruling = Option<Bound<Name>>;
