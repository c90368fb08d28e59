//! exchange.declare and exchange.delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bindings::BindingEnd;
use super::equivalence;
use super::request::{Outcome, Refusal};
use super::state::{Effect, Progress, Topology};
use crate::amqp::ReplyCode;
use crate::exchange::{Change, ExchangeKind, ExchangeSpec, Name, text};

/// An exchange and where it is bound to.
pub(super) struct Exchange {
    pub spec: Arc<ExchangeSpec>,
    /// The queues' ends.
    pub bindings: BTreeSet<BindingEnd>,
}

impl Exchange {
    pub fn new(spec: Arc<ExchangeSpec>) -> Exchange {
        Exchange { spec, bindings: BTreeSet::new() }
    }
}

impl Topology {
    /// The order of the checks is rabbit_channel's: type, default exchange, then the existing exchange or the name.
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
        let spec = ExchangeSpec { name, kind, durable, auto_delete, internal, arguments };
        if let Some(existing) = self.exchanges.get(&spec.name) {
            equivalence::check_exchange(&existing.spec, &spec)?;
        } else {
            check_may_be_added(&spec)?;
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
        check_not_system(name)?;
        if let Some(exchange) = self.exchanges.get(name) {
            if if_unused && !exchange.bindings.is_empty() {
                let text = format!("{} in use", text::exchange(name));
                return Err(Refusal::new(ReplyCode::PreconditionFailed, text));
            }
            self.remove_exchange(name, out);
        }
        Ok(Progress::Done(Outcome::Ok))
    }

    fn add_exchange(&mut self, spec: Arc<ExchangeSpec>, out: &mut Vec<Effect>) {
        self.exchanges.insert(spec.name.clone(), Exchange::new(spec.clone()));
        self.broadcast(Change::ExchangeAdded { spec }, out);
    }

    /// One change, however many bindings go with it: each router removes them itself.
    pub(super) fn remove_exchange(&mut self, name: &[u8], out: &mut Vec<Effect>) {
        let Some(exchange) = self.exchanges.remove(name) else { return };
        let name = exchange.spec.name.clone();
        self.forget_queue_ends(&name, exchange.bindings);
        self.broadcast(Change::ExchangeRemoved { name }, out);
    }
}

pub(super) fn check_not_default(name: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() { Err(Refusal::default_exchange()) } else { Ok(()) }
}

/// A method or an exchange type that the next delivery brings.
pub(super) fn check_routable(kind: ExchangeKind, method: &str) -> Result<(), Refusal> {
    match kind {
        ExchangeKind::Direct | ExchangeKind::Fanout => Ok(()),
        ExchangeKind::Topic | ExchangeKind::Headers => {
            let text = format!("{method} with exchange type '{}'", kind.name());
            Err(Refusal::new(ReplyCode::NotImplemented, text))
        }
    }
}

fn check_may_be_added(spec: &ExchangeSpec) -> Result<(), Refusal> {
    if spec.name.starts_with(b"amq.") {
        return Err(Refusal::reserved_prefix("exchange", &spec.name));
    }
    check_routable(spec.kind, "exchange.declare")
}

fn check_not_system(name: &[u8]) -> Result<(), Refusal> {
    if name.starts_with(b"amq.") {
        let text = format!("deletion of system {} not allowed", text::exchange(name));
        return Err(Refusal::new(ReplyCode::AccessRefused, text));
    }
    Ok(())
}

fn unknown_type(kind: &[u8]) -> Refusal {
    let text = format!("unknown exchange type '{}'", text::lossy(kind));
    Refusal::new(ReplyCode::PreconditionFailed, text)
}
