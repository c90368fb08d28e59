//! A connection's protocol state, without its socket and without a clock.

pub mod handshake;
