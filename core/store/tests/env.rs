//! The exec wrapper as a process (contract §10): what its program finds, and what it logs if it executes none.

#![expect(clippy::unwrap_used, reason = "the functions beside the tests belong to them")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use keystart_store::errors::Code;
use keystart_store::json::{self, Json};
use keystart_store::{Draft, Failure, Options, SecretBytes, Writer, manifest::Identity};
use tempfile::TempDir;

const WRAPPER: &str = env!("CARGO_BIN_EXE_keystart-env");
const LONGEST: usize = 131_072;

/// A store, and the wrapper in an environment that holds only the root.
struct Stage {
    folder: TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: vec![] }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn with(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((variable.into(), value.as_ref().to_owned()));
        self
    }

    fn writer(&self) -> Writer {
        let root = self.path("store");
        let options = Options { root: Some(root.as_bytes()), ..Options::default() };
        let open = || Writer::open(&options, Identity { name: "test".into(), version: "0".into() });
        // A process that another test starts holds the lock of a dropped writer until it executes.
        for _ in 0..1000 {
            match open() {
                Err(error) if error.code() == Code::StoreLocked => thread::sleep(Duration::from_millis(1)),
                writer => return writer.unwrap(),
            }
        }
        open().unwrap()
    }

    /// Publishes secrets. Each goes into the variable before it.
    fn publish(&self, secrets: &[(&str, &str, &[u8])]) -> Writer {
        let mut writer = self.writer();
        draft(secrets, false).publish(&mut writer).unwrap();
        writer
    }

    fn command(&self) -> Command {
        let mut command = Command::new(WRAPPER);
        command.env_clear().env("KEYSTART_DIR", self.path("store")).env("KEYSTART_TIMEOUT_MS", "0");
        command.envs(self.variables.iter().cloned());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Returns the program's environment except the root's variable, and what the wrapper logs.
    fn environment(&self) -> (BTreeMap<String, Vec<u8>>, String) {
        let Output { status, stdout, stderr } = self.run(&["/usr/bin/env", "-0"]);
        assert!(status.success(), "{}", text(&stderr));
        let all = stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(|line| {
            let at = line.iter().position(|byte| *byte == b'=').unwrap();
            (text(&line[..at]), line[at + 1..].to_vec())
        });
        (all.filter(|(name, _)| !name.starts_with("KEYSTART_")).collect(), text(&stderr))
    }

    /// Returns what the wrapper logs if it executes nothing, and its exit code.
    fn refused(&self) -> (i32, String) {
        let proof = self.path("executed");
        let Output { status, stdout, stderr } = self.run(&["/bin/touch", &proof]);
        assert!(!fs::exists(&proof).unwrap(), "the program was executed");
        assert!(stdout.is_empty());
        (status.code().unwrap(), text(&stderr))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn draft(secrets: &[(&str, &str, &[u8])], overwrite: bool) -> Draft {
    let entry = br#"{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
        "source": {"provider": "test", "id": "x"}}"#;
    let entry = json::parse(entry).unwrap();
    let mut draft = Draft::new();
    for (variable, name, value) in secrets {
        draft.add(name, SecretBytes::from(*value), &entry).unwrap();
        draft.assign(variable, name, overwrite).unwrap();
    }
    draft
}

/// Returns bytes that appear nowhere else.
fn canary() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("canary-{}-{}", std::process::id(), now.as_nanos())
}

fn line(level: &str, message: &str) -> String {
    format!("[keystart] {level:5} {message}\n")
}

#[test]
fn every_value_arrives_byte_for_byte() {
    let stage = Stage::new();
    let (canary, planted) = (canary(), stage.path("planted"));
    let no_shell = format!("$(touch {planted})`touch {planted}`; touch {planted} & {canary}");
    let values: Vec<Vec<u8>> = vec![
        canary.clone().into_bytes(),
        format!("{canary}\n\r\n\t two\nlines\n").into_bytes(),
        format!("'{canary}' \"{canary}\" \\ \\n \\0 $HOME ${{HOME}} %s * ~ # !").into_bytes(),
        format!("=A==B={canary}=").into_bytes(),
        no_shell.into_bytes(),
        (1..=255).chain(canary.bytes()).chain([0xC0, 0x80, 0xFF]).collect(),
        vec![],
        canary.bytes().cycle().take(LONGEST - "S_7=".len() - 1).collect(),
    ];
    let names: Vec<(String, String)> = (0..values.len()).map(|i| (format!("S_{i}"), format!("some/s{i}"))).collect();
    let secrets: Vec<(&str, &str, &[u8])> =
        names.iter().zip(&values).map(|((variable, name), value)| (&**variable, &**name, &**value)).collect();
    let _writer = stage.publish(&secrets);
    let (found, said) = stage.environment();
    for (i, value) in values.iter().enumerate() {
        assert!(found.get(&format!("S_{i}")) == Some(value), "value {i} is not what was published");
    }
    assert_eq!(found.len(), values.len());
    assert!(!fs::exists(planted).unwrap(), "a shell has read the value");
    assert_eq!(said, line("INFO", "set from secrets: S_0, S_1, S_2, S_3, S_4, S_5, S_6, S_7"));
}

