//! The arguments that clients declare their queues with.

use haremq::amqp::{TableWriter, Value};
use haremq::queue_args::Durability;

use crate::dice::Dice;

/// As in queue.declare; the default is a plain queue.
#[derive(Clone, Default, Debug)]
pub struct QueueRules {
    pub ttl_ms: Option<u64>,
    pub expires_ms: Option<u64>,
    pub length_max: Option<u64>,
    pub bytes_max: Option<u64>,
    pub overflow: Overflow,
    pub graveyard: Option<Graveyard>,
    pub priority_max: Option<u8>,
    pub single_active: bool,
    pub delivery_limit: Option<u32>,
    pub timeout_ms: Option<u64>,
    pub durability: Option<Durability>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Overflow {
    #[default]
    DropHead,
    Reject,
    RejectDlx,
}

/// Where the dead go: an exchange, and a routing key in place of their own.
#[derive(Clone, Debug)]
pub struct Graveyard {
    pub exchange: &'static str,
    pub key: Option<Vec<u8>>,
}

impl Graveyard {
    /// Whether a letter goes to one queue at most.
    pub fn is_narrow(&self) -> bool {
        self.exchange.is_empty() || self.exchange == MISSING
    }
}

impl QueueRules {
    /// Each rule alone or with others. `names` are those of other queues, for letters to go to; `narrow` lets them go to one
    /// queue at most, as they would multiply otherwise.
    pub fn draw(dice: &mut Dice, own: &[u8], names: &[Vec<u8>], narrow: bool) -> QueueRules {
        let mut rules = QueueRules::default();
        for _ in 0..dice.between(1, 4) {
            match dice.roll(9) {
                0 => rules.ttl_ms = Some([0, 1, 5, 20, 50][dice.roll(5)]),
                1 if dice.chance(50) => rules.expires_ms = Some([10, 40, 100][dice.roll(3)]),
                2 => rules.length_max = Some([0, 1, 3, 10][dice.roll(4)]),
                3 if dice.chance(50) => rules.bytes_max = Some([0, 50, 400, 5_000][dice.roll(4)]),
                4 => rules.priority_max = Some([1, 5, 255][dice.roll(3)]),
                5 => rules.single_active = true,
                6 => rules.delivery_limit = Some([0, 1, 3][dice.roll(3)]),
                7 => rules.timeout_ms = Some([3, 15, 60][dice.roll(3)]),
                _ => {}
            }
        }
        if rules.length_max.is_some() || rules.bytes_max.is_some() {
            rules.overflow = [Overflow::DropHead, Overflow::Reject, Overflow::RejectDlx][dice.roll(3)];
        }
        if dice.chance(70) {
            rules.graveyard = Some(draw_graveyard(dice, own, names, narrow));
        }
        rules
    }

    /// What no consumer takes at once is gone.
    pub fn keep_nothing(&mut self, dice: &mut Dice) {
        let limit = if dice.chance(50) { &mut self.ttl_ms } else { &mut self.length_max };
        *limit = Some(0);
        self.overflow = Overflow::DropHead;
    }

    /// The table of the declaration.
    pub fn arguments(&self) -> Vec<u8> {
        let numbers = [
            ("x-message-ttl", self.ttl_ms),
            ("x-expires", self.expires_ms),
            ("x-max-length", self.length_max),
            ("x-max-length-bytes", self.bytes_max),
            ("x-max-priority", self.priority_max.map(u64::from)),
            ("x-delivery-limit", self.delivery_limit.map(u64::from)),
            ("x-consumer-timeout", self.timeout_ms),
        ];
        let mut table = TableWriter::new();
        for (name, number) in numbers {
            if let Some(number) = number {
                table = table.value(name, Value::I64(number as i64));
            }
        }
        if self.single_active {
            table = table.bool("x-single-active-consumer", true);
        }
        match self.durability {
            None => {}
            Some(Durability::Fsync) => table = table.string("x-durability", "fsync"),
            Some(Durability::Os) => table = table.string("x-durability", "os"),
            Some(Durability::None) => table = table.string("x-durability", "none"),
        }
        match self.overflow {
            Overflow::DropHead => {}
            Overflow::Reject => table = table.string("x-overflow", "reject-publish"),
            Overflow::RejectDlx => table = table.string("x-overflow", "reject-publish-dlx"),
        }
        if let Some(Graveyard { exchange, key }) = &self.graveyard {
            table = table.string("x-dead-letter-exchange", exchange);
            if let Some(key) = key {
                table = table.string("x-dead-letter-routing-key", key);
            }
        }
        table.finish()
    }

    /// How long a message may wait, ns, with an expiration of its own.
    pub fn ttl_ns(&self, expiration_ms: Option<u64>) -> Option<u64> {
        self.ttl_ms.into_iter().chain(expiration_ms).min().map(|ms| ms * 1_000_000)
    }

    pub fn timeout_ns(&self) -> Option<u64> {
        Some(self.timeout_ms? * 1_000_000)
    }

    pub fn priority(&self, of_message: Option<u8>) -> u8 {
        of_message.unwrap_or(0).min(self.priority_max.unwrap_or(0))
    }

    pub fn is_limited(&self) -> bool {
        self.length_max.is_some() || self.bytes_max.is_some()
    }

    /// What comes to the queue leaves it by its consumers alone.
    pub fn is_calm(&self) -> bool {
        !self.is_limited()
            && self.ttl_ms.is_none()
            && self.expires_ms.is_none()
            && self.timeout_ms.is_none()
            && self.delivery_limit.is_none()
    }

    /// Publishers are told that it is full.
    pub fn refuses(&self) -> bool {
        self.is_limited() && self.overflow != Overflow::DropHead
    }

    pub fn drops_heads(&self) -> bool {
        self.is_limited() && self.overflow == Overflow::DropHead
    }
}

fn draw_graveyard(dice: &mut Dice, own: &[u8], names: &[Vec<u8>], narrow: bool) -> Graveyard {
    let key = |dice: &mut Dice| dice.chance(60).then(|| format!("k{}", dice.roll(4)).into_bytes());
    let (exchange, key) = match dice.roll(12) {
        0 => (MISSING, None),
        1 => ("", Some(b"nowhere".to_vec())),
        2 => ("", None),
        3 if !own.is_empty() => ("", Some(own.to_vec())),
        4 | 5 if !narrow => (["x.fanout", "amq.fanout"][dice.roll(2)], key(dice)),
        6 | 7 if !narrow => (["x.direct", "amq.direct"][dice.roll(2)], key(dice)),
        _ => ("", dice.pick(names).cloned().or(Some(b"nowhere".to_vec()))),
    };
    Graveyard { exchange, key }
}

/// An exchange that nobody declares.
pub const MISSING: &str = "x.missing";
