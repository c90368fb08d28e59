//! How a delivery ends.

/// What a client says of a message that it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// It is done with.
    Ack,
    /// It is not wanted: it goes to the dead letter exchange, if its queue has one.
    Reject,
    /// It goes back to its place.
    Requeue,
    /// Nobody has seen it: it goes back, and does not count as returned.
    Undelivered,
}

impl Settlement {
    /// Of basic.reject and basic.nack.
    pub fn negative(requeue: bool) -> Settlement {
        if requeue { Settlement::Requeue } else { Settlement::Reject }
    }
}
