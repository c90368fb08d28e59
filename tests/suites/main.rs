//! Test suites of foreign clients, run against the broker as they come from their registries; and where a client ships none,
//! suites in that client's own idiom.
//!
//! All that a suite asks must hold for RabbitMQ too: `tests/suites/oracle.sh` runs them against it.

#[path = "../common/mod.rs"]
mod common;

mod c;
mod foreign;
mod lapin;
mod node;
mod python;
