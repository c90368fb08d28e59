//! What is known of a thing over time.

use super::ChannelIx;

/// When something was there: surely, or perhaps. Times are the oracle's.
#[derive(Clone, Debug)]
pub struct Fact {
    pub asked: u64,
    pub asked_by: Option<ChannelIx>,
    pub sure_from: Option<u64>,
    /// From then on it may be gone.
    pub sure_until: Option<u64>,
    pub removed_by: Option<ChannelIx>,
    /// From then on it is gone.
    pub gone: Option<u64>,
    /// It is on disk that it is there; or that it is not any more.
    pub kept: bool,
    pub lost: bool,
}

impl Fact {
    pub fn asked(at: u64, by: Option<ChannelIx>) -> Fact {
        Fact {
            asked: at,
            asked_by: by,
            sure_from: None,
            sure_until: None,
            removed_by: None,
            gone: None,
            kept: false,
            lost: false,
        }
    }

    pub fn confirm(&mut self, at: u64) {
        self.sure_from.get_or_insert(at);
    }

    /// Somebody began to take it away; `by` is the channel if only that channel does.
    pub fn doubt(&mut self, at: u64, by: Option<ChannelIx>) {
        if self.sure_until.is_none() {
            self.sure_until = Some(at);
            self.removed_by = by;
        } else if self.removed_by != by {
            self.removed_by = None;
        }
    }

    pub fn end(&mut self, at: u64) {
        self.doubt(at, None);
        self.gone.get_or_insert(at);
    }

    /// The server ends: what is not known to be on disk is in doubt.
    pub fn outlive(&mut self, at: u64) {
        if self.lost {
            return;
        }
        self.gone = None;
        if !self.kept || self.sure_from.is_none() {
            self.doubt(at, None);
        }
    }

    /// It was not taken away after all.
    pub fn stays(&mut self) {
        self.sure_until = None;
        self.removed_by = None;
    }

    pub fn is_sure(&self) -> bool {
        self.sure_from.is_some() && self.sure_until.is_none()
    }

    /// Surely there when `channel` did at last what it was told at `told`: its own requests are done in order.
    pub fn sure_for(&self, channel: ChannelIx, told: u64) -> bool {
        let from = self.sure_from.is_some_and(|from| from <= told)
            || (self.sure_from.is_some() && self.asked_by == Some(channel) && self.asked < told);
        let until = match self.sure_until {
            None => true,
            Some(until) => self.removed_by == Some(channel) && told < until,
        };
        from && until
    }

    /// Possibly there when `channel` did what it was told at `told`, at the latest at `until`.
    pub fn may_for(&self, channel: ChannelIx, told: u64, until: u64) -> bool {
        let removed_before = self.removed_by == Some(channel)
            && self.gone.is_some()
            && self.sure_until.is_some_and(|from| from < told);
        self.asked < until && self.gone.is_none_or(|gone| gone > told) && !removed_before
    }
}

/// The times at which something went on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Window {
    open: u32,
    /// The end of the last one, if none is open.
    last: u64,
}

impl Window {
    pub fn open(&mut self) {
        self.open += 1;
    }

    pub fn close(&mut self, at: u64) {
        assert!(self.open > 0, "a window closes once");
        self.open -= 1;
        self.last = at;
    }

    /// Everything that went on has come to its end.
    pub fn rest(&mut self, at: u64) {
        if self.open > 0 {
            self.open = 0;
            self.last = at;
        }
    }

    /// Whether it went on at some time since then.
    pub fn since(&self, time: u64) -> bool {
        self.open > 0 || self.last > time
    }

    /// Whether one has ended since then.
    pub fn closed_since(&self, time: u64) -> bool {
        self.last > time
    }

    /// It never went on.
    pub fn is_fresh(&self) -> bool {
        self.open == 0 && self.last == 0
    }

    pub fn is_open(&self) -> bool {
        self.open > 0
    }

    /// How many go on at once.
    pub fn depth(&self) -> u32 {
        self.open
    }
}
