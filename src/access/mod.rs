//! Who may log in, enter a vhost and use what lies in it: users, permissions and topic permissions.
//!
//! ```text
//! HTTP API -> Change -> the control shard: journal, Access::apply -> a copy for every shard
//!                          login: name and password            -> User
//!                          connection.open: may_enter          -> 530
//!                          declare, bind, publish ...: check   -> 403
//! ```

mod ahead;
mod login;
mod password;
mod pattern;
mod permission;
mod record;
mod seat;
#[cfg(test)]
mod tests;
mod throttle;
mod topic_pattern;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use login::{AuthFailure, Claim, Fingerprint, GUEST, INSIDER, INSIDERS_PASSWORD, Verdict, is_loopback};
pub use password::{Algorithm, PasswordHash, Salt};
pub use pattern::Pattern;
pub use permission::{Operation, Permission, Resource, TopicOperation, TopicPermission};
pub use record::Change;
pub use seat::{ChannelPlace, Seat};
pub use throttle::{Throttle, origin};
pub use topic_pattern::TopicPattern;
pub use user::{Limits, Tags, User};

use crate::ids::{Name, root};
use crate::text::lossy;
use seat::{ConnectionPlace, Seats};

/// All users and what they may do. A copy costs two counters; a change copies the map it is in if others hold it too.
///
/// Lives on: the control shard, which changes it; every shard has a copy of what was true when it last heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    users: Arc<BTreeMap<Name, Arc<User>>>,
    /// A vhost in which nobody may do anything has no entry.
    vhosts: Arc<BTreeMap<Name, Arc<Grants>>>,
    /// How many are connected, by whatever copy.
    seats: Seats,
    /// What the password of a user is checked against who is not there or has none.
    stand_in: Arc<PasswordHash>,
}

/// What the users may do in one vhost.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Grants {
    permissions: BTreeMap<Name, Arc<Permission>>,
    /// By user, then by exchange.
    topics: BTreeMap<Name, BTreeMap<Name, Arc<TopicPermission>>>,
}

impl Access {
    /// Nobody's. `algorithm` is the one that new passwords are hashed with.
    pub fn new(algorithm: Algorithm) -> Access {
        Access {
            users: Arc::default(),
            vhosts: Arc::default(),
            seats: Seats::new(),
            stand_in: Arc::new(PasswordHash::stand_in(algorithm)),
        }
    }

    /// What a new broker has: one administrator who may do everything in `/`.
    pub fn default_for(
        user: &[u8],
        password: &[u8],
        salt: Salt,
        algorithm: Algorithm,
    ) -> Result<Access, String> {
        let hash = PasswordHash::new(algorithm, password, salt);
        let user = User::new(user, hash, Tags::administrator())?;
        Ok(Access::founded_by(user, root(), Permission::all(), algorithm))
    }

    /// One user, who may do so much in one vhost.
    pub fn founded_by(user: User, vhost: Name, permission: Permission, algorithm: Algorithm) -> Access {
        let name = user.name.clone();
        let put = Change::PermissionPut { vhost, user: name, permission };
        Access::new(algorithm).apply(Change::UserPut(user)).apply(put)
    }

    /// Permissions and limits of a user who is not there change nothing: a later user of that name would have them.
    pub fn apply(mut self, change: Change) -> Access {
        match change {
            Change::UserPut(user) => {
                if !self.seats.users.contains_key(&user.name) {
                    Arc::make_mut(&mut self.seats.users).insert(user.name.clone(), Arc::default());
                }
                Arc::make_mut(&mut self.users).insert(user.name.clone(), Arc::new(user));
            }
            Change::UserDeleted { user } => self.delete_user(&user),
            Change::PermissionPut { vhost, user, permission } => {
                if let Some(grants) = self.grants_for(&user, vhost) {
                    grants.permissions.insert(user, Arc::new(permission));
                }
            }
            Change::PermissionDeleted { vhost, user } => self.take(&vhost, |grants| {
                grants.permissions.remove(&user);
            }),
            Change::TopicPermissionPut(topic) => {
                if let Some(grants) = self.grants_for(topic.user(), topic.vhost().clone()) {
                    let exchanges = grants.topics.entry(topic.user().clone()).or_default();
                    exchanges.insert(topic.exchange().clone(), Arc::new(topic));
                }
            }
            Change::TopicPermissionDeleted { vhost, user, exchange } => {
                self.take(&vhost, |grants| grants.forget_topics(&user, exchange.as_ref()));
            }
            Change::LimitsPut { user, limits } => {
                if let Some(user) = Arc::make_mut(&mut self.users).get_mut(&user) {
                    Arc::make_mut(user).limits = limits;
                }
            }
        }
        self
    }

