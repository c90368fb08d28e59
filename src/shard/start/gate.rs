//! The turn of a shard: how long its tasks go on before glommio's reactor has its turn.
//!
//! A glommio executor looks at sockets, timers, wakes from other threads and finished disk writes only when
//! its queue runs empty, and a task that yields keeps the queue from being empty. So the shard has a budget.
//! Once it is spent, whoever wants to read on waits here, nothing stays runnable, and one driver lets the
//! reactor turn (7-8 us) and lets the waiting in again, in order.
//!
//! ```text
//!   reader: pass the gate -> read 64 KB, run, send -> yield -> pass the gate: budget spent -> wait
//!   driver: asleep .............................. woken -> reactor turns -> new budget -> let in, one by one
//! ```

use super::turns::Turns;
use glommio::timer::Timer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// 200 us: a trickle beside a firehose has a p99 of 0.4 ms, timers 0.3 ms; the cost is 6-10 % of saturated
/// throughput. 100 us costs the same and gains little, 500 us gains 4 % and doubles the latency (measured).
const BUDGET_NS: u64 = 200_000;

/// Between the work of two tasks lies less than a microsecond, a turn of the reactor takes more than six. A
/// pause of this length was one, or a sleep: the turn that came before it has ended.
const PAUSE_NS: u64 = 5_000;

/// Lives on: its shard.
pub struct Gate {
    clock: Clock,
    turn_began: Cell<u64>,
    /// The budget counts as spent, whatever is left of it.
    spent: Cell<bool>,
    last_work: Cell<u64>,
    waiting: RefCell<VecDeque<Waker>>,
    /// How many have ever been let in, and how many have ever waited: tickets in between are waiting.
    let_in: Cell<u64>,
    tickets: Cell<u64>,
    driver: Cell<Option<Waker>>,
}

/// A task's place at the gate.
#[derive(Default)]
pub struct Pass(Option<u64>);

/// Nanoseconds since the shard began.
pub struct Clock(Instant);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

impl Gate {
    pub fn new() -> Self {
        Gate {
            clock: Clock(Instant::now()),
            turn_began: Cell::new(0),
            spent: Cell::new(false),
            last_work: Cell::new(0),
            waiting: RefCell::default(),
            let_in: Cell::new(0),
            tickets: Cell::new(0),
            driver: Cell::new(None),
        }
    }

    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Lets the task in at once while the budget lasts, else in the order of arrival after the reactor has
    /// turned. Answers the time. A task that was let in calls `worked` when it is done.
    pub fn poll_pass(&self, pass: &mut Pass, cx: &Context<'_>, turns: &Turns) -> Poll<u64> {
        match pass.0 {
            Some(ticket) if ticket >= self.let_in.get() => Poll::Pending,
            Some(_) => {
                pass.0 = None;
                Poll::Ready(self.now())
            }
            None => {
                let now = self.now();
                self.notice_pause(now, turns);
                if self.has_budget(now) {
                    return Poll::Ready(now);
                }
                pass.0 = Some(self.queue(cx));
                Poll::Pending
            }
        }
    }

    fn has_budget(&self, now: u64) -> bool {
        !self.spent.get() && now - self.turn_began.get() <= BUDGET_NS
    }

    /// Ends the turn: sockets, timers and other threads shall not wait for more work of this kind.
    pub fn spend(&self) {
        self.spent.set(true);
    }

    /// To be called at the end of each piece of work.
    pub fn worked(&self) {
        self.last_work.set(self.now());
    }

    /// Runs for ever beside the tasks that pass.
    pub async fn drive(&self, turns: &Turns) {
        loop {
            poll_fn(|cx| self.poll_waiting(cx)).await;
            turns.ended(self.now() - self.turn_began.get());
            reactor_turn(&self.clock).await;
            turns.gated();
            self.begin(self.now());
            // What has just become ready runs first.
            glommio::executor().yield_now().await;
            while self.has_budget(self.now()) && self.let_one_in() {
                glommio::executor().yield_now().await;
            }
        }
    }

    fn begin(&self, now: u64) {
        self.turn_began.set(now);
        self.spent.set(false);
        self.last_work.set(now);
    }

    /// While somebody waits the reactor has not turned: then a pause is the operating system's.
    fn notice_pause(&self, now: u64, turns: &Turns) {
        if now - self.last_work.get() > PAUSE_NS && self.waiting.borrow().is_empty() {
            let worked = self.last_work.get() - self.turn_began.get();
            if worked > 0 {
                turns.ended(worked);
            }
            self.begin(now);
        }
    }

