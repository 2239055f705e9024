//! How fast one start sends requests to a service that has had too many.
//!
//! All requests of a start that share a quota share a pace. While no request is refused, the pace
//! lets all through at once. After a refusal all of them wait together, then one of them tries, and
//! each answer doubles how many may be in flight. So one start gets everything it needs when its
//! turn comes, instead of a thousand starts that get one value each and all fail.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use keystart_process::lock;

/// The first pause is a random time up to this. Each further refusal without an answer in between
/// makes it four times longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// With this many in flight the service has room again.
const OPEN: usize = 64;

/// A request that hangs holds up the others for at most this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pace of the requests of one start that share a quota.
pub(crate) struct Pace {
    window: Mutex<Window>,
    changed: Notify,
    began: Instant,
    until: Duration,
}

/// The right to send one request.
pub(crate) struct Ticket(u64);

impl Pace {
    /// Makes the pace of a start that ends at that time.
    pub fn new(until: Instant) -> Self {
        let began = Instant::now();
        let until = until.saturating_duration_since(began);
        Self { window: Mutex::new(Window::new()), changed: Notify::new(), began, until }
    }

    /// Waits until a request may be sent.
    pub async fn enter(&self) -> Ticket {
        loop {
            let changed = self.changed.notified();
            let admission = lock(&self.window).enter(self.began.elapsed());
            match admission {
                Admission::Open(epoch) => return Ticket(epoch),
                Admission::Closed(gate) => sleep_until(self.began + gate).await,
                Admission::Full => {
                    if timeout(PATIENCE, changed).await.is_err() {
                        lock(&self.window).widen();
                    }
                }
            }
        }
    }

    /// Notes the end of a request that was not refused. `answered` says whether the service had room for it.
    pub fn leave(&self, ticket: &Ticket, answered: bool) {
        lock(&self.window).leave(ticket.0, answered);
        self.changed.notify_waiters();
    }

    /// Notes a request that was one too many, and returns how long all of them wait.
    pub fn refuse(&self, ticket: &Ticket) -> Duration {
        let now = self.began.elapsed();
        let gate = {
            let mut window = lock(&self.window);
            window.refuse(ticket.0, now, self.until, fastrand::f64());
            window.gate
        };
        self.changed.notify_waiters();
        gate.saturating_sub(now)
    }
}

/// The state of a pace. The caller chooses the moment that times count from.
#[derive(Debug)]
struct Window {
    /// The number of pauses. A refusal of a request sent before the last pause says nothing new.
    epoch: u64,
    /// The refusals since the last answer.
    refusals: u32,
    /// When requests may be sent again.
    gate: Duration,
    /// How many requests of this epoch may be in flight.
    size: usize,
    under_way: usize,
}

/// Whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// Now, in this epoch.
    Open(u64),
    /// Not before this time.
    Closed(Duration),
    /// After another request has ended.
    Full,
}

impl Window {
    const fn new() -> Self {
        Self { epoch: 0, refusals: 0, gate: Duration::ZERO, size: usize::MAX, under_way: 0 }
    }

    fn enter(&mut self, now: Duration) -> Admission {
        if now < self.gate {
            return Admission::Closed(self.gate);
        }
        if self.under_way >= self.size {
            return Admission::Full;
        }
        self.under_way += 1;
        Admission::Open(self.epoch)
    }

    /// Notes the end of a request that was not refused. `answered` says whether the service had room for it.
    fn leave(&mut self, epoch: u64, answered: bool) {
        if epoch != self.epoch {
            return;
        }
        self.under_way -= 1;
        if answered {
            self.refusals = 0;
            self.size = if self.size >= OPEN { usize::MAX } else { self.size * 2 };
        }
    }

