//! What the process waits for, in one queue: the core puts events in, and only the process takes them out.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keystart_process::{Wake, lock, wait_readable};
use keystart_store::error::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

use crate::runtime;

/// The type of an error that Lambda gets where Keystart itself, or a limit of the system, is the reason.
pub const INTERNAL: &str = "Extension.Internal";

/// Something that the process must decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Lambda has registered the extension.
    Registered,
    /// The fetch has ended.
    Fetched,
    /// Lambda ends the environment.
    Shutdown,
    /// Lambda sent an event of a type that the extension has not asked for.
    Unexpected(String),
    /// A signal that ends the process came.
    Signal {
        /// Its number.
        number: i32,
        /// Its name, such as `SIGTERM`.
        name: &'static str,
    },
    /// Something failed without which the process cannot continue.
    Failed {
        /// The type of the error for Lambda, such as `Extension.ApiFailed`.
        kind: &'static str,
        /// A sentence.
        message: String,
    },
}

impl Event {
    /// Returns the event of an error of the core.
    pub fn internal(error: &Error) -> Self {
        Self::Failed { kind: INTERNAL, message: error.message().to_owned() }
    }
}

/// Why a wait has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// What was waited for is here.
    Done(T),
    /// A signal came.
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// The queue.
#[derive(Debug)]
pub struct Events {
    /// Readable when something was put in; the reason where the system has no descriptor for it.
    bell: std::result::Result<OwnedFd, Errno>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Event>,
    /// The first requests are sent.
    is_sent: bool,
}

impl State {
    fn has_failed(&self) -> bool {
        self.queue.iter().any(|event| matches!(event, Event::Failed { .. }))
    }
}

impl Events {
    /// Makes an empty queue.
    pub fn new() -> Arc<Self> {
        let bell =
            runtime::check_descriptors().and_then(|()| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK));
        Arc::new(Self { bell, state: Mutex::default() })
    }

    /// Returns the descriptor, or the limit for which there is none, so that nothing can be waited for.
    pub(crate) fn bell(&self) -> Result<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd).map_err(|errno| runtime::refused(*errno))
    }

    /// Puts an event in.
    pub fn push(&self, event: Event) {
        lock(&self.state).queue.push_back(event);
        self.ring();
    }

    /// Puts an event in, before all others.
    pub(crate) fn push_first(&self, event: Event) {
        lock(&self.state).queue.push_front(event);
        self.ring();
    }

    /// Says that the first requests are sent.
    pub(crate) fn set_sent(&self) {
        lock(&self.state).is_sent = true;
        self.ring();
    }

    /// Waits for the next event, and takes it.
    pub fn next(&self, until: Option<Instant>) -> Result<Waited<Event>> {
        self.wait(until, |state| state.queue.pop_front())
    }

    /// Waits until Lambda has registered the extension; earlier where something failed.
    pub(crate) fn wait_until_registered(&self, until: Instant) -> Result<Waited<()>> {
        self.wait(Some(until), |state| (state.has_failed() || state.queue.contains(&Event::Registered)).then_some(()))
    }

    /// Waits until the first requests are sent; earlier where something failed.
    pub(crate) fn wait_until_sent(&self, until: Instant) -> Result<Waited<()>> {
        self.wait(Some(until), |state| (state.has_failed() || state.is_sent).then_some(()))
    }

    fn wait<T>(&self, until: Option<Instant>, take: impl Fn(&mut State) -> Option<T>) -> Result<Waited<T>> {
        loop {
            if let Some(taken) = take(&mut lock(&self.state)) {
                return Ok(Waited::Done(taken));
            }
            let bell = self.bell()?;
            match wait_readable(bell, until) {
                // Read before the next look, so that nothing is missed that comes after it.
                Ok(Wake::Readable) => drop(read(bell, &mut [0; 8])),
                Ok(Wake::Signal) => return Ok(Waited::Interrupted),
                Ok(Wake::Time) => return Ok(Waited::TimedOut),
                Err(errno) => return Err(Error::internal(&format!("waiting for an event: {errno}"))),
            }
        }
    }

    fn ring(&self) {
        if let Ok(bell) = &self.bell {
            // A count below the largest is always taken.
            let _rung = write(bell, &1_u64.to_ne_bytes());
        }
    }
}

/// Runs work in the thread of the core, and puts in the event that it ends with. If it panics, that is an event too.
pub(crate) fn spawn(events: &Arc<Events>, work: impl Future<Output = Event> + Send + 'static) -> Result<()> {
    let ending = Ending::new(events);
    runtime::handle()?.spawn(async move {
        let mut ending = ending;
        ending.event = work.await;
    });
    Ok(())
}

/// Puts in an event when it is dropped.
pub(crate) struct Ending {
    events: Arc<Events>,
    pub(crate) event: Event,
}

impl Ending {
    pub(crate) fn new(events: &Arc<Events>) -> Self {
        let panicked = Event::internal(&Error::internal("a task of the core ended without a result"));
        Self { events: Arc::clone(events), event: panicked }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.events.push(self.event.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_their_order_and_once() {
        let events = Events::new();
        events.push(Event::Registered);
        spawn(&events, async { Event::Fetched }).unwrap();
        assert_eq!(events.next(None).unwrap(), Waited::Done(Event::Registered));
        assert_eq!(events.next(None).unwrap(), Waited::Done(Event::Fetched));
        assert_eq!(events.next(Some(Instant::now())).unwrap(), Waited::TimedOut);
    }

    #[test]
    fn work_that_panics_ends_with_a_failure() {
        let events = Events::new();
        spawn(&events, async { panic!("on purpose") }).unwrap();
        assert!(matches!(events.next(None).unwrap(), Waited::Done(Event::Failed { kind: INTERNAL, .. })));
    }

    #[test]
    fn the_wait_for_the_first_requests_ends_when_something_fails() {
        let events = Events::new();
        assert_eq!(events.wait_until_sent(Instant::now()).unwrap(), Waited::TimedOut);
        events.push(Event::internal(&Error::internal("on purpose")));
        assert_eq!(events.wait_until_sent(Instant::now()).unwrap(), Waited::Done(()));
    }
}