/// Runs the wrapper with `--wait`, and `later` while it waits. Returns what its program prints and what it logs.
fn waiting(stage: &Stage, seconds: &str, later: impl FnOnce(&Stage)) -> (String, String) {
    let mut command = stage.command();
    command.args(["--wait", seconds, "/usr/bin/printenv", "TOKEN"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    thread::sleep(Duration::from_millis(200));
    later(stage);
    let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
    (text(&stdout), text(&stderr))
}

#[test]
fn another_extension_waits_for_a_store_that_does_not_exist_yet() {
    let stage = Stage::new();
    let (found, _) = waiting(&stage, "60", |stage| drop(stage.publish(&[("TOKEN", "apm/token", b"t")])));
    assert_eq!(found, "t\n");
}

#[test]
fn another_extension_does_not_take_what_an_earlier_start_left() {
    let stage = Stage::new();
    stage.writer().fail("An earlier start failed.", BTreeMap::new()).unwrap();
    let (found, _) = waiting(&stage, "60", |stage| drop(stage.publish(&[("TOKEN", "apm/token", b"t")])));
    assert_eq!(found, "t\n");
}

#[test]
fn a_wait_that_is_over_ends_with_the_error_of_the_store() {
    let (found, said) = waiting(&Stage::new(), "1", |_| {});
    assert_eq!(found, "");
    assert!(said.starts_with("[keystart] ERROR The runtime is not started: not_attached: "), "{said}");
}

#[test]
fn a_wait_that_is_none_is_wrong_use() {
    for wait in [&["--wait"][..], &["--wait", "0", "true"], &["--wait", "901", "true"], &["--wait", "1s", "true"]] {
        assert_eq!(Stage::new().run(wait).status.code(), Some(2), "{wait:?}");
    }
}

#[test]
fn the_program_gets_its_arguments_and_what_was_in_the_environment() {
    let odd = OsString::from_vec(b"\xff a=b\n".to_vec());
    let stage = Stage::new().with("ODD", &odd).with("EMPTY", "").with("PATH", "/usr/bin:/bin");
    let _writer = stage.publish(&[("DB", "db", b"x")]);
    let (found, _) = stage.environment();
    let expected = [("DB", &b"x"[..]), ("EMPTY", b""), ("ODD", odd.as_bytes()), ("PATH", b"/usr/bin:/bin")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_vec())).into());
    // Found on PATH, as execvp does it.
    let output = stage.command().args(["printf", "%s|", "--help", "", "$DB", "a b"]).arg(&odd).output().unwrap();
    assert_eq!(output.stdout, b"--help||$DB|a b|\xff a=b\n|");
}

#[test]
fn a_variable_that_is_there_stays_unless_it_is_to_be_replaced() {
    let stage = Stage::new().with("ONE", "theirs").with("TWO", "").with("AWS_LAMBDA_LOG_LEVEL", "WARN");
    let mut writer = stage.publish(&[("ONE", "a/one", b"ours"), ("TWO", "two", b"ours"), ("THREE", "three", b"ours")]);
    let (found, said) = stage.environment();
    assert_eq!((&found["ONE"][..], &found["TWO"][..], &found["THREE"][..]), (&b"theirs"[..], &b""[..], &b"ours"[..]));
    let stays = |variable: &str, secret: &str| {
        line(
            "WARN",
            &format!(
                "{variable} is set already and stays as it is; the secret \"{secret}\" does not go there. Remove the variable from \
             the function, or let env_overwrite: true replace it."
            ),
        )
    };
    assert_eq!(said, stays("ONE", "a/one") + &stays("TWO", "two"));

    draft(&[("ONE", "a/one", b"ours"), ("TWO", "two", b"ours")], true).publish(&mut writer).unwrap();
    let (found, said) = stage.environment();
    assert_eq!((&found["ONE"][..], &found["TWO"][..]), (&b"ours"[..], &b"ours"[..]));
    assert_eq!(said, "");
}

