//! RabbitMQ's words for exchanges and queues in error texts (rabbit_misc:rs, rabbit_amqqueue, rabbit_channel), and its
//! rule for names.

use std::borrow::Cow;

/// Names what lies in a vhost, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Vhost<'a>(pub &'a [u8]);

impl Vhost<'_> {
    /// `queue 'q' in vhost '/'`
    pub fn queue(self, name: &[u8]) -> String {
        self.resource("queue", name)
    }

    /// `exchange 'x' in vhost '/'`
    pub fn exchange(self, name: &[u8]) -> String {
        self.resource("exchange", name)
    }

    /// 404
    pub fn no_queue(self, name: &[u8]) -> String {
        format!("no {}", self.queue(name))
    }

    /// 404
    pub fn no_exchange(self, name: &[u8]) -> String {
        format!("no {}", self.exchange(name))
    }

    /// 403
    pub fn internal_exchange(self, name: &[u8]) -> String {
        format!("cannot publish to internal {}", self.exchange(name))
    }

    /// 405: the queue is exclusive to another connection, or a declare disagrees about its being exclusive.
    pub fn locked_queue(self, name: &[u8]) -> String {
        format!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the \
             exclusive property value does not match that of the original declaration.",
            self.queue(name)
        )
    }

    fn resource(self, kind: &str, name: &[u8]) -> String {
        format!("{kind} '{}' in vhost '{}'", lossy(name), lossy(self.0))
    }
}

/// 403
pub const DEFAULT_EXCHANGE: &str = "operation not permitted on the default exchange";

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