    /// Notes a request that was one too many. All wait for a part of the longest pause; `random` sets the part.
    fn refuse(&mut self, epoch: u64, now: Duration, until: Duration, random: f64) {
        if epoch != self.epoch {
            return;
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << (2 * self.refusals).min(16)).min(LONGEST_PAUSE);
        // Leaves time for one more try before the end.
        let longest = longest.min(until.saturating_sub(now));
        self.epoch += 1;
        self.refusals += 1;
        self.gate = now + longest.mul_f64(random);
        self.size = 1;
        self.under_way = 0;
    }

    /// Lets one more request through next to those that hang.
    const fn widen(&mut self) {
        self.size = self.size.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const LATENCY: Duration = Duration::from_millis(20);
    const DEADLINE: Duration = Duration::from_secs(8);
    const ONE: Duration = Duration::from_secs(1);

    /// A quota of AWS: a number of tokens a second, of which at most one second's worth is saved up.
    struct Bucket {
        rate: f64,
        tokens: f64,
        at: Duration,
    }

    impl Bucket {
        fn take(&mut self, now: Duration) -> bool {
            let since = now.saturating_sub(self.at).as_secs_f64();
            self.tokens = (self.tokens + since * self.rate).min(self.rate);
            self.at = now;
            let is_given = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(is_given));
            is_given
        }
    }

