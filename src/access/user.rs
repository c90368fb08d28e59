//! A user: the name, what is kept of the password, the tags and the limits.

use crate::access::PasswordHash;
use crate::ids::Name;
use crate::limits::{TAG_BYTES_MAX, TAGS_MAX, USER_NAME_BYTES_MAX};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub name: Name,
    pub password: PasswordHash,
    pub tags: Tags,
    pub limits: Limits,
}

/// What a user may do besides AMQP: names in the order in which they were given. Any name is allowed, five mean something.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tags(Box<[Box<str>]>);

/// None is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    pub max_connections: Option<u32>,
    pub max_channels: Option<u32>,
}

impl User {
    /// Without limits. The error is a text for the API.
    pub fn new(name: &[u8], password: PasswordHash, tags: Tags) -> Result<User, String> {
        if name.is_empty() || name.len() > USER_NAME_BYTES_MAX {
            return Err(format!("a user's name has 1 to {USER_NAME_BYTES_MAX} bytes"));
        }
        Ok(User { name: name.into(), password, tags, limits: Limits::default() })
    }
}

impl Tags {
    /// The error is a text for the API.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Tags, String> {
        let mut tags = Vec::new();
        for name in names {
            let name = name.as_ref();
            if name.is_empty() || name.len() > TAG_BYTES_MAX {
                return Err(format!("a tag has 1 to {TAG_BYTES_MAX} bytes"));
            }
            if tags.len() == TAGS_MAX {
                return Err(format!("a user has at most {TAGS_MAX} tags"));
            }
            tags.push(name.into());
        }
        Ok(Tags(tags.into()))
    }

    /// The HTTP API's other form: `administrator, monitoring`.
    pub fn parse(list: &str) -> Result<Tags, String> {
        Tags::new(list.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }

    pub fn administrator() -> Tags {
        Tags([ADMINISTRATOR.into()].into())
    }

    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    pub fn is_administrator(&self) -> bool {
        self.has(ADMINISTRATOR)
    }

    /// See the node, and every vhost.
    pub fn may_monitor(&self) -> bool {
        self.is_administrator() || self.has("monitoring")
    }

    /// Set policies and parameters of the vhosts that the user may enter.
    pub fn may_make_policies(&self) -> bool {
        self.is_administrator() || self.has("policymaker")
    }

    /// Use the HTTP API at all.
    pub fn may_manage(&self) -> bool {
        self.may_monitor() || self.may_make_policies() || self.has("management")
    }

    /// Publish with another's name as the `user_id`. To administer does not include it.
    pub fn may_impersonate(&self) -> bool {
        self.has("impersonator")
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|tag| **tag == *name)
    }
}

const ADMINISTRATOR: &str = "administrator";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Algorithm;

    #[test]
    fn a_tag_includes_what_is_below_it() {
        // administrator, monitor, make policies, manage, impersonate
        let table = [
            ("administrator", [true, true, true, true, false]),
            ("monitoring", [false, true, false, true, false]),
            ("policymaker", [false, false, true, true, false]),
            ("management", [false, false, false, true, false]),
            ("impersonator", [false, false, false, false, true]),
            ("Administrator", [false; 5]),
            ("", [false; 5]),
            ("monitoring,policymaker", [false, true, true, true, false]),
        ];
        for (list, expected) in table {
            let tags = Tags::parse(list).unwrap();
            let may = [
                tags.is_administrator(),
                tags.may_monitor(),
                tags.may_make_policies(),
                tags.may_manage(),
                tags.may_impersonate(),
            ];
            assert_eq!(may, expected, "{list}");
        }
    }

    #[test]
    fn tags_keep_their_order_and_a_list_may_have_spaces() {
        let tags = Tags::parse(" zoo, administrator ,,management").unwrap();
        assert_eq!(tags.names().collect::<Vec<_>>(), ["zoo", "administrator", "management"]);
        assert_eq!(Tags::new(["zoo", "administrator", "management"]), Ok(tags));
        assert_eq!(Tags::parse(""), Ok(Tags::default()));
    }

    #[test]
    fn names_and_tags_have_bounds() {
        let user = |bytes| {
            let nobody = PasswordHash::nobody(Algorithm::Sha256);
            User::new(&vec![b'u'; bytes], nobody, Tags::default())
        };
        assert!(user(1).is_ok() && user(255).is_ok());
        for bytes in [0, 256] {
            assert_eq!(user(bytes), Err("a user's name has 1 to 255 bytes".to_owned()));
        }
        assert_eq!(Tags::new(["t"; TAGS_MAX + 1]), Err("a user has at most 64 tags".to_owned()));
        assert_eq!(Tags::new(["t".repeat(256)]), Err("a tag has 1 to 255 bytes".to_owned()));
        assert_eq!(Tags::new([""]), Err("a tag has 1 to 255 bytes".to_owned()));
    }
}
