//! The last route a connection published to: most publishes repeat it.

use super::{ListIndex, Router, Stamp};

/// Valid while the epoch of its exchange stands.
#[derive(Default)]
pub struct Memo {
    /// The slot of the router that the connection asks: that of its vhost.
    pub router: u32,
    route: Vec<u8>,
    known: Option<(Stamp, ListIndex)>,
}

impl Memo {
    /// `route` is exchange and routing key as they came, so that one comparison tells.
    #[inline]
    pub fn find(&self, route: &[u8], router: &Router) -> Option<ListIndex> {
        let (stamp, list) = self.known?;
        (router.stands(stamp) && self.route == route).then_some(list)
    }

    pub fn keep(&mut self, route: &[u8], stamp: Stamp, list: ListIndex) {
        self.route.clear();
        self.route.extend_from_slice(route);
        self.known = Some((stamp, list));
    }
}
