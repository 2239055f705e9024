//! The log of Keystart's processes: lines on standard error that never fail and never hold a process up for long.
//!
//! Standard error is shared with the function and with other extensions. Somebody may have closed its other end, filled it,
//! or set it non-blocking; none of that may decide what becomes of secrets.

use std::fmt::{self, Write};
use std::io::stderr;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write as write_some};

use crate::json::quote;
use crate::time::{Moment, now};

/// The longest wait for one line, and for all lines in the life of a process.
const PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_OF_A_LIFE: Duration = Duration::from_millis(500);
/// `PIPE_BUF`: a pipe that can be written to takes so many bytes without blocking.
const CHUNK: usize = 4096;
const PAUSE: Duration = Duration::from_millis(1);

/// Writes a message, or counts the lines that cannot be written. `level` is a word such as `ERROR`.
pub fn write(level: &str, message: &str, as_json: bool) {
    SINK.lock().unwrap_or_else(PoisonError::into_inner).write(level, message, as_json);
}

/// Whether the function's logs are JSON.
pub fn is_json() -> bool {
    env::var_os("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format == "JSON")
}

/// Writes where a panic happened. Its text may hold what it was about: a string that was cut at a wrong place, say. The panic
/// may have come while a line was being written.
pub fn write_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if let Ok(mut sink) = SINK.try_lock() {
        sink.send(&format!("keystart: a bug of Keystart at {place}. Please report it.\n"));
    }
}

/// Writes a line at once or not at all. For a handler of a signal: it takes no lock and allocates nothing.
pub(crate) fn write_in_handler(line: &str) {
    if is_writable(Duration::ZERO) {
        let _dropped = write_some(stderr().as_fd(), line.as_bytes());
    }
}

/// Writes one line, in JSON `message` having no character that must be escaped.
pub(crate) fn write_line(out: &mut impl Write, level: &str, message: &str, as_json: bool) -> fmt::Result {
    if as_json {
        let timestamp = Moment(now());
        writeln!(
            out,
            "{{\"timestamp\": \"{timestamp}\", \"level\": \"{level}\", \"logger\": \"keystart\", \"message\": \"{message}\"}}"
        )
    } else {
        writeln!(out, "[keystart] {level:5} {message}")
    }
}

fn lines(level: &str, message: &str, as_json: bool) -> String {
    let mut text = String::new();
    let mut write = |line: &str| {
        let _infallible = write_line(&mut text, level, line, as_json);
    };
    if as_json {
        let quoted = quote(message);
        write(&quoted[1..quoted.len() - 1]);
    } else {
        message.split(is_break).filter(|line| !line.is_empty()).for_each(write);
    }
    text
}

/// What some program takes for the end of a line.
fn is_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

static SINK: Mutex<Sink> = Mutex::new(Sink { dropped: 0, waited: Duration::ZERO, is_inside_line: false });

/// Standard error, and what could not be written there.
struct Sink {
    /// Lines since the last note.
    dropped: usize,
    /// In the whole life.
    waited: Duration,
    /// The last line was written in part.
    is_inside_line: bool,
}

impl Sink {
    fn write(&mut self, level: &str, message: &str, as_json: bool) {
        if self.dropped > 0 {
            let note = format!("Lines of this log that could not be written before this one: {}.", self.dropped);
            if self.send(&lines("WARN", &note, as_json)) == 0 {
                self.dropped = 0;
            }
        }
        self.dropped += self.send(&lines(level, message, as_json));
    }

    /// Writes lines, and returns how many of them were not written whole.
    fn send(&mut self, text: &str) -> usize {
        let whole = if self.is_inside_line { format!("\n{text}") } else { text.to_owned() };
        let mut left = whole.as_bytes();
        let mut patience = PATIENCE.min(PATIENCE_OF_A_LIFE.saturating_sub(self.waited));
        while !left.is_empty() && (is_writable(Duration::ZERO) || self.wait(&mut patience)) {
            match write_some(stderr().as_fd(), &left[..chunk(left)]) {
                Ok(written) => {
                    self.is_inside_line = written > 0 && left[written - 1] != b'\n';
                    left = &left[written..];
                }
                Err(Errno::INTR) => {}
                // Non-blocking, and somebody else was faster.
                Err(Errno::AGAIN) if !patience.is_zero() => {
                    thread::sleep(PAUSE);
                    self.waited += PAUSE;
                    patience = patience.saturating_sub(PAUSE);
                }
                Err(_) => break,
            }
        }
        left.split(|byte| *byte == b'\n').count() - 1
    }

    /// Waits until something can be written; false when the patience is over.
    fn wait(&mut self, patience: &mut Duration) -> bool {
        let begun = Instant::now();
        let writable = is_writable(*patience);
        let took = begun.elapsed();
        self.waited += took;
        *patience = patience.saturating_sub(took);
        writable
    }
}

/// As many whole lines as a pipe takes at once.
fn chunk(left: &[u8]) -> usize {
    if left.len() <= CHUNK {
        return left.len();
    }
    left[..CHUNK].iter().rposition(|byte| *byte == b'\n').map_or(CHUNK, |last| last + 1)
}

/// Waits until standard error takes something; false also where nobody reads it any more. It is not
/// set to non-blocking for that: it would be so for everybody who writes to the same pipe.
fn is_writable(patience: Duration) -> bool {
    let stderr = stderr();
    let mut waiting = [PollFd::new(&stderr, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).unwrap_or_default();
    // A signal ends the wait early; its handler's process has better to do.
    poll(&mut waiting, Some(&patience)).is_ok() && waiting[0].revents() == PollFlags::OUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_line_for_each_of_its_own_and_none_can_be_forged() {
        assert_eq!(lines("INFO", "a", false), "[keystart] INFO  a\n");
        let forged = lines("ERROR", "a\n\nb\rc\r\nd\u{2028}e\u{85}", false);
        assert_eq!(forged.lines().count(), 5, "{forged}");
        assert!(forged.lines().all(|line| line.starts_with("[keystart] ERROR ") && line.len() == 18), "{forged}");
        let json = lines("WARN", "a\n\"b\"", true);
        assert!(
            json.ends_with("\"level\": \"WARN\", \"logger\": \"keystart\", \"message\": \"a\\n\\\"b\\\"\"}\n"),
            "{json}"
        );
    }

    #[test]
    fn a_chunk_ends_with_a_line_where_one_ends() {
        assert_eq!(chunk(b"short"), 5);
        assert_eq!(chunk(&[b'x'; 5000]), CHUNK);
        let mut two = vec![b'x'; 3000];
        two.push(b'\n');
        two.extend([b'y'; 3000]);
        assert_eq!(chunk(&two), 3001);
    }
}
