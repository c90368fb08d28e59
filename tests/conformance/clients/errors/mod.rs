//! The error table: each way to be told off that RabbitMQ has, its code, its text, the method it names, and what stays
//! open. A row may say what Debian's RabbitMQ, the oracle, does instead, with the reason why we do not.
//!
//! Not yet here, as HareMQ does not do it yet; what comes to work leaves this list for the tables:
//!
//! | what | code |
//! |---|---|
//! | exclusive consumers of a queue with a single active consumer | 403 |
//! | protected queues; `basic.get` of quorum queues | 405 |
//! | limits on queues, exchanges, connections and channels, of vhosts, users and the node | 406, 530 |
//! | deliveries that are not acknowledged for half an hour | 406 |
//! | a secret that is refused, which needs a backend that can refuse it | 530 |
//! | the operator closes a connection | 320 |
//!
//! Elsewhere: permissions (`broker/access.rs`), the handshake's timeout, 320 when the broker stops (`broker/process.rs`), heartbeats (`heartbeats.rs`). Out
//! of reach from a socket: guest from another machine (`src/access/login.rs`), a method while tx.commit is under way (504, a
//! race that RabbitMQ itself parks now), 65,536 consumers on a channel (530, takes RabbitMQ minutes), 541 of a defect.

mod arguments;
pub mod ask;
pub mod case;
mod channel;
mod connection;
mod consuming;
mod content;
mod equivalence;
mod no_errors;
mod opening;
mod redeclared;

use case::{Case, run};

#[test]
fn every_row_of_the_error_table() {
    let rows: Vec<Case> = [
        opening::rows(),
        channel::rows(),
        equivalence::rows(),
        arguments::rows(),
        redeclared::rows(),
        consuming::rows(),
        content::rows(),
        connection::rows(),
        no_errors::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    run("row", &rows);
}