    /// There is such a vhost now: who is in it is counted.
    pub fn open_vhost(mut self, vhost: &[u8]) -> Access {
        if !self.seats.vhosts.contains_key(vhost) {
            Arc::make_mut(&mut self.seats.vhosts).insert(vhost.into(), Arc::default());
        }
        self
    }

    /// All permissions in a vhost end with it.
    pub fn forget_vhost(mut self, vhost: &[u8]) -> Access {
        Arc::make_mut(&mut self.vhosts).remove(vhost);
        Arc::make_mut(&mut self.seats.vhosts).remove(vhost);
        self
    }

    /// New passwords are hashed as those of `other` are.
    pub fn hashing_as(mut self, other: &Access) -> Access {
        self.stand_in = other.stand_in.clone();
        self
    }

    /// What makes the same of an empty one.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let users = self.users().map(|user| Change::UserPut(User::clone(user)));
        let permissions = self.permissions().map(|(vhost, user, permission)| Change::PermissionPut {
            vhost: vhost.clone(),
            user: user.clone(),
            permission: Permission::clone(permission),
        });
        let topics = self.topic_permissions();
        let topics = topics.map(|topic| Change::TopicPermissionPut(TopicPermission::clone(topic)));
        users.chain(permissions).chain(topics)
    }

    pub fn user(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// In the order of their names.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    pub fn permission(&self, vhost: &[u8], user: &[u8]) -> Option<&Arc<Permission>> {
        self.vhosts.get(vhost)?.permissions.get(user)
    }

    /// Vhost, user, permission.
    pub fn permissions(&self) -> impl Iterator<Item = (&Name, &Name, &Arc<Permission>)> {
        self.vhosts.iter().flat_map(|(vhost, grants)| {
            grants.permissions.iter().map(move |(user, permission)| (vhost, user, permission))
        })
    }

    pub fn topic_permission(
        &self,
        vhost: &[u8],
        user: &[u8],
        exchange: &[u8],
    ) -> Option<&Arc<TopicPermission>> {
        self.vhosts.get(vhost)?.topics.get(user)?.get(exchange)
    }

    pub fn topic_permissions(&self) -> impl Iterator<Item = &Arc<TopicPermission>> {
        self.vhosts.values().flat_map(|grants| grants.topics.values()).flat_map(BTreeMap::values)
    }

    /// Whoever has a permission in a vhost may enter it, even if none of its patterns matches anything.
    pub fn may_enter(&self, user: &[u8], vhost: &[u8]) -> bool {
        self.permission(vhost, user).is_some()
    }

    /// For who takes no place. The error is the text of a 530.
    pub fn check_entry(&self, user: &[u8], vhost: &[u8]) -> Result<(), String> {
        let refused = || format!("access to vhost '{}' refused for user '{}'", lossy(vhost), lossy(user));
        self.may_enter(user, vhost).then_some(()).ok_or_else(refused)
    }

    /// A place for a connection, if there is one and the user may enter. The error is the text of a 530; the order of the
    /// checks is RabbitMQ's.
    pub fn enter(&self, user: &[u8], vhost: &[u8], max_in_vhost: Option<u32>) -> Result<Seat, String> {
        let in_vhost = self.seats.vhosts.get(vhost).cloned().unwrap_or_default();
        let of_user = self.seats.users.get(user).cloned().unwrap_or_default();
        let refused =
            |max: Option<u32>, of: &str| format!("{of} limit ({}) is reached", max.unwrap_or(u32::MAX));
        let vhost_place = ConnectionPlace::take(&in_vhost, max_in_vhost).ok_or_else(|| {
            let (vhost, user) = (lossy(vhost), lossy(user));
            refused(max_in_vhost, &format!("access to vhost '{vhost}' refused for user '{user}': connection"))
        })?;
        let max = self.user(user).and_then(|user| user.limits.max_connections);
        let user_place = ConnectionPlace::take(&of_user, max).ok_or_else(|| {
            refused(max, &format!("connection refused for user '{}': user connection", lossy(user)))
        })?;
        self.check_entry(user, vhost)?;
        Ok(Seat { _vhost: vhost_place, user: user_place })
    }

    /// Whether there is anything in the vhost that the user may not do.
    pub fn restricts(&self, user: &[u8], vhost: &[u8]) -> bool {
        let Some(grants) = self.vhosts.get(vhost) else { return true };
        let all = grants.permissions.get(user).is_some_and(|permission| **permission == Permission::all());
        !all || grants.topics.contains_key(user)
    }

    /// The error is the text of a 403; so is that of all that follow.
    pub fn check(
        &self,
        user: &[u8],
        vhost: &[u8],
        resource: Resource<'_>,
        operation: Operation,
    ) -> Result<(), String> {
        let permission = self.permission(vhost, user);
        let allowed = permission.is_some_and(|permission| permission.allows(operation, resource));
        allowed.then_some(()).ok_or_else(|| refused(user, vhost, resource, operation))
    }

    /// For a passive declare. A refusal reads as that of a declare.
    pub fn check_passive(&self, user: &[u8], vhost: &[u8], resource: Resource<'_>) -> Result<(), String> {
        let permission = self.permission(vhost, user);
        let allowed = permission.is_some_and(|permission| permission.allows_passive(resource));
        allowed.then_some(()).ok_or_else(|| refused(user, vhost, resource, Operation::Configure))
    }

    /// For a routing or binding key at a topic exchange, besides [`Access::check`] of the exchange. All is allowed to a
    /// user without a topic permission there.
    pub fn check_topic(
        &self,
        user: &[u8],
        vhost: &[u8],
        topic: Topic<'_>,
        operation: TopicOperation,
    ) -> Result<(), String> {
        let permission = self.topic_permission(vhost, user, topic.exchange);
        let allowed =
            permission.is_none_or(|permission| permission.allows(operation, topic.key, topic.client_id));
        let refused = || {
            let [key, exchange, vhost, user] = [topic.key, topic.exchange, vhost, user].map(lossy);
            format!(
                "{operation} access to topic '{key}' in exchange '{exchange}' in vhost '{vhost}' refused for user '{user}'"
            )
        };
        allowed.then_some(()).ok_or_else(refused)
    }

    fn delete_user(&mut self, user: &Name) {
        Arc::make_mut(&mut self.users).remove(user);
        Arc::make_mut(&mut self.seats.users).remove(user);
        let held = self.vhosts.iter().filter(|(_, grants)| grants.speak_of(user));
        let held: Vec<Name> = held.map(|(vhost, _)| vhost.clone()).collect();
        for vhost in held {
            self.take(&vhost, |grants| {
                grants.permissions.remove(user);
                grants.topics.remove(user);
            });
        }
    }

    /// Where a permission of the user goes; nowhere if there is no such user.
    fn grants_for(&mut self, user: &[u8], vhost: Name) -> Option<&mut Grants> {
        self.users.contains_key(user).then(|| {
            let grants = Arc::make_mut(&mut self.vhosts).entry(vhost).or_default();
            Arc::make_mut(grants)
        })
    }

    /// Takes from the permissions in a vhost.
    fn take(&mut self, vhost: &Name, take: impl FnOnce(&mut Grants)) {
        if !self.vhosts.contains_key(vhost) {
            return;
        }
        let vhosts = Arc::make_mut(&mut self.vhosts);
        let grants = Arc::make_mut(vhosts.get_mut(vhost).expect("looked up before"));
        take(grants);
        if grants.permissions.is_empty() && grants.topics.is_empty() {
            vhosts.remove(vhost);
        }
    }
}

/// A key at a topic exchange. Only MQTT has client ids.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    pub exchange: &'a [u8],
    pub key: &'a [u8],
    pub client_id: Option<&'a [u8]>,
}

impl Grants {
    fn speak_of(&self, user: &Name) -> bool {
        self.permissions.contains_key(user) || self.topics.contains_key(user)
    }

    /// At one exchange, or at all.
    fn forget_topics(&mut self, user: &Name, exchange: Option<&Name>) {
        let Some(exchanges) = self.topics.get_mut(user) else { return };
        match exchange {
            Some(exchange) => drop(exchanges.remove(exchange)),
            None => exchanges.clear(),
        }
        if exchanges.is_empty() {
            self.topics.remove(user);
        }
    }
}

/// `configure access to queue 'q' in vhost '/' refused for user 'u'`
fn refused(user: &[u8], vhost: &[u8], resource: Resource<'_>, operation: Operation) -> String {
    format!("{operation} access to {} refused for user '{}'", resource.text(vhost), lossy(user))
}
