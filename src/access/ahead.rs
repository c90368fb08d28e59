//! A pattern that looks ahead where a name begins: `^(?!amq\.).*` leaves out what RabbitMQ names itself, and is among the most
//! common patterns there are. Our engine does not look around, but this much is made of patterns that it can run: each look by
//! itself, and what follows.

use regex::bytes::Regex;

#[derive(Clone)]
pub(super) struct Ahead {
    /// Whether it must match there, or must not.
    looks: Vec<(bool, Regex)>,
    rest: Regex,
}

impl Ahead {
    /// None: it does not begin with a look ahead, or goes on with alternatives, which would begin anew. The error is the
    /// reason why a part of it is no pattern.
    pub fn new(text: &str, compile: impl Fn(&str) -> Result<Regex, String>) -> Option<Result<Ahead, String>> {
        let (looks, rest) = split(text)?;
        let anchored = |part: &str| compile(&format!("^(?:{part})"));
        let looks = looks.into_iter().map(|(must_match, part)| Ok((must_match, anchored(part)?)));
        let looks: Result<Vec<_>, String> = looks.collect();
        Some(looks.and_then(|looks| Ok(Ahead { looks, rest: anchored(rest)? })))
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        self.looks.iter().all(|(must_match, look)| look.is_match(name) == *must_match)
            && self.rest.is_match(name)
    }
}

/// The looks, and what follows them.
fn split(text: &str) -> Option<(Vec<(bool, &str)>, &str)> {
    let mut rest = text.strip_prefix('^')?;
    let mut looks = Vec::new();
    while let Some(inside) = rest.strip_prefix("(?!").or_else(|| rest.strip_prefix("(?=")) {
        let must_match = rest.starts_with("(?=");
        let end = end_of_group(inside)?;
        looks.push((must_match, &inside[..end]));
        rest = &inside[end + 1..];
    }
    let is_one = !looks.is_empty() && !has_alternatives(rest);
    is_one.then_some((looks, rest))
}

/// Where the group ends in which a text begins.
fn end_of_group(text: &str) -> Option<usize> {
    find(text, |depth, byte| depth == 0 && byte == b')')
}

fn has_alternatives(text: &str) -> bool {
    find(text, |depth, byte| depth == 0 && byte == b'|').is_some()
}

/// The first byte that is wanted of those that are operators: neither escaped nor in a class.
fn find(text: &str, is_wanted: impl Fn(u32, u8) -> bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0u32);
    while let Some(&byte) = bytes.get(at) {
        if is_wanted(depth, byte) {
            return Some(at);
        }
        at = match byte {
            b'\\' => at + 2,
            b'[' => end_of_class(bytes, at)?,
            _ => {
                depth = if byte == b'(' { depth + 1 } else { depth.saturating_sub(u32::from(byte == b')')) };
                at + 1
            }
        };
    }
    None
}

/// Behind the class that begins there.
fn end_of_class(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    at += usize::from(bytes.get(at) == Some(&b'^'));
    // A bracket that is the first in a class is one of its bytes.
    at += usize::from(bytes.get(at) == Some(&b']'));
    loop {
        match bytes.get(at..)? {
            [b'\\', ..] => at += 2,
            [b'[', b':', named @ ..] => at += 4 + named.windows(2).position(|end| end == b":]")?,
            [b']', ..] => return Some(at + 1),
            [_, ..] => at += 1,
            [] => return None,
        }
    }
}
