//! Changes of who may do what, and their records in the topology's journal.
//!
//! ```text
//! kind                          body, little-endian; a text is a u32 and so many bytes
//! 64  user put                  name: text | algorithm u8 | salt and digest, or PHC string: text | limits | tags u32, each a text
//! 65  user deleted              name: text
//! 66  permission put            vhost, user, configure, write, read: texts
//! 67  permission deleted        vhost, user: texts
//! 68  topic permission put      vhost, user, exchange, write, read: texts
//! 69  topic permission deleted  vhost, user: texts | 0, or 1 and exchange: text
//! 70  limits put                user: text | limits
//!
//! limits    connections, channels: each 0, or 1 and u32
//! ```
//! With a user or a vhost its permissions end, without records of their own. A snapshot is made of the same records.

use std::str;

use crate::access::{
    Algorithm, Limits, Operation, PasswordHash, Permission, Tags, TopicOperation, TopicPermission, User,
};
use crate::ids::Name;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Adds the user, or replaces all of it but its permissions.
    UserPut(User),
    UserDeleted {
        user: Name,
    },
    PermissionPut {
        vhost: Name,
        user: Name,
        permission: Permission,
    },
    PermissionDeleted {
        vhost: Name,
        user: Name,
    },
    TopicPermissionPut(TopicPermission),
    /// At one exchange, or at all of the vhost.
    TopicPermissionDeleted {
        vhost: Name,
        user: Name,
        exchange: Option<Name>,
    },
    LimitsPut {
        user: Name,
        limits: Limits,
    },
}

impl Change {
    /// The change of a body that `encode` wrote; none if it is anything else.
    pub fn decode(kind: u8, body: &[u8]) -> Option<Change> {
        let mut fields = Fields(body);
        let change = fields.change(kind)?;
        fields.0.is_empty().then_some(change)
    }

    pub fn kind(&self) -> u8 {
        match self {
            Change::UserPut(_) => USER_PUT,
            Change::UserDeleted { .. } => USER_DELETED,
            Change::PermissionPut { .. } => PERMISSION_PUT,
            Change::PermissionDeleted { .. } => PERMISSION_DELETED,
            Change::TopicPermissionPut(_) => TOPIC_PERMISSION_PUT,
            Change::TopicPermissionDeleted { .. } => TOPIC_PERMISSION_DELETED,
            Change::LimitsPut { .. } => LIMITS_PUT,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Change::UserPut(user) => put_user(out, user),
            Change::UserDeleted { user } => put_text(out, user),
            Change::PermissionPut { vhost, user, permission } => {
                put_texts(out, &[vhost, user]);
                for operation in Operation::ALL {
                    put_text(out, permission.pattern(operation).text().as_bytes());
                }
            }
            Change::PermissionDeleted { vhost, user } => put_texts(out, &[vhost, user]),
            Change::TopicPermissionPut(topic) => {
                put_texts(out, &[topic.vhost(), topic.user(), topic.exchange()]);
                put_text(out, topic.pattern(TopicOperation::Write).text().as_bytes());
                put_text(out, topic.pattern(TopicOperation::Read).text().as_bytes());
            }
            Change::TopicPermissionDeleted { vhost, user, exchange } => {
                put_texts(out, &[vhost, user]);
                put_option(out, exchange.as_deref(), put_text);
            }
            Change::LimitsPut { user, limits } => {
                put_text(out, user);
                put_limits(out, *limits);
            }
        }
    }
}

