//! Whether a fetch has sent its first requests. Until then it needs the CPU more than the rest of a start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use tokio::sync::Notify;

/// The number of requests to send before the rest of a start may take the CPU.
#[derive(Debug)]
pub(crate) struct FirstRequests {
    missing: AtomicUsize,
    none_missing: Notify,
}

impl FirstRequests {
    /// Makes the counter of a fetch whose requests are not counted yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { missing: AtomicUsize::new(usize::MAX), none_missing: Notify::new() })
    }

    /// Waits until all are sent or the fetch has ended. Only one caller may wait.
    pub async fn wait(&self) {
        self.none_missing.notified().await;
    }

    pub fn expect(&self, requests: usize) {
        self.missing.store(requests, Relaxed);
    }

    /// Notes that there is nothing more to wait for.
    pub fn end(&self) {
        self.none_missing.notify_one();
    }
}

/// The first transmission of one request.
#[derive(Debug)]
pub(crate) struct Transmission {
    requests: Arc<FirstRequests>,
    is_counted: AtomicBool,
}

tokio::task_local! {
    /// The transmission of the request that this task sends.
    pub(crate) static TRANSMISSION: Arc<Transmission>;
}

impl Transmission {
    pub fn new(requests: &Arc<FirstRequests>) -> Arc<Self> {
        Arc::new(Self { requests: Arc::clone(requests), is_counted: AtomicBool::new(false) })
    }

    /// Counts the request, once.
    pub fn count(&self) {
        // After the last one the counter wraps, which is harmless: it notifies nobody.
        if !self.is_counted.swap(true, Relaxed) && self.requests.missing.fetch_sub(1, Relaxed) == 1 {
            self.requests.end();
        }
    }
}

/// Notices when the SDK sends a request.
#[derive(Debug)]
pub(crate) struct TransmissionObserver;

impl Intercept for TransmissionObserver {
    fn name(&self) -> &'static str {
        "TransmissionObserver"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(body) = TRANSMISSION.try_with(|transmission| Body(Arc::clone(transmission))) else {
            return Ok(()); // not one of the first
        };
        let request = context.request_mut();
        // The body is dropped after its last byte is written, or if there is no connection.
        let observed = request.take_body().map_err(move |error| {
            let _dropped_with_it = &body;
            error
        });
        *request.body_mut() = SdkBody::from_body_1_x(observed);
        Ok(())
    }
}

/// The body of a request that has not been sent yet.
struct Body(Arc<Transmission>);

impl Drop for Body {
    fn drop(&mut self) {
        self.0.count();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn all_are_sent_when_each_was_sent_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let requests = FirstRequests::new();
        let (one, other) = (Transmission::new(&requests), Transmission::new(&requests));
        requests.expect(2);
        one.count();
        one.count();
        let wait = || async { timeout(Duration::from_millis(1), requests.wait()).await };
        assert!(runtime.block_on(wait()).is_err());
        drop(Body(other));
        assert!(runtime.block_on(wait()).is_ok());
    }
}
