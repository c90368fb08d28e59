//! One seed: each step on both brokers, what they say compared, and in the end what is left in every queue.

use crate::act::{Act, Flags, Step};
use crate::admit::admit;
use crate::draw::{EXCHANGES, QUEUES};
use crate::known::{self, Known, Scene};
use crate::ledger::GENERATED;
use crate::render::{Answer, Place};
use crate::side::Side;
use crate::speak::Ready;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Where the brokers are: HareMQ first.
#[derive(Clone, Copy)]
pub struct Brokers {
    pub addresses: [SocketAddr; 2],
    /// Whom to ask whether nothing is under way.
    pub quiet: [Option<SocketAddr>; 2],
}

/// Something in which the brokers differ, without a reason.
pub struct Finding {
    /// Which step, counted from 0; those after it were not done.
    pub at: usize,
    pub step: String,
    pub differences: Vec<Difference>,
    /// The steps up to there as they were done.
    pub history: Vec<String>,
}

pub struct Difference {
    pub place: Place,
    /// HareMQ's lines and RabbitMQ's.
    pub lines: [Vec<String>; 2],
}

/// What a run has seen.
#[derive(Default, Debug)]
pub struct Tally {
    pub seeds: u64,
    /// Steps that were done; the others had nothing to refer to.
    pub steps: u64,
    pub skipped: u64,
    /// Runs that ended early, as a difference that is known left the brokers in different states.
    pub cut: u64,
    /// Seeds that differed once and not again: how RabbitMQ's processes ran.
    pub once: u64,
    /// Answers of RabbitMQ by their kind.
    pub heard: BTreeMap<String, u64>,
    /// Differences by their reason.
    pub explained: BTreeMap<&'static str, u64>,
}

pub struct Run {
    sides: [Side; 2],
    history: Vec<String>,
    log: bool,
    /// What the log has said of each queue.
    shown: Answer,
    /// Unbinds of what was bound: bindings between predeclared exchanges would stay.
    unbinds: Vec<Step>,
    pub tally: Tally,
}

impl Run {
    /// Does all steps, which leave nothing behind.
    pub fn seed(brokers: Brokers, steps: &[Step], log: bool) -> (Tally, Option<Finding>) {
        let sides = [0, 1].map(|at| Side::open(brokers.addresses[at], brokers.quiet[at]));
        let mut run = Run {
            sides,
            history: Vec::new(),
            log,
            shown: Answer::new(),
            unbinds: Vec::new(),
            tally: Tally { seeds: 1, ..Tally::default() },
        };
        let finding = run.all(steps).err();
        run.clean();
        (run.tally, finding)
    }

    fn all(&mut self, steps: &[Step]) -> Result<(), Finding> {
        for (at, step) in steps.iter().enumerate() {
            let Some(ready) = admit(step, &self.sides[0].ledger, &self.sides[1].ledger) else {
                self.tally.skipped += 1;
                continue;
            };
            match self.step(at, &ready)? {
                Then::Goes => {}
                Then::Ends => {
                    self.tally.cut += 1;
                    return Ok(());
                }
            }
        }
        self.rest(steps.len())
    }

    fn step(&mut self, at: usize, ready: &Ready) -> Result<Then, Finding> {
        let Step { connection, channel, act } = &ready.step;
        for side in &mut self.sides {
            if !side.ledger.connections[*connection].contains_key(channel) {
                side.open_channel(*connection, *channel);
            }
        }
        self.tally.steps += 1;
        if let Act::BindExchange { destination, source, key, arguments, .. } = act.clone()
            && [&destination, &source].iter().all(|exchange| exchange.starts_with("amq."))
        {
            let flags = Flags(vec!["nowait"]);
            let act = Act::UnbindExchange { destination, source, key, flags, arguments };
            self.unbinds.push(Step { act, ..ready.step.clone() });
        }
        let line = format!("{at}: connection {connection}, channel {channel}: {act:?}");
        if self.log {
            println!("{line}");
        }
        self.history.push(line);
        for (side, tag) in self.sides.iter_mut().zip(ready.tags) {
            side.say(ready, tag);
        }
        self.sides.iter_mut().for_each(|side| side.hear_answer(&ready.step));
        let differences = self.compared(*connection);
        self.count(&ready.step.act);
        if self.log {
            for (place, lines) in &self.sides[1].answer {
                if self.shown.insert(place.clone(), lines.clone()).as_ref() != Some(lines)
                    || !place.is_state()
                {
                    lines.iter().for_each(|line| println!("    {place}: {line}"));
                }
            }
        }
        if differences.is_empty() {
            return Ok(Then::Goes);
        }
        match self.explained(ready, &differences) {
            Some(known) if known.ends => Ok(Then::Ends),
            Some(_) => self.equalise(at),
            None => Err(self.finding(at, differences)),
        }
    }

