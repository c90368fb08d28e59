//! How many connections and channels there are of a user and in a vhost, on all shards together.
//!
//! Limits are the server's, and connections live on all shards: each user and each vhost has one counter that all shards
//! share. To take a place is one atomic step at connection.open or channel.open, for which nobody waits, and which never
//! gives the last place twice. To ask the control shard instead would cost each connection a round trip, and a place that
//! is given back would be free a round trip later only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ids::{Name, root};

/// The counters of all users and vhosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seats {
    pub users: Arc<BTreeMap<Name, Arc<InUse>>>,
    pub vhosts: Arc<BTreeMap<Name, Arc<InUse>>>,
}

/// Shared by all shards. Nothing else is read because of it, so that no order is needed.
#[derive(Default, Debug)]
pub(super) struct InUse {
    connections: AtomicU32,
    channels: AtomicU32,
}

/// The places of a connection, of its user and in its vhost; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    /// Kept to be given back.
    pub(super) _vhost: ConnectionPlace,
    pub(super) user: ConnectionPlace,
}

#[derive(Debug)]
pub(super) struct ConnectionPlace(Arc<InUse>);

/// The place of a channel, of its connection's user; given back when it is dropped.
#[derive(Debug)]
pub struct ChannelPlace(Arc<InUse>);

impl Seats {
    /// With the vhost that there is from the start.
    pub fn new() -> Seats {
        Seats { users: Arc::default(), vhosts: Arc::new(BTreeMap::from([(root(), Arc::default())])) }
    }
}

impl ConnectionPlace {
    /// None: there are as many as are allowed.
    pub fn take(in_use: &Arc<InUse>, max: Option<u32>) -> Option<ConnectionPlace> {
        take(&in_use.connections, max).then(|| ConnectionPlace(in_use.clone()))
    }
}

impl Seat {
    /// None: the user has as many channels as are allowed.
    pub fn open_channel(&self, max: Option<u32>) -> Option<ChannelPlace> {
        let in_use = &self.user.0;
        take(&in_use.channels, max).then(|| ChannelPlace(in_use.clone()))
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        give_back(&self.0.connections);
    }
}

impl Drop for ChannelPlace {
    fn drop(&mut self) {
        give_back(&self.0.channels);
    }
}

fn take(counter: &AtomicU32, max: Option<u32>) -> bool {
    let max = max.unwrap_or(u32::MAX);
    let one_more = |count| (count < max).then_some(count + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}

fn give_back(counter: &AtomicU32) {
    let before = counter.fetch_sub(1, Ordering::Relaxed);
    debug_assert!(before > 0, "what is given back was taken");
}

/// Users are the same and may do the same, whoever is connected.
impl PartialEq for InUse {
    fn eq(&self, _: &InUse) -> bool {
        true
    }
}

impl Eq for InUse {}

#[cfg(test)]
mod tests {
    use super::super::{Access, Change, Limits};
    use super::*;

    fn guest_with(max_connections: Option<u32>, max_channels: Option<u32>) -> Access {
        let limits = Limits { max_connections, max_channels };
        Access::guest().apply(Change::LimitsPut { user: b"guest"[..].into(), limits })
    }

    fn enter(access: &Access, max_in_vhost: Option<u32>) -> Result<Seat, String> {
        access.enter(b"guest", b"/", max_in_vhost)
    }

    /// The texts are RabbitMQ 3.10's, and so is the order of the checks.
    #[test]
    fn places_are_limited_in_the_vhost_and_of_the_user() {
        let access = guest_with(Some(2), None);
        let first = enter(&access, None).unwrap();
        let vhost = "access to vhost '/' refused for user 'guest': connection limit (1) is reached";
        assert_eq!(enter(&access, Some(1)).unwrap_err(), vhost);
        let _second = enter(&access, Some(2)).unwrap();
        let user = "connection refused for user 'guest': user connection limit (2) is reached";
        assert_eq!(enter(&access, None).unwrap_err(), user);
        drop(first);
        assert!(enter(&access, Some(2)).is_ok(), "a refusal has taken nothing");
    }

    #[test]
    fn nobody_enters_where_none_may_be_and_who_may_not_enter_takes_no_place() {
        let access = guest_with(Some(1), None);
        assert!(enter(&access, Some(0)).is_err());
        let elsewhere = access.clone().open_vhost(b"v");
        let refused = "access to vhost 'v' refused for user 'guest'";
        assert_eq!(elsewhere.enter(b"guest", b"v", None).unwrap_err(), refused);
        assert!(enter(&access, Some(1)).is_ok());
    }

    #[test]
    fn channels_are_counted_over_all_connections_of_the_user() {
        let access = guest_with(None, Some(2));
        let seats = [enter(&access, None).unwrap(), enter(&access, None).unwrap()];
        let max = Some(2);
        let first = seats[0].open_channel(max).unwrap();
        let _second = seats[1].open_channel(max).unwrap();
        assert!(seats[0].open_channel(max).is_none());
        drop(first);
        assert!(seats[1].open_channel(max).is_some());
    }

    /// What a shard has of users may be older than what another has.
    #[test]
    fn all_copies_count_together_whatever_changes() {
        let old = guest_with(Some(1), None);
        let seat = enter(&old, None).unwrap();
        let user = old.user(b"guest").unwrap();
        let new = old.clone().apply(Change::UserPut(super::super::User::clone(user))).open_vhost(b"v");
        assert!(enter(&new, None).is_err());
        drop(seat);
        let _seat = enter(&new, None).unwrap();
        assert!(enter(&old, None).is_err());
    }

    #[test]
    fn the_last_place_is_given_once() {
        let access = guest_with(Some(8), None);
        let enter_often = || {
            for _ in 0..10_000 {
                let seats: Vec<_> = (0..3).filter_map(|_| enter(&access, Some(8)).ok()).collect();
                assert!(access.in_use(b"guest") <= 8);
                drop(seats);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(enter_often)));
        assert_eq!(access.in_use(b"guest"), 0);
    }

    impl Access {
        fn in_use(&self, user: &[u8]) -> u32 {
            self.seats.users[user].connections.load(Ordering::Relaxed)
        }
    }
}
