//! Who may do what, beside RabbitMQ: every operation over AMQP with every set of permissions, and every route of the HTTP API
//! with every tag. What comes of each must be the same on both, or be a difference with a reason.

#[path = "../common/mod.rs"]
mod common;

mod amqp;
mod cases;
mod http;
mod routes;
mod side;

use std::fmt::Write as _;

/// Something that the brokers do not do alike.
pub struct Difference {
    /// Who did what.
    pub what: String,
    pub ours: String,
    pub theirs: String,
}

/// Why they do not, on purpose.
pub struct Known {
    pub because: &'static str,
    pub is: fn(&Difference) -> bool,
}

/// Every difference is known, and what is known does happen.
pub fn judge(differences: &[Difference], known: &[Known]) {
    let mut wrong = String::new();
    for Difference { what, ours, theirs } in
        differences.iter().filter(|difference| !known.iter().any(|known| (known.is)(difference)))
    {
        writeln!(wrong, "{what}\n  HareMQ:   {ours}\n  RabbitMQ: {theirs}").expect("a String takes all");
    }
    for Known { because, .. } in
        known.iter().filter(|known| !differences.iter().any(|difference| (known.is)(difference)))
    {
        writeln!(wrong, "no longer so: {because}").expect("a String takes all");
    }
    assert!(wrong.is_empty(), "{wrong}");
}
