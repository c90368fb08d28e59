//! Makes the exchange, queues and bindings of a run, and removes them again.

use haremq::amqp::{Method, ShortStr, Table, TableWriter};

use super::session::{ClientError, Session, short};
use crate::routing::{Binding, ID_HEADER, Topology};

/// Declares and binds everything, and empties queues that were there before.
pub fn declare(session: &mut Session, topology: &Topology) -> Result<(), ClientError> {
    session.open_channel(CHANNEL)?;
    if !topology.declares {
        return Ok(());
    }
    declare_exchange(session, topology)?;
    let arguments = Table::decode(&topology.arguments).unwrap_or(Table::EMPTY);
    let declares = each_queue(topology)?.map(|queue| {
        let is_dead_letters =
            topology.dead_letters.as_ref().is_some_and(|name| name.as_bytes() == queue.as_bytes());
        Method::QueueDeclare {
            queue,
            passive: false,
            durable: topology.durable,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: if is_dead_letters { Table::EMPTY } else { arguments },
        }
    });
    session.call_all(CHANNEL, declares, |method| matches!(method, Method::QueueDeclareOk { .. }))?;
    let purges = each_queue(topology)?.map(|queue| Method::QueuePurge { queue, nowait: false });
    session.call_all(CHANNEL, purges, |method| matches!(method, Method::QueuePurgeOk { .. }))?;
    bind(session, topology)
}

/// How many messages are left in the queues: after a run that drained, none should be.
pub fn left_over(session: &mut Session, topology: &Topology) -> Result<u64, ClientError> {
    let mut left = 0;
    for queue in each_queue(topology)? {
        let declare = Method::QueueDeclare {
            queue,
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::EMPTY,
        };
        left += session.call(CHANNEL, &declare, |method| match *method {
            Method::QueueDeclareOk { message_count, .. } => Some(u64::from(message_count)),
            _ => None,
        })?;
    }
    Ok(left)
}

/// Deletes what [`declare`] made.
pub fn delete(session: &mut Session, topology: &Topology) -> Result<(), ClientError> {
    if !topology.deletes {
        return Ok(());
    }
    let deletes = each_queue(topology)?.map(|queue| Method::QueueDelete {
        queue,
        if_unused: false,
        if_empty: false,
        nowait: false,
    });
    session.call_all(CHANNEL, deletes, |method| matches!(method, Method::QueueDeleteOk { .. }))?;
    let Some(exchange) = topology.exchange.as_ref().filter(|exchange| !is_predeclared(&exchange.name)) else {
        return Ok(());
    };
    let delete = Method::ExchangeDelete { exchange: short(&exchange.name)?, if_unused: false, nowait: false };
    session.call(CHANNEL, &delete, |method| matches!(method, Method::ExchangeDeleteOk {}).then_some(()))
}

fn declare_exchange(session: &mut Session, topology: &Topology) -> Result<(), ClientError> {
    let Some(exchange) = topology.exchange.as_ref().filter(|exchange| !is_predeclared(&exchange.name)) else {
        return Ok(());
    };
    let declare = Method::ExchangeDeclare {
        exchange: short(&exchange.name)?,
        type_: short(&exchange.kind)?,
        passive: false,
        durable: topology.durable,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::EMPTY,
    };
    session.call(CHANNEL, &declare, |method| matches!(method, Method::ExchangeDeclareOk {}).then_some(()))
}

fn bind(session: &mut Session, topology: &Topology) -> Result<(), ClientError> {
    let exchange = short(topology.exchange_name())?;
    let by_headers = topology.matching.by_headers();
    let arguments: Vec<Vec<u8>> = match by_headers {
        true => topology.bindings.iter().map(headers_to_match).collect(),
        false => vec![Vec::new(); topology.bindings.len()],
    };
    let binds = topology.bindings.iter().zip(&arguments).map(|(binding, arguments)| {
        let queue = short(&topology.queues[binding.queue])?;
        let routing_key = if by_headers { ShortStr::EMPTY } else { short(&binding.key)? };
        let arguments = Table::decode(arguments).unwrap_or(Table::EMPTY);
        Ok(Method::QueueBind { queue, exchange, routing_key, nowait: false, arguments })
    });
    let binds = binds.collect::<Result<Vec<_>, ClientError>>()?;
    session.call_all(CHANNEL, binds.into_iter(), |method| matches!(method, Method::QueueBindOk {}))
}

fn headers_to_match(binding: &Binding) -> Vec<u8> {
    TableWriter::new().string("x-match", "all").string(ID_HEADER, &binding.key).finish()
}

/// What is published to, and where its dead letters go.
fn each_queue(topology: &Topology) -> Result<std::vec::IntoIter<ShortStr<'_>>, ClientError> {
    let names = topology.queues.iter().chain(&topology.dead_letters);
    let names = names.map(|name| short(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter())
}

/// `amq.direct` and its like are the broker's own.
fn is_predeclared(exchange: &str) -> bool {
    exchange.is_empty() || exchange.starts_with("amq.")
}

const CHANNEL: u16 = 1;
