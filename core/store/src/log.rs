//! The log of Keystart's processes: lines on standard error that never fail and never delay a process for long.
//!
//! The function and other extensions share standard error. Somebody may have closed its other end,
//! filled it, or made it non-blocking. None of that may change what happens to secrets.

use std::fmt::{self, Write};
use std::io::stderr;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write as write_some};

use crate::json::quote;
use crate::time::{Moment, now};

/// The longest wait for one line, and for all lines of a process together.
const PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_OF_A_LIFE: Duration = Duration::from_millis(500);
/// `PIPE_BUF`: a pipe that is writable takes this many bytes without blocking.
const CHUNK: usize = 4096;
const PAUSE: Duration = Duration::from_millis(1);

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the words of Lambda")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

const LEVELS: [(&str, Level); 6] = [
    ("TRACE", Level::Trace),
    ("DEBUG", Level::Debug),
    ("INFO", Level::Info),
    ("WARN", Level::Warn),
    ("ERROR", Level::Error),
    ("FATAL", Level::Fatal),
];

impl Level {
    /// Parses a word such as `ERROR`.
    pub fn parse(word: &str) -> Option<Self> {
        LEVELS.into_iter().find_map(|(known, level)| (known == word).then_some(level))
    }

    fn word(self) -> &'static str {
        LEVELS.into_iter().find_map(|(word, level)| (level == self).then_some(word)).unwrap_or_default()
    }
}

/// The value of a member that a line in JSON has beside its message.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// A word, a name or an id.
    Text(&'a str),
    /// A number, or a time in milliseconds.
    Number(u64),
}

/// Writes a message without members. See `write_with`.
pub fn write(level: Level, message: &str) {
    write_with(level, message, &[]);
}

