//! Tables as they are drawn: arguments of queues, exchanges, bindings and consumers, and properties of messages.

use crate::act::{Act, Arg, Arguments, Flags};
use crate::dice::Dice;

fn text(value: &str) -> Arg {
    Arg::Text(value.to_owned())
}

fn pick(dice: &mut Dice, values: &[Arg]) -> Arg {
    values[dice.roll(values.len())].clone()
}

/// A number in one of its widths; RabbitMQ compares and reads them all alike.
fn number(dice: &mut Dice, value: i32) -> Arg {
    match dice.roll(4) {
        0 => Arg::Long(i64::from(value)),
        1 => i16::try_from(value).map_or(Arg::Int(value), Arg::Short),
        _ => Arg::Int(value),
    }
}

const AN_HOUR: i32 = 3_600_000;

/// Arguments with which a queue can be declared. What one queue passes on goes to itself or to a queue to which no other
/// passes anything: where two queues dead-letter at once, their order is nobody's promise.
pub fn of_queue(dice: &mut Dice, name: &str) -> Arguments {
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: Arg| arguments.push((name.to_owned(), value));
    if dice.chance(25) {
        let ttl = if dice.chance(40) { 0 } else { AN_HOUR };
        add("x-message-ttl", number(dice, ttl));
    }
    if dice.chance(10) {
        add("x-expires", number(dice, AN_HOUR));
    }
    if dice.chance(35) {
        let length = [0, 1, 2, 3, 5][dice.roll(5)];
        add("x-max-length", number(dice, length));
    }
    if dice.chance(15) {
        let bytes = [0, 5, 50, 300][dice.roll(4)];
        add("x-max-length-bytes", number(dice, bytes));
    }
    if dice.chance(35) {
        add(
            "x-overflow",
            pick(dice, &[text("drop-head"), text("reject-publish"), text("reject-publish-dlx")]),
        );
    }
    if dice.chance(45) {
        let (exchange, key) = dead_letters(dice, name);
        add("x-dead-letter-exchange", text(exchange));
        if let Some(key) = key {
            add("x-dead-letter-routing-key", text(&key));
        }
    }
    if dice.chance(15) {
        let priority = [0, 1, 3, 10][dice.roll(4)];
        add("x-max-priority", number(dice, priority));
    }
    if dice.chance(15) {
        add("x-single-active-consumer", Arg::Bool(dice.chance(80)));
    }
    if dice.chance(10) {
        add("x-queue-type", text("classic"));
    }
    if dice.chance(8) {
        add("x-nobody-knows", number(dice, 7));
    }
    Arguments(arguments)
}

/// Dead letters of `q3` go to `q3` or to `dead-3`, by the default exchange; or nowhere.
fn dead_letters(dice: &mut Dice, name: &str) -> (&'static str, Option<String>) {
    let number = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    match dice.roll(5) {
        0 => ("missing", None),
        1 => ("", None),
        2 if !name.is_empty() => ("", Some(name.to_owned())),
        _ => ("", Some(format!("dead-{number}"))),
    }
}

/// Any arguments, most of them wrong.
pub fn any_of_queue(dice: &mut Dice) -> Arguments {
    let names = [
        "x-message-ttl",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-overflow",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-priority",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-mode",
        "x-queue-version",
        "x-max-in-memory-length",
        "x-nobody-knows",
    ];
    let count = dice.between(1, 2);
    let draw = |_| (names[dice.roll(names.len())].to_owned(), any(dice));
    Arguments((0..count).map(draw).collect())
}

fn any(dice: &mut Dice) -> Arg {
    let values = [
        Arg::Int(0),
        Arg::Int(1),
        Arg::Int(-1),
        Arg::Int(255),
        Arg::Int(256),
        Arg::Int(AN_HOUR),
        Arg::Long(i64::MAX),
        Arg::Long(315_360_000_000),
        Arg::Long(315_360_000_001),
        Arg::Double(1.5),
        Arg::Bool(true),
        Arg::Void,
        text(""),
        text("10"),
        text("drop-head"),
        text("reject-publish"),
        text("lazy"),
        text("classic"),
        text("riddle"),
        Arg::Timestamp(7),
        Arg::Array(vec![Arg::Int(1)]),
        Arg::Table(Arguments::one("k", Arg::Int(1))),
    ];
    pick(dice, &values)
}

