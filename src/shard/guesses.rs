//! Who guesses passwords here: the sockets of refused logins are kept open, from an address with many of them for longer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::access::{Throttle, origin};
use crate::limits::{KEPT_LONGER_OF_ADDRESS_MAX, KEPT_LONGER_SHARE};

/// Lives on: its shard, and speaks of the logins there.
#[derive(Default)]
pub(super) struct Guesses {
    throttle: Throttle,
    /// Sockets that are kept longer than others, by where they came from. Where there are too many, the next are kept as long
    /// as any: whoever guesses must not take the place of who has not logged in yet, and the right password is let in always.
    kept: BTreeMap<IpAddr, usize>,
}

impl Guesses {
    /// A login was refused. Answers for how much longer its socket is kept, ns; unless that is 0, [`Guesses::gone`] is due.
    /// `unauthenticated_max`: as many sockets may be there without a login.
    pub fn failed(&mut self, from: IpAddr, now: u64, unauthenticated_max: usize) -> u64 {
        let longer = self.throttle.failed(from, now);
        let of_address = self.kept.get(&origin(from)).copied().unwrap_or_default();
        let all: usize = self.kept.values().sum();
        if longer == 0
            || of_address >= KEPT_LONGER_OF_ADDRESS_MAX
            || all >= unauthenticated_max / KEPT_LONGER_SHARE
        {
            return 0;
        }
        *self.kept.entry(origin(from)).or_default() += 1;
        longer
    }

    /// A socket that was kept longer is no more.
    pub fn gone(&mut self, from: IpAddr) {
        let from = origin(from);
        let kept = self.kept.get_mut(&from).expect("it was counted");
        *kept -= 1;
        if *kept == 0 {
            self.kept.remove(&from);
        }
    }

    pub fn suspects(&self, from: IpAddr, now: u64) -> bool {
        self.throttle.suspects(from, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_sockets_are_kept_longer_of_one_address_and_in_all() {
        let mut guesses = Guesses::default();
        let max = KEPT_LONGER_SHARE * (2 * KEPT_LONGER_OF_ADDRESS_MAX + 1);
        let address = |number: u32| IpAddr::V4(number.into());
        let mut kept = |number| {
            let guess = |_: &i32| guesses.failed(address(number), 0, max) > 0;
            (0..100).filter(guess).count()
        };
        assert_eq!(
            [0, 1, 2, 3].map(&mut kept),
            [KEPT_LONGER_OF_ADDRESS_MAX, KEPT_LONGER_OF_ADDRESS_MAX, 1, 0]
        );
        guesses.gone(address(0));
        assert_eq!([1, 0, 0].map(|number| guesses.failed(address(number), 0, max) > 0), [false, true, false]);
        (0..KEPT_LONGER_OF_ADDRESS_MAX).for_each(|_| guesses.gone(address(0)));
        assert!(!guesses.kept.contains_key(&address(0)));
    }
}