#[test]
fn an_optional_secret_that_is_unavailable_leaves_its_variable_as_it_was() {
    let stage = Stage::new().with("THERE", "theirs");
    let mut writer = stage.writer();
    let mut draft = draft(&[("DB", "db", b"x")], true);
    for (variable, name) in [("FLAGS", "flags"), ("THERE", "there")] {
        draft.mark_unavailable(name, Failure::new("ResourceNotFoundException", "no such secret")).unwrap();
        draft.assign(variable, name, true).unwrap();
    }
    draft.publish(&mut writer).unwrap();
    let (found, said) = stage.environment();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["DB", "THERE"]);
    assert_eq!(found["THERE"], b"theirs");
    let missing = |variable: &str, name: &str| {
        line(
            "WARN",
            &format!(
                "{variable} is not set by Keystart: The secret \"{name}\" is not available: the optional entry \"{name}\" could not be \
             fetched: ResourceNotFoundException: no such secret"
            ),
        )
    };
    assert_eq!(said, missing("FLAGS", "flags") + &missing("THERE", "there") + &line("INFO", "set from secrets: DB"));
}

#[test]
fn a_value_that_no_variable_can_hold_is_refused_by_its_name() {
    let stage = Stage::new().with("TAKEN", "theirs");
    let canary = canary();
    let nul = format!("{canary}\0{canary}").into_bytes();
    let long: Vec<u8> = canary.bytes().cycle().take(LONGEST - "BIG=".len()).collect();
    let _writer = stage.publish(&[
        ("BIG", "long", &long),
        ("GOOD", "good", b"x"),
        ("NUL", "tls/keytab", &nul),
        ("TAKEN", "n", &nul),
    ]);
    let (code, said) = stage.refused();
    assert_eq!(code, 1);
    let lines: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "[keystart] ERROR The runtime is not started:",
            "[keystart] ERROR The secret \"long\" is too long for a variable: BIG would take 131073 bytes, and Linux allows \
             131072. Remove its env: and read it by its name.",
            "[keystart] ERROR The secret \"tls/keytab\" holds a NUL byte, which no variable can: NUL cannot be set. Remove its \
             env: and read it as bytes.",
        ]
    );
    assert!(!said.contains(&canary), "a value is shown");
}

#[test]
fn too_much_for_an_environment_names_the_longest_secret() {
    let stage = Stage::new();
    let value = vec![b'x'; 100_000];
    let _writer = stage.publish(&[("ONE", "one", &value), ("TWO", "two/long", &[&value[..], b"x"].concat())]);
    // The limit of the stack is four times that of the environment.
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", r#"ulimit -s 512; exec "$0" /bin/true"#, WRAPPER])
        .env_clear()
        .env("KEYSTART_DIR", stage.path("store"));
    let Output { status, stderr, .. } = shell.output().unwrap();
    assert_eq!(status.code(), Some(126));
    let expected = "The runtime \"/bin/true\" cannot be executed: all variables and arguments together are longer than Linux \
                    takes; the longest secret among them is \"two/long\" in TWO.";
    assert_eq!(text(&stderr), line("INFO", "set from secrets: ONE, TWO") + &line("ERROR", expected));
}