/// Writes a message, or counts the lines that cannot be written. It skips messages below the level
/// of `KEYSTART_LOG_LEVEL`, else of `AWS_LAMBDA_LOG_LEVEL`, except errors: an error may be the only
/// reason that a failed start shows. Only a line in JSON has the members.
pub fn write_with(level: Level, message: &str, members: &[(&str, Fact<'_>)]) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let (variable, lowest) = setting();
    if lowest.is_none() && !WARNED.swap(true, Ordering::Relaxed) {
        let words = LEVELS.map(|(word, _)| word).join(", ");
        sink().write(Level::Warn, &format!("{variable} must be one of {words}; INFO is used."), "");
    }
    if level >= lowest.unwrap_or(Level::Info).min(Level::Error) {
        sink().write(level, message, &if is_json() { written(members) } else { String::new() });
    }
}

/// Keeps messages until `release`, for work that must not wait for the log.
pub fn hold() {
    sink().held.get_or_insert_default();
}

/// Writes the kept messages, and from now on every message at once.
pub fn release() {
    let mut sink = sink();
    for Held { level, message, members } in sink.held.take().unwrap_or_default() {
        sink.write(level, &message, &members);
    }
}

/// Returns the variable that sets the level, and the level; `None` if its value is not a level.
fn setting() -> (&'static str, Option<Level>) {
    let of = |variable| env::var_os(variable).filter(|word| !word.is_empty()).map(|word| (variable, word));
    let Some((variable, word)) = of("KEYSTART_LOG_LEVEL").or_else(|| of("AWS_LAMBDA_LOG_LEVEL")) else {
        return ("AWS_LAMBDA_LOG_LEVEL", Some(Level::Info));
    };
    (variable, word.to_str().and_then(|word| Level::parse(&word.to_uppercase())))
}

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether the function's logs are JSON.
pub fn is_json() -> bool {
    env::var_os("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format == "JSON")
}

/// Logs where a panic happened. It leaves out the panic's text, which may hold part of a secret,
/// for example a string that was cut at a wrong place. The panic may have happened while a line was
/// being written.
pub fn write_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if let Ok(mut sink) = SINK.try_lock() {
        sink.send(&lines(Level::Error, &format!("a bug of Keystart at {place}. Please report it."), "", is_json()));
    }
}

/// Writes a line at once or not at all. A signal handler calls it, so it takes no lock and allocates nothing.
pub(crate) fn write_in_handler(line: &str) {
    if is_writable(Duration::ZERO) {
        let _dropped = write_some(stderr().as_fd(), line.as_bytes());
    }
}

/// Writes one line. In JSON, `message` must have no character that needs an escape, and `members`
/// follow it as they are. People search for `[keystart]`, so a line in JSON has that too.
pub(crate) fn write_line(
    out: &mut impl Write,
    level: &str,
    message: &str,
    members: &str,
    as_json: bool,
) -> fmt::Result {
    if as_json {
        let timestamp = Moment(now());
        writeln!(
            out,
            "{{\"timestamp\": \"{timestamp}\", \"level\": \"{level}\", \"logger\": \"keystart\", \
             \"message\": \"[keystart] {message}\"{members}}}"
        )
    } else {
        writeln!(out, "[keystart] {level:5} {message}")
    }
}

/// Writes members as they follow others in an object of JSON.
fn written(members: &[(&str, Fact<'_>)]) -> String {
    let mut text = String::new();
    for (name, value) in members {
        let _infallible = match value {
            Fact::Text(value) => write!(text, ", {}: {}", quote(name), quote(value)),
            Fact::Number(value) => write!(text, ", {}: {value}", quote(name)),
        };
    }
    text
}

fn lines(level: Level, message: &str, members: &str, as_json: bool) -> String {
    let mut text = String::new();
    let mut write = |line: &str| {
        let _infallible = write_line(&mut text, level.word(), line, members, as_json);
    };
    if as_json {
        let quoted = quote(message);
        write(&quoted[1..quoted.len() - 1]);
    } else {
        message.split(is_break).filter(|line| !line.is_empty()).for_each(write);
    }
    text
}

/// Returns whether some program takes the character for the end of a line.
fn is_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

static SINK: Mutex<Sink> = Mutex::new(Sink { held: None, dropped: 0, waited: Duration::ZERO, is_inside_line: false });

/// Standard error, and the count of lines that could not be written.
struct Sink {
    /// The messages that wait for `release`; `None` when messages are written at once.
    held: Option<Vec<Held>>,
    /// Lines since the last note.
    dropped: usize,
    /// The sum of all waits of the process.
    waited: Duration,
    /// Only part of the last line was written.
    is_inside_line: bool,
}

/// A message that waits.
struct Held {
    level: Level,
    message: String,
    members: String,
}

impl Sink {
    fn write(&mut self, level: Level, message: &str, members: &str) {
        if let Some(held) = &mut self.held {
            return held.push(Held { level, message: message.to_owned(), members: members.to_owned() });
        }
        let as_json = is_json();
        if self.dropped > 0 {
            let note = format!("Lines of this log that could not be written before this one: {}.", self.dropped);
            if self.send(&lines(Level::Warn, &note, "", as_json)) == 0 {
                self.dropped = 0;
            }
        }
        self.dropped += self.send(&lines(level, message, members, as_json));
    }

    /// Writes lines, and returns how many were not written whole.
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
                // Non-blocking, and another writer filled it first.
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

    /// Waits until standard error takes something; false when the patience is over.
    fn wait(&mut self, patience: &mut Duration) -> bool {
        let begun = Instant::now();
        let writable = is_writable(*patience);
        let took = begun.elapsed();
        self.waited += took;
        *patience = patience.saturating_sub(took);
        writable
    }
}

/// Returns as many whole lines as a pipe takes at once.
fn chunk(left: &[u8]) -> usize {
    if left.len() <= CHUNK {
        return left.len();
    }
    left[..CHUNK].iter().rposition(|byte| *byte == b'\n').map_or(CHUNK, |last| last + 1)
}

/// Waits until standard error takes something; false also if nobody reads it any more. It does not
/// set standard error to non-blocking, because that would change it for every process that writes
/// to the same pipe.
fn is_writable(patience: Duration) -> bool {
    let stderr = stderr();
    let mut waiting = [PollFd::new(&stderr, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).unwrap_or_default();
    // A signal ends the wait early, which is right: its handler is more urgent than the log.
    poll(&mut waiting, Some(&patience)).is_ok() && takes_something(waiting[0].revents())
}

/// macOS cannot poll terminals and other devices, and says of them what Linux says of a closed descriptor (poll(2)).
fn takes_something(found: PollFlags) -> bool {
    found == PollFlags::OUT || (cfg!(target_vendor = "apple") && found == PollFlags::NVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_line_for_each_of_its_lines_and_none_can_be_forged() {
        assert_eq!(lines(Level::Info, "a", "", false), "[keystart] INFO  a\n");
        let forged = lines(Level::Error, "a\n\nb\rc\r\nd\u{2028}e\u{85}", "", false);
        assert_eq!(forged.lines().count(), 5, "{forged}");
        assert!(forged.lines().all(|line| line.starts_with("[keystart] ERROR ") && line.len() == 18), "{forged}");
        let json = lines(Level::Warn, "a\n\"b\"", "", true);
        assert!(
            json.ends_with(
                "\"level\": \"WARN\", \"logger\": \"keystart\", \"message\": \"[keystart] a\\n\\\"b\\\"\"}\n"
            ),
            "{json}"
        );
    }

    #[test]
    fn members_follow_the_message_in_json_and_are_nowhere_in_text() {
        let members = written(&[("event", Fact::Text("a\"b\n")), ("generation", Fact::Number(7))]);
        assert_eq!(members, ", \"event\": \"a\\\"b\\n\", \"generation\": 7");
        assert!(lines(Level::Info, "m", &members, true).ends_with(&format!("\"[keystart] m\"{members}}}\n")));
        assert_eq!(lines(Level::Info, "m", &members, false), "[keystart] INFO  m\n");
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
