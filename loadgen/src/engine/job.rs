//! What goes into a worker, what it tells while it runs, and what it brings home.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;

use super::connection::Connection;
use super::flight::Shared;
use super::producer::Lane;
use crate::check::QueueCheck;
use crate::properties::Variants;
use crate::stamp::Fill;
use crate::violations::Violations;

/// What a worker needs to begin.
pub struct Job {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub events: Sender<Event>,
    pub connections: Vec<Connection>,
    pub queues: Vec<QueueCheck>,
    pub fill: Arc<Fill>,
    pub variants: Variants,
    /// What arrives is what expired elsewhere.
    pub awaits_expired: bool,
    /// Of all producers of the run, for their phases.
    pub producers_in_run: usize,
    pub rate: Option<f64>,
    pub burst: u64,
    pub consumer_rate: Option<f64>,
    pub spin_ns: u64,
}

/// What a worker tells while it runs.
pub enum Event {
    Interval(Box<Interval>),
    /// The run cannot go on.
    Failed(String),
}

/// What one second brought.
pub struct Interval {
    /// Seconds since the start of the load, counted from 0.
    pub second: u64,
    pub published: u64,
    pub delivered: u64,
    pub confirmed: u64,
    pub latency: Histogram<u64>,
    pub confirm_latency: Histogram<u64>,
}

/// What a worker knows at its end.
pub struct Outcome {
    pub latency: Histogram<u64>,
    pub confirm_latency: Histogram<u64>,
    pub lag: Histogram<u64>,
    pub lateness: Histogram<u64>,
    pub violations: Violations,
    pub queues: Vec<QueueCheck>,
    /// (producer number, its lanes)
    pub published: Vec<(u16, Vec<Lane>)>,
    pub unconfirmed: u64,
    pub unsent: u64,
    pub blocked_ns: u64,
}