/// What is left of a body.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn change(&mut self, kind: u8) -> Option<Change> {
        Some(match kind {
            USER_PUT => Change::UserPut(self.user()?),
            USER_DELETED => Change::UserDeleted { user: self.name()? },
            PERMISSION_PUT => {
                let (vhost, user) = (self.name()?, self.name()?);
                let permission = Permission::new(self.str()?, self.str()?, self.str()?).ok()?;
                Change::PermissionPut { vhost, user, permission }
            }
            PERMISSION_DELETED => Change::PermissionDeleted { vhost: self.name()?, user: self.name()? },
            TOPIC_PERMISSION_PUT => {
                let (vhost, user, exchange) = (self.name()?, self.name()?, self.name()?);
                let topic = TopicPermission::new(&vhost, &user, &exchange, self.str()?, self.str()?);
                Change::TopicPermissionPut(topic.ok()?)
            }
            TOPIC_PERMISSION_DELETED => Change::TopicPermissionDeleted {
                vhost: self.name()?,
                user: self.name()?,
                exchange: self.option(Fields::name)?,
            },
            LIMITS_PUT => Change::LimitsPut { user: self.name()?, limits: self.limits()? },
            _ => return None,
        })
    }

    fn user(&mut self) -> Option<User> {
        let (name, algorithm) = (self.text()?, self.algorithm()?);
        let password = PasswordHash::from_secret(algorithm, self.text()?)?;
        let limits = self.limits()?;
        let mut tags = Vec::new();
        for _ in 0..self.number()? {
            tags.push(self.str()?);
        }
        Some(User { limits, ..User::new(name, password, Tags::new(tags).ok()?).ok()? })
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        let number = self.byte()?;
        Algorithm::ALL.into_iter().find(|algorithm| number_of(*algorithm) == number)
    }

    fn limits(&mut self) -> Option<Limits> {
        let max_connections = self.option(Fields::number)?;
        Some(Limits { max_connections, max_channels: self.option(Fields::number)? })
    }

    fn option<T>(&mut self, field: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => field(self).map(Some),
            _ => None,
        }
    }

    fn name(&mut self) -> Option<Name> {
        self.text().map(Name::from)
    }

    fn str(&mut self) -> Option<&'a str> {
        str::from_utf8(self.text()?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.bytes(usize::try_from(len).ok()?)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

fn put_user(out: &mut Vec<u8>, user: &User) {
    put_text(out, &user.name);
    out.push(number_of(user.password.algorithm()));
    put_text(out, user.password.secret());
    put_limits(out, user.limits);
    put_number(out, len_of(user.tags.names().len()));
    for tag in user.tags.names() {
        put_text(out, tag.as_bytes());
    }
}

fn put_limits(out: &mut Vec<u8>, limits: Limits) {
    put_option(out, limits.max_connections, put_number);
    put_option(out, limits.max_channels, put_number);
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &[&[u8]]) {
    for text in texts {
        put_text(out, text);
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, len_of(text.len()));
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn len_of(len: usize) -> u32 {
    u32::try_from(len).expect("it came in one request")
}

fn number_of(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 0,
        Algorithm::Sha512 => 1,
        Algorithm::Md5 => 2,
        Algorithm::Argon2id => 3,
    }
}

const USER_PUT: u8 = 64;
const USER_DELETED: u8 = 65;
const PERMISSION_PUT: u8 = 66;
const PERMISSION_DELETED: u8 = 67;
const TOPIC_PERMISSION_PUT: u8 = 68;
const TOPIC_PERMISSION_DELETED: u8 = 69;
const LIMITS_PUT: u8 = 70;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::access::Salt;

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn changes() -> Vec<Change> {
        let hashes = Algorithm::ALL.map(|algorithm| PasswordHash::new(algorithm, b"secret", Salt([7; 16])));
        let nobody = PasswordHash::nobody(Algorithm::Sha512);
        let tags = Tags::new(["administrator", "zoo"]).unwrap();
        let limits = Limits { max_connections: Some(0), max_channels: None };
        let user =
            |password| Change::UserPut(User { limits, ..User::new(b"u", password, tags.clone()).unwrap() });
        let plain = Change::UserPut(User::new(&[b'n'; 255], nobody, Tags::default()).unwrap());
        let topic =
            |write, read| TopicPermission::new(&name("v"), &name("u"), &name("amq.topic"), write, read);
        let topics_deleted =
            |exchange| Change::TopicPermissionDeleted { vhost: name("/"), user: name("u"), exchange };
        let permission = Permission::new("", ".*", "^a[b-c]").unwrap();
        hashes
            .map(user)
            .into_iter()
            .chain([
                plain,
                Change::UserDeleted { user: name("u") },
                Change::PermissionPut { vhost: name("/"), user: name("u"), permission },
                Change::PermissionDeleted { vhost: name("v"), user: name("") },
                Change::TopicPermissionPut(topic("^{username}\\.", "{client_id}").unwrap()),
                topics_deleted(None),
                topics_deleted(Some(name("amq.topic"))),
                Change::LimitsPut { user: name("u"), limits },
                Change::LimitsPut {
                    user: name("u"),
                    limits: Limits { max_connections: None, max_channels: Some(u32::MAX) },
                },
            ])
            .collect()
    }

    fn encoded(change: &Change) -> Vec<u8> {
        let mut body = Vec::new();
        change.encode(&mut body);
        body
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for change in changes() {
            assert_eq!(Change::decode(change.kind(), &encoded(&change)), Some(change));
        }
    }

    #[test]
    fn a_body_that_is_too_short_or_too_long_is_no_change() {
        for change in changes() {
            let body = encoded(&change);
            for len in 0..body.len() {
                assert_eq!(Change::decode(change.kind(), &body[..len]), None, "{change:?} cut to {len}");
            }
            assert_eq!(Change::decode(change.kind(), &[&body[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_is_no_change() {
        let mut body = Vec::new();
        put_texts(&mut body, &[b"/", b"u", b"(", b"", b""]);
        assert_eq!(Change::decode(PERMISSION_PUT, &body), None);
    }

    #[test]
    fn a_change_is_printed_without_the_hash() {
        for change in changes() {
            let printed = format!("{change:?}");
            assert!(!printed.contains("argon2id$") && !printed.contains("secret"), "{printed}");
            if let Change::UserPut(user) = change {
                assert!(user.password.is_nobodys() || !printed.contains(&user.password.text()));
                assert!(printed.contains("password: PasswordHash,"), "{printed}");
            }
        }
    }

    /// Hashed once, as one of them takes long.
    static ORIGINALS: LazyLock<Vec<(u8, Vec<u8>)>> =
        LazyLock::new(|| changes().iter().map(|change| (change.kind(), encoded(change))).collect());

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What is decoded at all has only one encoding.
        #[test]
        fn whatever_the_bytes_decoding_ends_and_misreads_nothing(
            original in any::<Index>(),
            touched in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
            other_kind in prop::option::weighted(0.25, 60..75_u8),
        ) {
            let (kind, mut body) = ORIGINALS[original.index(ORIGINALS.len())].clone();
            for (at, byte) in touched {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let kind = other_kind.unwrap_or(kind);
            if let Some(change) = Change::decode(kind, &body) {
                prop_assert_eq!((change.kind(), encoded(&change)), (kind, body));
            }
        }

        #[test]
        fn bytes_of_no_origin_are_read_to_no_harm(kind: u8, body: Vec<u8>) {
            if let Some(change) = Change::decode(kind, &body) {
                prop_assert_eq!((change.kind(), encoded(&change)), (kind, body));
            }
        }
    }
}