    fn explained(&mut self, ready: &Ready, differences: &[Difference]) -> Option<&'static Known> {
        let connection = ready.step.connection;
        let has_ended = (0..2).all(|side| self.has_lost(side, connection));
        let scene = Scene { ready, differences, ledger: &self.sides[1].ledger, has_ended };
        let known = known::explain(&scene)?;
        *self.tally.explained.entry(known.why).or_default() += 1;
        Some(known)
    }

    fn has_lost(&self, side: usize, connection: usize) -> bool {
        let lines = self.sides[side].answer.get(&Place::Replies(connection, 0));
        lines.is_some_and(|lines| !lines.is_empty())
    }

    /// What is different once both brokers have come to rest.
    fn compared(&mut self, connection: usize) -> Vec<Difference> {
        self.look(connection);
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut looks = 1;
        loop {
            let mut reasons = Vec::new();
            let differences = differences(&self.sides[0].answer, &self.sides[1].answer, &mut reasons);
            let owed = self.sides.iter().any(Side::owes_confirms);
            let patience = if owed { TIME_FOR_CONFIRMS } else { TIME_FOR_EFFECTS };
            if differences.is_empty() && !owed || looks >= LOOKS && began.elapsed() > patience {
                for why in reasons {
                    *self.tally.explained.entry(why).or_default() += 1;
                }
                return differences;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
            self.look(connection);
            looks += 1;
        }
    }

    fn look(&mut self, connection: usize) {
        self.sides.iter_mut().for_each(Side::come_to_rest);
        self.sides.iter_mut().for_each(|side| side.ask(connection));
        self.sides.iter_mut().for_each(Side::observe);
    }

    /// After a known difference: who has lost a connection or a channel where the other has not, loses it now.
    fn equalise(&mut self, at: usize) -> Result<Then, Finding> {
        for connection in 0..2 {
            let lost = [0, 1].map(|side| self.has_lost(side, connection));
            for side in 0..2 {
                if lost[1 - side] && !lost[side] {
                    self.sides[side].close(connection);
                }
            }
        }
        for connection in 0..2 {
            let open = [0, 1].map(|side: usize| self.sides[side].ledger.connections[connection].clone());
            for side in 0..2 {
                for channel in open[side].keys().filter(|channel| !open[1 - side].contains_key(channel)) {
                    self.sides[side].close_channel(connection, *channel);
                }
            }
        }
        self.sides.iter_mut().for_each(|side| side.answer.clear());
        let differences = self.compared(0);
        // What is said on the way is said by one of them alone, and who was asked before knows that a queue is gone.
        let is_state = |it: &Difference| {
            let are_gone = it.lines.iter().flatten().all(|line| line.starts_with("channel.close 404"));
            matches!(it.place, Place::Queue(_)) && !are_gone
        };
        let states = differences.into_iter().filter(is_state);
        let states: Vec<Difference> = states.collect();
        if states.is_empty() { Ok(Then::Goes) } else { Err(self.finding(at, states)) }
    }

    /// Empties the exclusive queues, closes the connections, and empties the others.
    fn rest(&mut self, at: usize) -> Result<(), Finding> {
        self.history.push(format!("{at}: all is emptied"));
        for connection in 0..2 {
            self.sides.iter_mut().for_each(|side| side.drain(Some(connection)));
        }
        self.end(at)?;
        for connection in 0..2 {
            let passes_on = self.sides[1].ledger.passes_on(connection);
            let step = Step { connection, channel: 0, act: Act::CloseConnection };
            let ready = Ready { step, tags: [0; 2], is_overtaken: false, passes_on };
            for side in &mut self.sides {
                side.answer.clear();
                side.close(connection);
            }
            let differences = self.compared(connection);
            if !differences.is_empty() {
                self.explained(&ready, &differences).ok_or_else(|| self.finding(at, differences))?;
                self.tally.cut += 1;
                return Ok(());
            }
        }
        self.sides.iter_mut().for_each(|side| side.drain(None));
        self.end(at)
    }

    fn end(&mut self, at: usize) -> Result<(), Finding> {
        let differences = self.compared(0);
        if differences.is_empty() { Ok(()) } else { Err(self.finding(at, differences)) }
    }

    /// Nothing may be left for the next seed.
    fn clean(&mut self) {
        for side in &mut self.sides {
            let generated: Vec<String> = side.ledger.aliases(GENERATED).cloned().collect();
            let known: Vec<String> = side.ledger.queues.keys().cloned().collect();
            let names = QUEUES.iter().map(|name| (*name).to_owned());
            let odd = ["missing", "q9", "ä", "a.very.long.name"].map(str::to_owned);
            let queues: Vec<String> = names.chain(odd).chain(generated).chain(known).collect();
            let exchanges = EXCHANGES.iter().copied().chain(["missing", "x9", "q9", "ä", "a.very.long.name"]);
            side.wipe(&queues, &exchanges.collect::<Vec<_>>(), &self.unbinds);
        }
    }

    fn finding(&self, at: usize, differences: Vec<Difference>) -> Finding {
        let step = self.history.last().cloned().unwrap_or_default();
        Finding { at, step, differences, history: self.history.clone() }
    }

    /// Notes what RabbitMQ has said: a run in which little happens proves little.
    fn count(&mut self, act: &Act) {
        let act = format!("{act:?}");
        let act = act.split([' ', '(']).next().unwrap_or_default();
        for (place, lines) in &self.sides[1].answer {
            let kind = |line: &String| match place {
                Place::Replies(..) => match line.split_once(".close ") {
                    Some((what, text)) => {
                        format!("{what}.close {} of {act}", text.split(' ').next().unwrap_or_default())
                    }
                    None => line.split([' ', '(', ':']).next().unwrap_or_default().to_owned(),
                },
                Place::Returns(..) => "returned".to_owned(),
                Place::Confirms(..) => line.rsplit(' ').next().unwrap_or_default().to_owned(),
                Place::Deliveries(..) if line.ends_with("by the broker") => {
                    "cancelled by the broker".to_owned()
                }
                Place::Deliveries(..) => "delivered".to_owned(),
                Place::Queue(_) | Place::Rest(_) => String::new(),
            };
            for kind in lines.iter().map(kind).filter(|kind| !kind.is_empty()) {
                *self.tally.heard.entry(kind).or_default() += 1;
            }
        }
    }
}