#[test]
fn a_store_that_cannot_be_read_ends_the_start_with_its_reason() {
    let stage = Stage::new();
    let refused = |code: &str, what: &str| {
        let (status, said) = stage.refused();
        let begin = line("ERROR", &format!("The runtime is not started: {code}: {what}"));
        assert_eq!((status, said.starts_with(begin.trim_end())), (1, true), "{said}");
        said
    };
    let root = stage.path("store");
    let said = refused("not_attached", &format!("There is no store at {root}. Attach the Keystart extension"));
    assert!(said.trim_end().ends_with("To start another extension, write --wait SECONDS before it."), "{said}");
    let mut writer = stage.writer();
    refused("not_ready", &format!("The store at {root} was not ready after 0 ms."));
    let why = Failure::new("AccessDenied", "no");
    writer.fail("Required secrets could not be fetched.", [("db".to_owned(), why)].into()).unwrap();
    let said = refused("prefetch_failed", "The extension could not publish the secrets: Required secrets");
    assert!(said.ends_with("[keystart] ERROR   - \"db\": AccessDenied: no\n"), "{said}");
    drop(writer);

    let _writer = stage.publish(&[("DB", "db", b"x")]);
    let manifest = stage.path("store/generations/1/manifest.json");
    let good = fs::read_to_string(&manifest).unwrap();
    let rewrite = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        fs::write(&manifest, good.replace(from, to)).unwrap();
    };
    rewrite(r#""DB":{"#, r#""D-B":{"#);
    refused("manifest_invalid", "The manifest of generation 1 is not valid: a name under env is not valid.");
    rewrite(r#""secret":"db""#, r#""secret":"dc""#);
    refused("secret_not_found", "There is no secret \"dc\" in the store. Did you mean \"db\"?");
    fs::write(&manifest, &good).unwrap();
    fs::remove_file(stage.path("store/generations/1/secrets/db")).unwrap();
    refused("secret_corrupt", "The secret \"db\" is damaged in generation 1: its file is missing.");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    refused("layout_insecure", &format!("The store at {root} is not safe to read: the root is writable by"));
    let wrong = stage.command().env("KEYSTART_TIMEOUT_MS", "soon").arg("/bin/true").output().unwrap();
    let expected =
        "[keystart] ERROR The runtime is not started: invalid_option: KEYSTART_TIMEOUT_MS must be 1 to 9 digits";
    assert!(text(&wrong.stderr).starts_with(expected));
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn the_program_starts_when_the_secrets_are_there() {
    let stage = Stage::new().with("KEYSTART_TIMEOUT_MS", "20000");
    let mut writer = stage.writer();
    let (found, _) = thread::scope(|scope| {
        let wrapper = scope.spawn(|| stage.environment());
        thread::sleep(Duration::from_millis(50));
        assert!(!wrapper.is_finished());
        draft(&[("DB", "db", b"late")], false).publish(&mut writer).unwrap();
        wrapper.join().unwrap()
    });
    assert_eq!(found["DB"], b"late");
}

#[test]
fn the_secrets_of_one_start_are_of_one_generation() {
    let stage = Stage::new().with("KEYSTART_TIMEOUT_MS", "20000");
    let mut writer = stage.publish(&[("CERT", "tls/cert", b"0"), ("KEY", "tls/key", b"0")]);
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            for set in 1.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let value = format!("{set}");
                let pair = [("CERT", "tls/cert", value.as_bytes()), ("KEY", "tls/key", value.as_bytes())];
                draft(&pair, false).publish(&mut writer).unwrap();
            }
        });
        let seen: Vec<_> = (0..30).map(|_| stage.environment().0).collect();
        done.store(true, Ordering::Relaxed);
        seen
    });
    assert!(seen.iter().all(|found| found["CERT"] == found["KEY"]), "a start has seen two generations");
    assert_ne!(seen[0]["KEY"], seen[29]["KEY"]);
}

#[test]
fn a_writer_that_fails_while_the_wrapper_waits_ends_the_start_at_once() {
    let stage = Stage::new();
    let _writer = stage.writer();
    // So long that a wrapper that waits for its timeout never ends.
    let mut command = stage.command();
    command.env("KEYSTART_TIMEOUT_MS", "999999999").arg("/bin/true").stderr(Stdio::piped());
    let wrapper = command.spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    let failed = r#"{"format": "keystart.state/1", "state": "failed", "message": "It crashed.", "failures": {}}"#;
    fs::write(stage.path("store/.state.json"), failed).unwrap();
    fs::rename(stage.path("store/.state.json"), stage.path("store/state.json")).unwrap();
    let ended = wrapper.wait_with_output().unwrap();
    let expected =
        "The runtime is not started: prefetch_failed: The extension could not publish the secrets: It crashed.";
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(1), line("ERROR", expected)));
}

#[test]
fn a_root_that_is_not_utf_8_is_refused_by_its_name() {
    let stage = Stage::new();
    let ended = stage.command().env("KEYSTART_DIR", OsStr::from_bytes(b"/tmp/\xff")).arg("/bin/true").output().unwrap();
    let expected =
        "The runtime is not started: invalid_option: KEYSTART_DIR must be a path in UTF-8. Correct or unset it.";
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(1), line("ERROR", expected)));
}

#[test]
fn a_program_that_cannot_be_executed_is_reported_as_a_shell_does() {
    let stage = Stage::new();
    let _writer = stage.publish(&[("DB", "db", b"x")]);
    let plain = stage.path("plain");
    fs::write(&plain, "").unwrap();
    for (program, code, what) in [
        (&stage.path("absent"), 127, "it was not found"),
        (&"keystart-no-such-program".to_owned(), 127, "it was not found"),
        (&plain, 126, "permission denied"),
    ] {
        let Output { status, stderr, .. } = stage.run(&[program]);
        let expected = line("ERROR", &format!("The runtime \"{program}\" cannot be executed: {what}."));
        assert_eq!((status.code(), text(&stderr).ends_with(&expected)), (Some(code), true), "{}", text(&stderr));
    }
}

