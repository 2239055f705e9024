//! Looks up the name of a host once for all connections of a fetch that are opened together.
//!
//! Each lookup of the system takes a thread, and reads its files and asks its resolver again.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::{fmt, io, vec};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use keystart_process::lock;
use tokio::sync::OnceCell;
use tower_service::Service;

/// The lookups of one client, which keeps the addresses of a name until a request fails.
#[derive(Clone)]
pub(super) struct Lookups<R = GaiResolver> {
    system: R,
    begun: Arc<Mutex<HashMap<Name, Lookup>>>,
}

/// What the system has found, as soon as it has.
type Lookup = Arc<OnceCell<Result<Vec<SocketAddr>, LookupError>>>;

impl<R> Lookups<R> {
    /// Makes the lookups of a client. `system` looks up a name.
    pub fn new(system: R) -> Self {
        Self { system, begun: Arc::default() }
    }

    /// Lets the next connections look up their names again: the addresses may have changed, or their order.
    pub fn forget(&self) {
        lock(&self.begun).clear();
    }

    /// Makes a name known without a lookup.
    #[cfg(test)]
    pub fn know(&self, name: &str, address: SocketAddr) {
        let found = OnceCell::new_with(Some(Ok(vec![address])));
        lock(&self.begun).insert(name.parse().unwrap(), Arc::new(found));
    }
}

/// A failure that several connections have in common.
#[derive(Debug, Clone)]
pub(super) struct LookupError(Arc<io::Error>);

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name was not found")
    }
}

impl StdError for LookupError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

type Addresses = vec::IntoIter<SocketAddr>;

impl<R> Service<Name> for Lookups<R>
where
    R: Service<Name, Error = io::Error> + Clone + Send + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Future: Send,
{
    type Response = Addresses;
    type Error = LookupError;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, LookupError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookupError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { mut system, begun } = self.clone();
        let shared = Arc::clone(lock(&begun).entry(name.clone()).or_default());
        Box::pin(async move {
            let look_up = async { system.call(name).await.map(Iterator::collect) };
            let failed = |error| LookupError(Arc::new(error));
            let found = shared.get_or_init(|| async { look_up.await.map_err(failed) }).await;
            if found.is_err() {
                lock(&begun).retain(|_, other| !Arc::ptr_eq(other, &shared));
            }
            found.clone().map(Vec::into_iter)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::spawn;
    use tokio::task::yield_now;

    use super::*;

    /// A system that counts its lookups. The first `fails` of them find nothing.
    #[derive(Clone, Default)]
    struct System {
        asked: Arc<AtomicUsize>,
        fails: usize,
    }

    impl Service<Name> for System {
        type Response = Addresses;
        type Error = io::Error;
        type Future = Pin<Box<dyn Future<Output = io::Result<Addresses>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let asked = self.asked.fetch_add(1, Relaxed);
            let fails = asked < self.fails;
            Box::pin(async move {
                yield_now().await;
                if fails {
                    Err(io::Error::other("unknown"))
                } else {
                    Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))].into_iter())
                }
            })
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    /// Looks up a name for two connections at once.
    async fn look_up_twice(lookups: &Lookups<System>) -> [Result<usize, LookupError>; 2] {
        let begun = [lookups, lookups].map(|lookups| spawn(lookups.clone().call(name("a.test"))));
        let mut found = Vec::new();
        for one in begun {
            found.push(one.await.unwrap().map(Iterator::count));
        }
        found.try_into().unwrap()
    }

    #[test]
    fn connections_that_are_opened_together_look_up_a_name_once() {
        let system = System::default();
        let mut lookups = Lookups::new(system.clone());
        run(async {
            assert!(look_up_twice(&lookups).await.iter().all(|found| matches!(found, Ok(1))));
            assert_eq!(system.asked.load(Relaxed), 1);
            assert!(lookups.call(name("a.test")).await.is_ok() && lookups.call(name("b.test")).await.is_ok());
            assert_eq!(system.asked.load(Relaxed), 2);
        });
    }

    #[test]
    fn after_a_failed_request_a_name_is_looked_up_again() {
        let system = System::default();
        let mut lookups = Lookups::new(system.clone());
        run(async {
            for asked in [1, 2] {
                assert!(lookups.call(name("a.test")).await.is_ok() && lookups.call(name("a.test")).await.is_ok());
                assert_eq!(system.asked.load(Relaxed), asked);
                lookups.forget();
            }
        });
    }

    #[test]
    fn a_name_that_was_not_found_is_looked_up_again() {
        let system = System { fails: 1, ..System::default() };
        let mut lookups = Lookups::new(system.clone());
        run(async {
            for failed in look_up_twice(&lookups).await {
                assert_eq!(failed.unwrap_err().source().unwrap().to_string(), "unknown");
            }
            assert!(lookups.call(name("a.test")).await.is_ok());
            assert_eq!(system.asked.load(Relaxed), 2);
        });
    }

    #[test]
    fn a_lookup_that_its_connection_gave_up_is_done_by_the_next_one() {
        let system = System::default();
        let mut lookups = Lookups::new(system.clone());
        run(async {
            let mut given_up = lookups.call(name("a.test"));
            let pending =
                std::future::poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context).is_pending())).await;
            drop(given_up);
            assert!(pending && lookups.call(name("a.test")).await.is_ok());
            assert_eq!(system.asked.load(Relaxed), 2);
        });
    }
}