    fn queue(&self, cx: &Context<'_>) -> u64 {
        self.waiting.borrow_mut().push_back(cx.waker().clone());
        self.driver.take().into_iter().for_each(Waker::wake);
        let ticket = self.tickets.get();
        self.tickets.set(ticket + 1);
        ticket
    }

    fn let_one_in(&self) -> bool {
        let Some(waker) = self.waiting.borrow_mut().pop_front() else { return false };
        self.let_in.set(self.let_in.get() + 1);
        waker.wake();
        true
    }

    fn poll_waiting(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.driver.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Waits until the reactor has turned once, without a sleep.
///
/// A timer of 1 us is registered, and then this task spins until it is due: with the queue empty the executor
/// polls its rings, finds the timer due and goes on. Were the timer not due yet it would park, and the turn
/// would take 43 us instead of 7.
async fn reactor_turn(clock: &Clock) {
    let mut timer = Timer::new(Duration::from_nanos(REACTOR_TIMER_NS));
    poll_fn(|cx| {
        let polled = Pin::new(&mut timer).poll(cx);
        if polled.is_pending() {
            let due = clock.now() + REACTOR_TIMER_NS;
            while clock.now() <= due {
                std::hint::spin_loop();
            }
        }
        polled.map(drop)
    })
    .await;
}

const REACTOR_TIMER_NS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::task::ready;

    struct Bench {
        gate: Gate,
        turns: Turns,
        passed: RefCell<Vec<usize>>,
    }

    /// Always has work of `work_us` microseconds, until it was let in `times` times.
    async fn hog(bench: Rc<Bench>, name: usize, work_us: u64, times: usize) {
        let mut pass = Pass::default();
        let mut left = times;
        poll_fn(|cx| {
            let now = ready!(bench.gate.poll_pass(&mut pass, cx, &bench.turns));
            while bench.gate.now() < now + work_us * 1_000 {
                std::hint::spin_loop();
            }
            bench.gate.worked();
            bench.passed.borrow_mut().push(name);
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn with_gate<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Bench>) -> F) {
        let executor = glommio::LocalExecutorBuilder::default().io_memory(64 << 10).make();
        executor.expect("the machine has io_uring").run(async move {
            let bench =
                Rc::new(Bench { gate: Gate::new(), turns: Turns::default(), passed: RefCell::default() });
            let driver = bench.clone();
            glommio::spawn_local(async move { driver.gate.drive(&driver.turns).await }).detach();
            test(bench).await;
        });
    }

    #[test]
    fn timers_fire_beside_tasks_that_always_have_work() {
        with_gate(|bench| async move {
            let hogs = [0, 1].map(|name| glommio::spawn_local(hog(bench.clone(), name, 20, 1_500)));
            let mut fired = 0;
            while bench.passed.borrow().len() < 3_000 {
                glommio::timer::sleep(Duration::from_millis(1)).await;
                fired += 1;
            }
            // They work for 60 ms, less than the preemption timer's 100 ms: nothing else would let it in.
            assert!(fired > 2, "{fired} timers of 1 ms in 60 ms");
            assert!(bench.turns.summary().gated > 0, "{:?}", bench.turns.summary());
            for hog in hogs {
                hog.await;
            }
        });
    }

    #[test]
    fn nobody_who_waits_is_passed_over() {
        with_gate(|bench| async move {
            // Each spends the whole budget, so that each waits before each piece of work.
            let hogs = [0, 1, 2].map(|name| glommio::spawn_local(hog(bench.clone(), name, 250, 20)));
            for hog in hogs {
                hog.await;
            }
            // Until the first is done. On a busy machine the preemption timer may let one pass out of order.
            let passed = &bench.passed.borrow()[..30];
            let has_all = |window: &[usize]| (0..3).all(|name| window.contains(&name));
            assert!(passed.windows(6).all(has_all), "{passed:?}");
        });
    }

    #[test]
    fn a_task_that_comes_after_a_pause_does_not_wait() {
        with_gate(|bench| async move {
            for name in 0..20 {
                hog(bench.clone(), name, 50, 1).await;
                glommio::timer::sleep(Duration::from_micros(500)).await;
            }
            let summary = bench.turns.summary();
            assert_eq!((summary.gated, bench.passed.borrow().len()), (0, 20), "{summary:?}");
            assert!(summary.count >= 19, "{summary:?}");
        });
    }
}
