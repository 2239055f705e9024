//! Where tests kill a writer. Without the cargo feature `failpoints`, which only tests use, it compiles to nothing.

/// Ends the process with SIGKILL when `KEYSTART_FAILPOINT` names this point: `6, link made`, or `6, link made@2` for
/// the second time that it is reached.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(point: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};

    static TIMES: AtomicU32 = AtomicU32::new(0);

    let Ok(wanted) = std::env::var("KEYSTART_FAILPOINT") else { return };
    let (wanted, time) = wanted.split_once('@').unwrap_or((&wanted, "1"));
    if wanted == point && time == (TIMES.fetch_add(1, Ordering::Relaxed) + 1).to_string() {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        unreachable!("the process lives on after SIGKILL: {killed:?}");
    }
}

/// Returns how long generations stay: what `KEYSTART_KEPT_MS` says, or the usual time.
#[cfg(feature = "failpoints")]
pub(crate) fn kept_for(usual: std::time::Duration) -> std::time::Duration {
    let milliseconds = std::env::var("KEYSTART_KEPT_MS").ok().and_then(|text| text.parse().ok());
    milliseconds.map_or(usual, std::time::Duration::from_millis)
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn kept_for(usual: std::time::Duration) -> std::time::Duration {
    usual
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn reached(_point: &str) {}
