//! RabbitMQ's words for exchanges and queues in error texts (rabbit_misc:rs, rabbit_amqqueue, rabbit_channel), and its
//! rule for names.

use std::borrow::Cow;

/// `queue 'q' in vhost '/'`
pub fn queue(name: &[u8]) -> String {
    resource("queue", name)
}

/// `exchange 'x' in vhost '/'`
pub fn exchange(name: &[u8]) -> String {
    resource("exchange", name)
}

/// 404
pub fn no_queue(name: &[u8]) -> String {
    format!("no {}", queue(name))
}

/// 404
pub fn no_exchange(name: &[u8]) -> String {
    format!("no {}", exchange(name))
}

/// 403
pub fn internal_exchange(name: &[u8]) -> String {
    format!("cannot publish to internal {}", exchange(name))
}

/// 403
pub const DEFAULT_EXCHANGE: &str = "operation not permitted on the default exchange";

/// 405: the queue is exclusive to another connection, or a declare disagrees about its being exclusive.
pub fn locked_queue(name: &[u8]) -> String {
    format!(
        "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the \
         exclusive property value does not match that of the original declaration.",
        queue(name)
    )
}

/// Names come without carriage return and line feed, wherever they stand in them. Copies only if there is one.
pub fn strip_cr_lf(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().any(is_cr_lf) {
        Cow::Owned(name.iter().copied().filter(|byte| !is_cr_lf(byte)).collect())
    } else {
        Cow::Borrowed(name)
    }
}

/// Bytes of a client for an error text; what is not UTF-8 is replaced.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn is_cr_lf(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn resource(kind: &str, name: &[u8]) -> String {
    format!("{kind} '{}' in vhost '/'", lossy(name))
}
