//! Tells when a fetch has sent what it asks for first: until then it needs the CPU more than anything else of a start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use tokio::sync::Notify;

/// How many requests are still to be sent before the rest of a start may take the CPU.
#[derive(Debug)]
pub struct Sent {
    missing: AtomicUsize,
    none_missing: Notify,
}

impl Sent {
    /// Of a fetch whose requests nobody has counted yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { missing: AtomicUsize::new(usize::MAX), none_missing: Notify::new() })
    }

    /// Waits until all are sent, or the fetch is over. One may wait.
    pub async fn all(&self) {
        self.none_missing.notified().await;
    }

    pub(super) fn expect(&self, requests: usize) {
        self.missing.store(requests, Relaxed);
    }

    fn one(&self) {
        // Those after the last make a number of no meaning, and tell nobody anything.
        if self.missing.fetch_sub(1, Relaxed) == 1 {
            self.none_missing.notify_one();
        }
    }
}

/// Tells also when a fetch ends early, or panics, that nothing more is to be waited for.
pub(super) struct Over<'a>(pub &'a Sent);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.none_missing.notify_one();
    }
}

/// Counts the requests of a client as they are sent.
#[derive(Debug)]
pub(super) struct Count(pub Arc<Sent>);

impl Intercept for Count {
    fn name(&self) -> &'static str {
        "Count"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let one = One(Arc::clone(&self.0));
        let request = context.request_mut();
        // The body goes when the last of it is written, or when there is no connection to write it to; and with it `one`.
        let body = request.take_body().map_err(move |error| {
            let _one = &one;
            error
        });
        *request.body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}

/// A request that is not sent yet.
struct One(Arc<Sent>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.one();
    }
}
