//! Publishes of one channel that wait for their confirm.

/// Publish seqnos count from 1. Invariant: `first <= next`, `outstanding <= next - first <= slots.len()`.
pub struct Window {
    /// By seqno modulo length, a power of two.
    slots: Vec<Slot>,
    /// The lowest seqno that is not settled, and the next to be given.
    first: u64,
    next: u64,
    outstanding: u32,
    limit: u32,
}

#[derive(Clone, Copy, Default)]
pub struct Slot {
    pub planned: u64,
    /// Which of the producer's lanes the message belongs to.
    pub lane: u32,
    settled: bool,
}

impl Window {
    pub fn new(limit: u32) -> Window {
        // Confirms may come out of order: while the first is late, others may pass it by three windows.
        let span = (limit.clamp(1, LIMIT_MAX) as usize * 4).next_power_of_two();
        Window {
            slots: vec![Slot::default(); span],
            first: 1,
            next: 1,
            outstanding: 0,
            limit: limit.min(LIMIT_MAX),
        }
    }

    /// How many more may be published now.
    pub fn room(&self) -> u64 {
        let span = self.slots.len() as u64 - (self.next - self.first);
        u64::from(self.limit - self.outstanding).min(span)
    }

    pub fn published(&mut self, planned: u64, lane: u32) {
        debug_assert!(self.room() > 0);
        *self.slot(self.next) = Slot { planned, lane, settled: false };
        self.next += 1;
        self.outstanding += 1;
    }

    /// The broker settled `tag`, or all up to it; `settled` is told each. `Err`: it was not outstanding.
    pub fn settle(&mut self, tag: u64, multiple: bool, mut settled: impl FnMut(Slot)) -> Result<(), String> {
        // With multiple, 0 means all that are outstanding (0-9-1, basic.ack).
        let tag = if multiple && tag == 0 { self.next - 1 } else { tag };
        if tag < self.first || tag >= self.next || self.slot(tag).settled {
            return Err(format!("a confirm for {tag}, which is not outstanding"));
        }
        let from = if multiple { self.first } else { tag };
        for seqno in from..=tag {
            let slot = self.slot(seqno);
            if !std::mem::replace(&mut slot.settled, true) {
                settled(*slot);
                self.outstanding -= 1;
            }
        }
        while self.first < self.next && self.slot(self.first).settled {
            self.first += 1;
        }
        Ok(())
    }

    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    fn slot(&mut self, seqno: u64) -> &mut Slot {
        let mask = self.slots.len() as u64 - 1;
        &mut self.slots[(seqno & mask) as usize]
    }
}

/// Sixteen million outstanding confirms: 400 MB of slots, beyond any broker's own bounds.
const LIMIT_MAX: u32 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn window(published: u64) -> Window {
        let mut window = Window::new(10);
        (1..=published).for_each(|seqno| window.published(seqno * 100, 0));
        window
    }

    fn settle(window: &mut Window, tag: u64, multiple: bool) -> Vec<u64> {
        let mut planned = Vec::new();
        window.settle(tag, multiple, |slot| planned.push(slot.planned)).unwrap();
        planned
    }

    #[test]
    fn multiple_settles_all_before_that_are_not_settled_yet() {
        let mut window = window(6);
        assert_eq!(settle(&mut window, 2, false), [200]);
        assert_eq!(settle(&mut window, 4, true), [100, 300, 400]);
        assert_eq!((window.outstanding(), window.room()), (2, 8));
        assert_eq!(settle(&mut window, 0, true), [500, 600]);
    }

    #[test]
    fn a_tag_that_is_not_outstanding_is_refused() {
        let mut window = window(3);
        assert!(window.settle(0, false, |_| ()).is_err());
        assert!(window.settle(4, false, |_| ()).is_err());
        settle(&mut window, 2, false);
        assert!(window.settle(2, false, |_| ()).is_err(), "twice");
        settle(&mut window, 1, false);
        assert!(window.settle(1, true, |_| ()).is_err(), "twice");
    }

    #[test]
    fn a_late_first_confirm_does_not_stop_the_others_at_once() {
        let mut window = window(10);
        assert_eq!(window.room(), 0);
        (2..=10).for_each(|tag| _ = settle(&mut window, tag, false));
        assert_eq!(window.room(), 9);
        for tag in 11..=64 {
            window.published(0, 0);
            settle(&mut window, tag, false);
        }
        assert_eq!(window.room(), 0, "the span of the slots is used up");
        settle(&mut window, 1, false);
        assert_eq!(window.room(), 10);
    }
}
