//! The one queue of events that the process waits for. The core adds events, and only the process takes them.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keystart_process::{Wake, lock, wait_readable};
use keystart_store::errors::{Error, Result};
use rustix::io::Errno;

use crate::bell::Bell;
use crate::runtime;

/// The error type that Lambda gets if Keystart itself or a limit of the system is the cause.
pub const INTERNAL: &str = "Extension.Internal";

/// Something that the process must decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Lambda has registered the extension.
    Registered,
    /// The fetch with this number has ended.
    Fetched(u64),
    /// Lambda invokes the function. It waits for this extension until this time, in milliseconds
    /// since 1970; 0 if Lambda does not say so.
    Invoke(u64),
    /// A client of `control.sock` asks for something; its request has this number.
    Asked(u64),
    /// A client that asked whether to log in is gone, before its answer or after it.
    Left(u64),
    /// A time that the process waits for has come.
    Passed,
    /// Lambda ends the environment.
    Shutdown,
    /// Lambda sent an event of a type that the extension has not asked for.
    Unexpected(String),
    /// A signal that ends the process arrived.
    Signal {
        /// Its number.
        number: i32,
        /// Its name, such as `SIGTERM`.
        name: &'static str,
    },
    /// A failure after which the process cannot continue.
    Failed {
        /// The type of the error for Lambda, such as `Extension.ApiFailed`.
        kind: &'static str,
        /// A sentence.
        message: String,
    },
}

impl Event {
    /// Makes the event of an error of the core.
    pub fn internal(error: &Error) -> Self {
        Self::Failed { kind: INTERNAL, message: error.message().to_owned() }
    }
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum WaitResult<T> {
    /// It ended with what it waited for.
    Done(T),
    /// A signal arrived.
    Interrupted,
    /// The time is over.
    TimedOut,
}

/// The queue.
#[derive(Debug)]
pub struct Events {
    /// Readable after something was added. The error if the system has no descriptor for it.
    bell: std::result::Result<Bell, Errno>,
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
        let bell = runtime::check_descriptors().and_then(|()| Bell::new());
        Arc::new(Self { bell, state: Mutex::default() })
    }

    /// Returns the descriptor, or the limit that prevents it: then nothing can wait.
    pub(crate) fn bell(&self) -> Result<&Bell> {
        self.bell.as_ref().map_err(|errno| runtime::refused(*errno))
    }

    /// Adds an event.
    pub fn push(&self, event: Event) {
        lock(&self.state).queue.push_back(event);
        self.ring();
    }

    /// Adds an event before all others.
    pub(crate) fn push_first(&self, event: Event) {
        lock(&self.state).queue.push_front(event);
        self.ring();
    }

    /// Notes that the first requests are sent.
    pub(crate) fn set_sent(&self) {
        lock(&self.state).is_sent = true;
        self.ring();
    }

    /// Waits for the next event and takes it.
    pub fn next(&self, until: Option<Instant>) -> Result<WaitResult<Event>> {
        self.wait(until, |state| state.queue.pop_front())
    }

    /// Waits until Lambda has registered the extension, or until something failed.
    pub(crate) fn wait_until_registered(&self, until: Instant) -> Result<WaitResult<()>> {
        self.wait(Some(until), |state| (state.has_failed() || state.queue.contains(&Event::Registered)).then_some(()))
    }

    /// Waits until the first requests are sent, or until something failed.
    pub(crate) fn wait_until_sent(&self, until: Instant) -> Result<WaitResult<()>> {
        self.wait(Some(until), |state| (state.has_failed() || state.is_sent).then_some(()))
    }

    fn wait<T>(&self, until: Option<Instant>, take: impl Fn(&mut State) -> Option<T>) -> Result<WaitResult<T>> {
        loop {
            if let Some(taken) = take(&mut lock(&self.state)) {
                return Ok(WaitResult::Done(taken));
            }
            let bell = self.bell()?;
            match wait_readable(bell.as_fd(), until) {
                // Before the next look, so that no later event is missed.
                Ok(Wake::Readable) => bell.clear(),
                Ok(Wake::Signal) => return Ok(WaitResult::Interrupted),
                Ok(Wake::Time) => return Ok(WaitResult::TimedOut),
                Err(errno) => return Err(Error::internal(&format!("waiting for an event: {errno}"))),
            }
        }
    }

    fn ring(&self) {
        if let Ok(bell) = &self.bell {
            bell.ring();
        }
    }
}

/// Runs work in the thread of the core, and adds the event that it ends with. A panic becomes an event too.
pub(crate) fn spawn(events: &Arc<Events>, work: impl Future<Output = Event> + Send + 'static) -> Result<()> {
    let ending = Ending::new(events);
    runtime::handle()?.spawn(async move {
        let mut ending = ending;
        ending.event = work.await;
    });
    Ok(())
}

/// Adds an event when it is dropped.
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
        spawn(&events, async { Event::Fetched(0) }).unwrap();
        assert_eq!(events.next(None).unwrap(), WaitResult::Done(Event::Registered));
        assert_eq!(events.next(None).unwrap(), WaitResult::Done(Event::Fetched(0)));
        assert_eq!(events.next(Some(Instant::now())).unwrap(), WaitResult::TimedOut);
    }

    #[test]
    fn work_that_panics_ends_with_a_failure() {
        let events = Events::new();
        spawn(&events, async { panic!("on purpose") }).unwrap();
        assert!(matches!(events.next(None).unwrap(), WaitResult::Done(Event::Failed { kind: INTERNAL, .. })));
    }

    #[test]
    fn the_wait_for_the_first_requests_ends_when_something_fails() {
        let events = Events::new();
        assert_eq!(events.wait_until_sent(Instant::now()).unwrap(), WaitResult::TimedOut);
        events.push(Event::internal(&Error::internal("on purpose")));
        assert_eq!(events.wait_until_sent(Instant::now()).unwrap(), WaitResult::Done(()));
    }
}
