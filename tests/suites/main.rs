//! Test suites of foreign clients, run against the broker as they come from their registries; and where a client ships none,
//! suites in that client's own idiom.
//!
//! All that a suite asks must hold for RabbitMQ too: `tests/suites/oracle.sh` runs them against it.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod c;
mod crates;
mod foreign;
mod http_client;
mod lapin;
mod node;
mod python;
mod rabbitmqadmin;
mod rabbitmqadmin2;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Most of a suite's time is sleep, and so they sleep together, however few the cores.
const SIDE_BY_SIDE: usize = 16;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let of_each = [
        ("c", c::TESTS),
        ("http_client", http_client::TESTS),
        ("lapin", lapin::TESTS),
        ("node", node::TESTS),
        ("python", python::TESTS),
        ("rabbitmqadmin", rabbitmqadmin::TESTS),
        ("rabbitmqadmin2", rabbitmqadmin2::TESTS),
    ];
    let trials = of_each.into_iter().flat_map(|(module, tests)| {
        tests.iter().map(move |&(name, test)| {
            Trial::test(format!("{module}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
