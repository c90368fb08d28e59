//! A backlog: a queue that is filled while nobody takes from it, then drained; two runs of messages, one behind the other.

use crate::client::ClientError;
use crate::interrupt;
use crate::plan::{Backlog, Run};
use crate::report::{BacklogReport, MessagesReport, Second};
use crate::run::{self, Target};
use crate::violations::Kind;

/// What was confirmed is what is drained.
pub fn run(
    run: &Run,
    backlog: &Backlog,
    target: &Target,
    each_second: &mut dyn FnMut(&Second),
) -> Result<BacklogReport, ClientError> {
    let fill = run::messages(run, &backlog.fill, target, each_second)?;
    let mut load = backlog.drain.clone();
    load.messages_per_consumer = Some(fill.confirmed);
    let mut drain = run::messages(run, &load, target, each_second)?;
    // Whoever interrupts a drain leaves the rest where it is.
    if !interrupt::requested() {
        count_lost(&fill, &mut drain);
    }
    Ok(BacklogReport { fill, drain })
}

/// The drain does not know what it was to get, only what is missing between the first and the last that came.
fn count_lost(fill: &MessagesReport, drain: &mut MessagesReport) {
    let again = drain.violations.duplicated + drain.violations.redelivered;
    let lost = fill.confirmed.saturating_sub(drain.delivered - again);
    let unseen = lost.saturating_sub(drain.violations.lost);
    let (confirmed, seconds) = (fill.confirmed, drain.measured_seconds);
    drain.violate(Kind::Lost, unseen, || {
        format!("{lost} of {confirmed} that were confirmed did not come in {seconds:.1} s")
    });
}