enum Then {
    Goes,
    Ends,
}

/// In what the answers differ. What is explained line by line is counted.
fn differences(haremq: &Answer, rabbitmq: &Answer, reasons: &mut Vec<&'static str>) -> Vec<Difference> {
    let mut places: Vec<&Place> = haremq.keys().chain(rabbitmq.keys()).collect();
    places.sort();
    places.dedup();
    let of = |answer: &Answer, place: &Place| answer.get(place).cloned().unwrap_or_default();
    let mut all = Vec::new();
    for place in places {
        let lines = [of(haremq, place), of(rabbitmq, place)];
        match alike(&lines) {
            Some(why) => reasons.extend(why),
            None => all.push(Difference { place: place.clone(), lines }),
        }
    }
    all
}

/// The reasons for all differences of two lists of lines, if there are reasons.
fn alike([haremq, rabbitmq]: &[Vec<String>; 2]) -> Option<Vec<&'static str>> {
    if haremq.len() != rabbitmq.len() {
        return None;
    }
    let pairs = haremq.iter().zip(rabbitmq).filter(|(haremq, rabbitmq)| haremq != rabbitmq);
    let reasons: Option<Vec<_>> =
        pairs.map(|(haremq, rabbitmq)| known::explain_line(haremq, rabbitmq)).collect();
    reasons.map(|reasons| reasons.into_iter().flatten().collect())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.place)?;
        let common = self.lines[0]
            .iter()
            .zip(&self.lines[1])
            .take_while(|(haremq, rabbitmq)| haremq == rabbitmq)
            .count();
        if common > 0 {
            writeln!(f, "    after {common} lines that are the same")?;
        }
        for (name, lines) in ["HareMQ", "RabbitMQ"].iter().zip(&self.lines) {
            let nothing = [String::from("nothing")];
            let lines = if lines.is_empty() { &nothing[..] } else { lines };
            let first = common.min(lines.len() - 1);
            lines[first..].iter().try_for_each(|line| writeln!(f, "    {name:<9}{line}"))?;
        }
        Ok(())
    }
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.skipped += other.skipped;
        self.cut += other.cut;
        self.once += other.once;
        for (kind, count) in other.heard {
            *self.heard.entry(kind).or_default() += count;
        }
        for (why, count) in other.explained {
            *self.explained.entry(why).or_default() += count;
        }
    }
}

/// How long the effects of a step may take until a difference is one.
const TIME_FOR_EFFECTS: Duration = Duration::from_millis(300);
/// And how often they are looked for at least: a busy machine may take all that time for one look.
const LOOKS: usize = 20;
/// A confirm of a persistent message waits for RabbitMQ's disk.
const TIME_FOR_CONFIRMS: Duration = Duration::from_secs(3);
