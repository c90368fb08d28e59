//! The broker as its users meet it: the binary under clients that we did not write, and as a process.
//!
//! What is under `clients` must hold for RabbitMQ too, and runs against it when `HAREMQ_TEST_URI` names one.

#[path = "../common/mod.rs"]
mod common;

mod broker;
mod clients;