pub fn of_exchange(dice: &mut Dice) -> Arguments {
    let name = ["alternate-exchange", "x-nobody-knows"][dice.roll(2)];
    Arguments::one(name, any(dice))
}

/// What a binding to a headers exchange asks for; others take no notice.
pub fn of_binding(dice: &mut Dice) -> Arguments {
    if dice.chance(60) {
        return Arguments::default();
    }
    let mut arguments = match dice.roll(12) {
        0..3 => Arguments::one("x-match", text("all")),
        3..6 => Arguments::one("x-match", text("any")),
        6 => Arguments::one("x-match", text("riddle")),
        7 => Arguments::one("x-match", Arg::Int(1)),
        _ => Arguments::default(),
    };
    arguments.0.extend(headers(dice).0);
    arguments
}

fn headers(dice: &mut Dice) -> Arguments {
    let mut headers = Vec::new();
    for name in ["h", "k", "x-h"] {
        if dice.chance(40) {
            let values = [
                Arg::Int(1),
                Arg::Int(1),
                Arg::Long(1),
                text("1"),
                Arg::Void,
                Arg::Bool(true),
                Arg::Double(1.5),
            ];
            headers.push((name.to_owned(), pick(dice, &values)));
        }
    }
    Arguments(headers)
}

pub fn of_consumer(dice: &mut Dice) -> Arguments {
    if dice.chance(80) {
        return Arguments::default();
    }
    match dice.roll(8) {
        0 => Arguments::one("x-priority", any(dice)),
        1 => Arguments::one("x-nobody-knows", any(dice)),
        _ => Arguments::one("x-priority", Arg::Int([-1, 0, 1, 5][dice.roll(4)])),
    }
}

/// Direct replies: a pseudo-queue from which only replies to this channel come.
pub fn consume_replies(dice: &mut Dice) -> Act {
    let flags = if dice.chance(85) { Flags(vec!["no-ack"]) } else { Flags::default() };
    let (queue, tag) = (REPLY_TO.to_owned(), ["", "t9"][dice.roll(2)].to_owned());
    Act::Consume { queue, tag, flags, arguments: Arguments::default() }
}

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// `has_arguments`: what belongs to them, too.
pub fn properties(dice: &mut Dice, has_arguments: bool) -> Arguments {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: Arg| properties.push((name.to_owned(), value));
    if dice.chance(40) {
        add("delivery-mode", Arg::Byte(1 + dice.roll(2) as u8));
    }
    if dice.chance(45) {
        let mut table = headers(dice);
        if dice.chance(20) {
            table.0.push(("CC".to_owned(), copies(dice)));
        }
        if dice.chance(10) {
            table.0.push(("BCC".to_owned(), copies(dice)));
        }
        add("headers", Arg::Table(table));
    }
    if dice.chance(20) {
        add("priority", Arg::Byte([0, 1, 2, 3, 9, 255][dice.roll(6)]));
    }
    if dice.chance(3) {
        add("user-id", text(["guest", "guest", "guest", "me", ""][dice.roll(5)]));
    }
    if dice.chance(3) {
        add("reply-to", text([REPLY_TO, "q0", ""][dice.roll(3)]));
    }
    if has_arguments && dice.chance(15) {
        add("expiration", expiration(dice));
    }
    for name in
        ["content-type", "content-encoding", "correlation-id", "message-id", "type", "app-id", "cluster-id"]
    {
        if dice.chance(5) {
            add(name, text(["", "a", "text/plain"][dice.roll(3)]));
        }
    }
    if dice.chance(5) {
        add("timestamp", Arg::Timestamp(1_700_000_000));
    }
    Arguments(properties)
}

/// An hour or a mistake. What expires at once is left to the queues' own TTL: behind others it waits in RabbitMQ.
fn expiration(dice: &mut Dice) -> Arg {
    match dice.roll(10) {
        0..7 => text("3600000"),
        _ => text(["", "x", "10s", "-1", " 1", "1.5", "315360000001"][dice.roll(7)]),
    }
}

/// Further routing keys; sometimes of a wrong type.
fn copies(dice: &mut Dice) -> Arg {
    match dice.roll(12) {
        0 => text("a"),
        1 => Arg::Array(vec![Arg::Int(1)]),
        2 => Arg::Void,
        _ => {
            let keys = ["a", "b", "a.b", "q0", "q1", "?1", "?2"];
            let count = dice.between(0, 3);
            Arg::Array((0..count).map(|_| text(keys[dice.roll(keys.len())])).collect())
        }
    }
}
