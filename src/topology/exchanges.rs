//! exchange.declare and exchange.delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bindings::{BindingEnd, End};
use super::equivalence;
use super::policies::with_policies;
use super::record::{DurableExchange, Record};
use super::request::{Outcome, Refusal};
use super::state::{Effect, Progress, Topology};
use crate::amqp::{ReplyCode, Table, Value};
use crate::exchange::{Change, ExchangeKind, ExchangeSpec, Name};
use crate::text;

/// An exchange, where it leads to, and what leads to it.
pub(super) struct Exchange {
    pub spec: Arc<ExchangeSpec>,
    /// The destinations' ends of the bindings from it.
    pub bindings: BTreeSet<BindingEnd>,
    /// The sources' ends of the bindings to it.
    pub inbound: BTreeSet<BindingEnd>,
}

impl Exchange {
    pub fn new(spec: Arc<ExchangeSpec>) -> Exchange {
        Exchange { spec, bindings: BTreeSet::new(), inbound: BTreeSet::new() }
    }
}

impl Topology {
    /// The order of the checks is rabbit_channel's: type, default exchange, then the existing exchange, or the name and
    /// the type of its alternate.
    pub(super) fn declare_exchange(
        &mut self,
        name: &[u8],
        kind: &[u8],
        [durable, auto_delete, internal]: [bool; 3],
        arguments: &[u8],
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        let kind = ExchangeKind::parse(kind).ok_or_else(|| unknown_type(kind))?;
        check_not_default(name)?;
        let (name, arguments) = (Name::from(name), Name::from(arguments));
        let vhost = self.vhost.clone();
        let mut spec =
            ExchangeSpec { vhost, name, kind, durable, auto_delete, internal, alternate: None, arguments };
        if let Some(existing) = self.exchanges.get(&spec.name) {
            equivalence::check_exchange(&existing.spec, &spec)?;
        } else {
            check_may_be_added(&spec)?;
            alternate(self.text(), &spec.name, &spec.arguments)?;
            let applied = self.policies.of_exchange(&spec.name);
            spec.alternate = with_policies(&spec, &applied);
            self.add_exchange(Arc::new(spec), out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    /// Deleting what is not there is no error.
    pub(super) fn delete_exchange(
        &mut self,
        name: &[u8],
        if_unused: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Progress, Refusal> {
        check_not_default(name)?;
        self.check_not_system(name)?;
        if let Some(exchange) = self.exchanges.get(name) {
            if if_unused && !exchange.bindings.is_empty() {
                let text = format!("{} in use", self.text().exchange(name));
                return Err(Refusal::new(ReplyCode::PreconditionFailed, text));
            }
            self.remove_exchange(name, out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    fn check_not_system(&self, name: &[u8]) -> Result<(), Refusal> {
        if name.starts_with(b"amq.") {
            let text = format!("deletion of system {} not allowed", self.text().exchange(name));
            return Err(Refusal::new(ReplyCode::AccessRefused, text));
        }
        Ok(())
    }

    fn add_exchange(&mut self, spec: Arc<ExchangeSpec>, out: &mut Vec<Effect>) {
        self.exchanges.insert(spec.name.clone(), Exchange::new(spec.clone()));
        let record = spec.durable.then(|| Record::ExchangeDeclared(DurableExchange::of(&spec)));
        self.broadcast(Change::ExchangeAdded { spec }, record, out);
    }

    /// One change, however many bindings go with it: each router removes them itself. An auto-delete exchange goes with
    /// the last binding from it, which may be to an exchange that goes.
    pub(super) fn remove_exchange(&mut self, name: &[u8], out: &mut Vec<Effect>) {
        let mut going = vec![Name::from(name)];
        while let Some(name) = going.pop() {
            let Some(Exchange { spec, bindings, inbound }) = self.exchanges.remove(&name) else {
                continue;
            };
            self.forget_destination_ends(&name, bindings);
            let here = End::Exchange(name.clone());
            going.extend(inbound.into_iter().filter_map(|end| self.forget_source_end(&here, end)));
            let record = spec.durable.then(|| Record::ExchangeDeleted { name: name.clone() });
            self.broadcast(Change::ExchangeRemoved { name }, record, out);
        }
    }
}

pub(super) fn check_not_default(name: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() { Err(Refusal::default_exchange()) } else { Ok(()) }
}

/// The name of a predeclared exchange, or one that no client may declare.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.is_empty() || name.starts_with(b"amq.")
}

fn check_may_be_added(spec: &ExchangeSpec) -> Result<(), Refusal> {
    if spec.name.starts_with(b"amq.") {
        return Err(Refusal::reserved_prefix("exchange", &spec.name));
    }
    Ok(())
}

/// The argument `alternate-exchange`. The exchange that it names need not exist.
pub(super) fn alternate(
    vhost: text::Vhost<'_>,
    exchange: &[u8],
    arguments: &[u8],
) -> Result<Option<Name>, Refusal> {
    match Table::from_checked(arguments).find(ALTERNATE) {
        None => Ok(None),
        Some(Value::LongString(name)) => Ok(Some(Name::from(name))),
        Some(value) => {
            let (kind, exchange) = (value.type_name(), vhost.exchange(exchange));
            let text = format!("invalid type '{kind}' for arg 'alternate-exchange' in {exchange}");
            Err(Refusal::new(ReplyCode::PreconditionFailed, text))
        }
    }
}

const ALTERNATE: &[u8] = b"alternate-exchange";

fn unknown_type(kind: &[u8]) -> Refusal {
    let text = format!("unknown exchange type '{}'", text::lossy(kind));
    Refusal::new(ReplyCode::PreconditionFailed, text)
}