#[test]
fn help_and_version_need_no_store_and_wrong_use_is_reported() {
    let stage = Stage::new();
    let version = stage.run(&["--version"]);
    assert_eq!((version.status.code(), text(&version.stdout)), (Some(0), "keystart-env 0.1.0\n".to_owned()));
    let help = stage.run(&["--help"]);
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
    assert!(text(&help.stdout).starts_with("usage: keystart-env [--wait SECONDS] PROGRAM"));
    for wrong in [&[][..], &["--overwrite"], &["-0", "/bin/true"], &[""]] {
        let Output { status, stdout, stderr } = stage.run(wrong);
        assert_eq!((status.code(), stdout.len(), stderr), (Some(2), 0, help.stdout.clone()));
    }
}

#[test]
fn a_store_without_variables_is_not_an_error_and_is_logged() {
    let stage = Stage::new();
    let mut writer = stage.writer();
    Draft::new().publish(&mut writer).unwrap();
    let (found, said) = stage.environment();
    assert_eq!(found, BTreeMap::new());
    let expected = "No secret asks for a variable, so keystart-env sets none. Write env: at one, or unset \
                    AWS_LAMBDA_EXEC_WRAPPER.";
    assert_eq!(said, line("WARN", expected));
}

#[test]
fn no_level_hides_the_reason_why_the_runtime_is_not_started() {
    for level in ["ERROR", "fatal"] {
        let stage = Stage::new().with("KEYSTART_LOG_LEVEL", level);
        let _writer = stage.publish(&[("DB", "db", b"x\0")]);
        let (code, said) = stage.refused();
        assert!(code == 1 && said.starts_with("[keystart] ERROR The runtime is not started:"), "{said}");
    }
}

#[test]
fn lines_are_json_where_lambda_is_set_so() {
    let stage = Stage::new().with("AWS_LAMBDA_LOG_FORMAT", "JSON").with("KEYSTART_LOG_LEVEL", "error");
    let _writer = stage.publish(&[("DB", "db", b"x\0")]);
    let (code, said) = stage.refused();
    assert_eq!((code, said.lines().count()), (1, 1));
    let record = json::parse(said.trim_end().as_bytes()).unwrap();
    assert_eq!(record.get("level").and_then(Json::as_str), Some("ERROR"));
    assert_eq!(record.get("logger").and_then(Json::as_str), Some("keystart"));
    assert!(record.get("timestamp").and_then(Json::as_str).is_some_and(|at| keystart_store::time::parse(at).is_some()));
    let message = record.get("message").and_then(Json::as_str).unwrap();
    assert!(
        message.starts_with("[keystart] The runtime is not started:\nThe secret \"db\" holds a NUL byte"),
        "{message}"
    );
}

/// Returns a stream that takes nothing more and that nobody reads.
fn full_stream() -> (UnixStream, UnixStream) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    writer.set_nonblocking(false).unwrap();
    (reader, writer)
}

#[test]
fn a_log_that_takes_nothing_does_not_keep_the_runtime() {
    let stage = Stage::new();
    let _writer = stage.publish(&[("DB", "db", b"value")]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (_reader, stream) = full_stream();
    let (gone, closed) = UnixStream::pair().unwrap();
    drop(gone);
    for stderr in [Stdio::from(full), OwnedFd::from(stream).into(), OwnedFd::from(closed).into()] {
        let ended = stage.command().args(["/usr/bin/printenv", "DB"]).stderr(stderr).output().unwrap();
        assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(0), "value\n"));
    }
}

#[test]
fn no_file_gets_the_number_of_a_stream_that_is_closed() {
    let stage = Stage::new();
    let _writer = stage.publish(&[("DB", "db", b"value")]);
    let proof = stage.path("streams");
    let look = format!("readlink /proc/self/fd/2 > {proof}");
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("KEYSTART_DIR", stage.path("store"));
    command.args(["-c", "exec \"$0\" /bin/sh -c \"$1\" 2>&-", WRAPPER, &look]);
    assert!(command.status().unwrap().success());
    assert_eq!(fs::read_to_string(proof).unwrap(), "/dev/null\n");
}
