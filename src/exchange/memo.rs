//! The last route a connection published to: most publishes repeat it.

use super::ListIndex;

/// Valid while the router's epoch stands.
#[derive(Default)]
pub struct Memo {
    route: Vec<u8>,
    epoch: u64,
    list: Option<ListIndex>,
}

impl Memo {
    /// `route` is exchange and routing key as they came, so that one comparison tells.
    #[inline]
    pub fn find(&self, route: &[u8], epoch: u64) -> Option<ListIndex> {
        if self.epoch == epoch && self.route == route { self.list } else { None }
    }

    pub fn keep(&mut self, route: &[u8], epoch: u64, list: ListIndex) {
        self.route.clear();
        self.route.extend_from_slice(route);
        self.epoch = epoch;
        self.list = Some(list);
    }
}