    /// The events of a value in a start.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Try,
        Arrived(u64),
        Ended(u64, bool),
    }

    /// The time, the event's own number, the start, the value.
    type At = (Duration, u64, usize, usize, Event);

    /// Events by time; at the same time, in the order in which they were made.
    #[derive(Default)]
    struct Events {
        heap: BinaryHeap<Reverse<At>>,
        number: u64,
    }

    impl Events {
        fn add(&mut self, time: Duration, start: usize, value: usize, event: Event) {
            self.number += 1;
            self.heap.push(Reverse((time, self.number, start, value, event)));
        }
    }

    struct Start {
        began: Duration,
        window: Window,
        waiting: Vec<usize>,
        pauses: Vec<Duration>,
        missing: u32,
    }

    struct Figures {
        /// Of the starts that the tokens could have served, the part that got all their values in time.
        served: f64,
        /// Requests for each answered one.
        requests: f64,
    }

    /// Simulates starts that begin within one second and want the same number of values each:
    /// paced, or each request alone with decorrelated jitter, as before.
    fn simulate(count: u32, wanted: u32, rate: f64, is_paced: bool) -> Figures {
        let mut random = fastrand::Rng::with_seed(7);
        let mut bucket = Bucket { rate, tokens: rate, at: Duration::ZERO };
        let first = Duration::from_millis(50);
        let mut starts: Vec<Start> = (0..count)
            .map(|_| Start {
                began: ONE.mul_f64(random.f64()),
                window: Window::new(),
                waiting: Vec::new(),
                pauses: vec![first; wanted as usize],
                missing: wanted,
            })
            .collect();
        let mut events = Events::default();
        for (number, start) in starts.iter().enumerate() {
            (0..wanted as usize).for_each(|value| events.add(start.began, number, value, Event::Try));
        }
        let mut requests = 0_u32;
        while let Some(Reverse((now, _, number, value, event))) = events.heap.pop() {
            let start = &mut starts[number];
            let until = start.began + DEADLINE;
            if now >= until {
                continue;
            }
            match event {
                Event::Try if !is_paced => events.add(now + LATENCY / 2, number, value, Event::Arrived(0)),
                Event::Try => match start.window.enter(now) {
                    Admission::Open(epoch) => events.add(now + LATENCY / 2, number, value, Event::Arrived(epoch)),
                    Admission::Closed(gate) => events.add(gate, number, value, Event::Try),
                    Admission::Full => start.waiting.push(value),
                },
                Event::Arrived(epoch) => {
                    requests += 1;
                    events.add(now + LATENCY / 2, number, value, Event::Ended(epoch, bucket.take(now)));
                }
                Event::Ended(epoch, is_given) => {
                    start.missing -= u32::from(is_given);
                    if is_paced {
                        if is_given {
                            start.window.leave(epoch, true);
                        } else {
                            start.window.refuse(epoch, now, until, random.f64());
                            start.waiting.push(value);
                        }
                        start.waiting.drain(..).for_each(|other| events.add(now, number, other, Event::Try));
                    } else if !is_given {
                        let pause = start.pauses[value];
                        let spread = (pause * 3).saturating_sub(first);
                        start.pauses[value] = (first + spread.mul_f64(random.f64())).min(ONE);
                        events.add(now + pause, number, value, Event::Try);
                    }
                }
            }
        }
        let complete = starts.iter().filter(|start| start.missing == 0).count();
        let missing: u32 = starts.iter().map(|start| start.missing).sum();
        let tokens = rate * (1.0 + (DEADLINE + ONE).as_secs_f64());
        let possible = (tokens / f64::from(wanted)).min(f64::from(count));
        Figures {
            served: f64::from(u32::try_from(complete).unwrap()) / possible,
            requests: f64::from(requests) / f64::from(count * wanted - missing),
        }
    }

    #[test]
    fn many_starts_at_once_are_served_more_often_and_ask_less_in_vain() {
        // The number of starts that compete, the values of each, the tokens a second.
        for (count, wanted, rate) in [(200, 10, 140.0), (1_000, 10, 500.0), (1_000, 10, 1_100.0)] {
            let (before, now) = (simulate(count, wanted, rate, false), simulate(count, wanted, rate, true));
            println!(
                "{count} starts, {wanted} values each, {rate} tokens/s: served {:.2} -> {:.2}, requests {:.1} -> {:.1}",
                before.served, now.served, before.requests, now.requests
            );
            assert!(now.requests < before.requests / 2.0);
            assert!(now.served > (before.served * 3.0).min(0.95));
        }
    }

    #[test]
    fn while_none_is_refused_all_go_at_once() {
        let mut window = Window::new();
        assert!((0..1_000).all(|_| window.enter(Duration::ZERO) == Admission::Open(0)));
    }

    #[test]
    fn one_refusal_among_many_answers_costs_a_start_a_tenth_of_a_second_at_the_most() {
        let mut window = Window::new();
        assert!((0..30).all(|_| window.enter(Duration::ZERO) == Admission::Open(0)));
        (0..29).for_each(|_| window.leave(0, true));
        window.refuse(0, ONE, DEADLINE, 1.0);
        assert_eq!(window.enter(ONE), Admission::Closed(ONE + FIRST_PAUSE));
        assert_eq!(window.enter(ONE + FIRST_PAUSE), Admission::Open(1));
    }

    #[test]
    fn the_refusals_of_one_burst_are_one_and_each_further_one_makes_the_pause_longer() {
        let (mut window, mut pauses) = (Window::new(), Vec::new());
        for epoch in 0..5 {
            let now = window.gate;
            (0..30).for_each(|_| window.refuse(epoch, now, Duration::MAX, 1.0));
            pauses.push(window.gate.saturating_sub(now).as_millis());
        }
        assert_eq!(pauses, [100, 400, 1_600, 6_400, 8_000]);
    }

    #[test]
    fn no_pause_passes_the_end() {
        let mut window = Window::new();
        window.refuse(0, DEADLINE.saturating_sub(LATENCY), DEADLINE, 0.999);
        assert!(window.gate < DEADLINE);
    }

    #[test]
    fn after_a_refusal_one_tries_and_with_each_answer_twice_as_many() {
        let mut window = Window::new();
        window.refuse(0, Duration::ZERO, DEADLINE, 0.0);
        for expected in [1, 2, 4, 8, 16, 32, 64] {
            let under_way = (0..1_000).filter(|_| window.enter(ONE) == Admission::Open(1)).count();
            assert_eq!(under_way, expected);
            (1..expected).for_each(|_| window.leave(1, false));
            window.leave(1, true);
        }
        assert!((0..1_000).all(|_| window.enter(ONE) == Admission::Open(1)));
    }
}
