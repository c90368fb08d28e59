//! The last route a connection published to: most publishes repeat it.

use super::{ListIndex, Router, Stamp};

/// Valid while the epoch of its exchange stands.
#[derive(Default)]
pub struct Memo {
    /// The slot of the router that the connection asks: that of its vhost.
    pub router: u32,
    route: Vec<u8>,
    known: Option<(Stamp, ListIndex)>,
    /// Publishes have to be asked for, but for that route.
    is_restricted: bool,
    /// Publishes that went the way that is known and that no exchange has counted.
    pub passed: u64,
}

impl Memo {
    /// `route` is exchange and routing key as they came, so that one comparison tells.
    #[inline]
    pub fn find(&self, route: &[u8], router: &Router) -> Option<ListIndex> {
        let (stamp, list) = self.known?;
        (router.stands(stamp) && self.route == route).then_some(list)
    }

    /// Permissions have changed.
    pub fn permit(&mut self, is_restricted: bool) {
        (self.known, self.is_restricted) = (None, is_restricted);
    }

    /// Has the exchange count what passed.
    pub fn tell(&mut self, router: &mut Router) {
        if let Some((stamp, list)) = self.known {
            router.count(stamp, list, std::mem::take(&mut self.passed));
        }
    }

    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    pub fn keep(&mut self, route: &[u8], stamp: Stamp, list: ListIndex) {
        self.route.clear();
        self.route.extend_from_slice(route);
        self.known = Some((stamp, list));
    }
}
