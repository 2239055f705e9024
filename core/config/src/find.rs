//! Finds a configuration: in the variables of a process, else in files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keystart_store::Options;
use keystart_store::errors::errno_name;
use rustix::fs::{FileType, lstat, stat};
use rustix::io::Errno;

use crate::document::Node;
use crate::files::{FileError, read_at_most};
use crate::misplaced::{OWN, misplaced};
use crate::plan::{Plan, VARIABLE};
use crate::problem::{Origin, Position, Problem, Problems};
use crate::reader::Reader;
use crate::shown::{self, ENDINGS};
use crate::typed::{NO_CHARACTER, Positions};
use crate::{json, pairs, settings, square, yaml};

const LARGEST_FILE: u64 = 262_144; // limits.toml: extension.configuration_bytes

/// The error is everything that is wrong with a configuration, in the order of the places.
type Result<T> = std::result::Result<T, Vec<Problem>>;

impl Reader<'_> {
    /// Reads the configuration of a process with these variables, from the places of docs/configuration.md in their order.
    pub fn find(&self, variable: impl Fn(&str) -> Option<OsString>, task_root: &Path) -> Result<Plan> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let store = variable("KEYSTART_DIR");
        if let Some(named) = variable("KEYSTART_CONFIG") {
            return self.file(&named_file(&named)?, store.as_deref());
        }
        if let Some(value) = variable(VARIABLE) {
            return pairs::read(&decoded(value.as_bytes()), *self);
        }
        let [json, yaml, short] = OWN.map(|name| task_root.join(name));
        if exists(&json)? {
            return self.file(&json, store.as_deref());
        }
        match (exists(&yaml)?, exists(&short)?) {
            (true, true) => {
                let what = "keystart.yaml lies beside it, and only one of them can count. Remove one.";
                return Err(wrong(what.to_owned(), Origin::whole(&shown(&short))));
            }
            (true, false) => return self.file(&yaml, store.as_deref()),
            (false, true) => return self.file(&short, store.as_deref()),
            (false, false) => {}
        }
        let square = task_root.join("config.yaml");
        if !exists(&square)? {
            return Err(nothing_found(task_root, "no such file"));
        }
        let bytes = read(&square)?;
        // Many functions have their own config.yaml. Without the word it is not Square's, and is
        // not even parsed.
        let word = square::KEY.as_bytes();
        if bytes.windows(word.len()).any(|window| window == word) {
            let root = parse(&bytes, &square)?;
            if matches!(&root, Node::Mapping(mapping) if square::is_square(mapping)) {
                return self.plan(&root, &square, store.as_deref());
            }
        }
        Err(nothing_found(task_root, &format!("it has no {}", square::KEY)))
    }

    /// Reads the value of the variable `KEYSTART_SECRETS`.
    pub fn variable(&self, value: &str) -> Result<Plan> {
        pairs::read(value, *self)
    }

    /// Reads one file: `.json`, `.yaml` or `.yml`, Keystart's own or Square's. `store` is the variable `KEYSTART_DIR`.
    pub fn file(&self, path: &Path, store: Option<&OsStr>) -> Result<Plan> {
        self.plan(&parse(&read(path)?, path)?, path, store)
    }

    fn plan(&self, root: &Node, path: &Path, store: Option<&OsStr>) -> Result<Plan> {
        let mut problems = Problems::new(shown(path));
        let file = path.to_string_lossy();
        let plan = match root {
            Node::Mapping(root) if square::is_square(root) => {
                let options = Options { env_dir: store.map(OsStr::as_bytes), ..Options::default() };
                // An invalid store in the variable is refused later, when the store is opened.
                let store = options.root().or_else(|_| Options::default().root()).unwrap_or_default();
                square::read(root, &file, Path::new(&store), *self, &mut problems)
            }
            root => settings::read(root, &file, *self, &mut problems),
        };
        problems.unless_any(plan)
    }
}

fn named_file(named: &OsString) -> Result<PathBuf> {
    let is_printable = |c: char| !c.is_control() && (c == ' ' || !c.is_whitespace());
    // Messages must not hold unprintable characters.
    let text = named.to_str().filter(|text| text.starts_with('/') && text.chars().all(is_printable));
    let wrong = |what: String| wrong(what, Origin::whole("KEYSTART_CONFIG"));
    let Some(text) = text else {
        return Err(wrong("It must be an absolute path of printable characters. Correct or unset it.".to_owned()));
    };
    let path = PathBuf::from(text);
    if exists(&path)? {
        return Ok(path);
    }
    let other = path.parent().map(|folder| misplaced(folder, path.file_name())).unwrap_or_default();
    Err(wrong(format!("There is no file {}. Correct or unset it.{other}", shown(&path))))
}

/// Returns whether anything lies at the path. Even a link that leads nowhere counts as the configuration.
fn exists(path: &Path) -> Result<bool> {
    match lstat(path) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(unreadable(path, errno)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |what: &str| wrong(what.to_owned(), Origin::whole(&shown(path)));
    let not_regular = || wrong("This is not a regular file. Put the configuration itself there.");
    let failed = |errno| unreadable(path, errno);
    match FileType::from_raw_mode(stat(path).map_err(failed)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(wrong("This is a folder. Put the configuration itself there.")),
        _ => return Err(not_regular()),
    }
    read_at_most(path, LARGEST_FILE).map_err(|error| match error {
        FileError::System(errno) => failed(errno),
        FileError::NotRegular => not_regular(),
        FileError::TooLarge => wrong(&format!(
            "The file has more than {} KiB. A configuration names secrets and holds none. Shorten it.",
            LARGEST_FILE / 1024
        )),
    })
}

fn parse(bytes: &[u8], path: &Path) -> Result<Node> {
    let file = shown(path);
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
    if !ending.as_deref().is_some_and(|ending| ENDINGS.contains(&ending)) {
        let why = "The name of a configuration must end in .json, .yaml or .yml.";
        return Err(wrong(why.to_owned(), Origin::whole(&file)));
    }
    let is_json = ending.as_deref() == Some(".json");
    let text = text(bytes, is_json).map_err(|(what, at)| wrong(what.to_owned(), Origin::at(&file, at)))?;
    if is_json { json::parse(text, &file) } else { yaml::parse(text, &file) }
}

fn text(bytes: &[u8], is_json: bool) -> std::result::Result<&str, (&'static str, Position)> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let why = "The file begins with a byte order mark. Save it as UTF-8 without one.";
        return Err((why, Position::START));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        ("The file is not UTF-8. Save it as UTF-8.", Positions::new(&valid).at(valid.len()))
    })?;
    let is_foreign = |c: char| match c {
        '\t' | '\n' | '\r' => false,
        // Line breaks in YAML 1.1, text in YAML 1.2.
        '\u{85}' | '\u{2028}' | '\u{2029}' => !is_json,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' => true,
        c => c.is_control(),
    };
    match text.find(is_foreign) {
        None => Ok(text),
        Some(at) => {
            let why = "A control character is not allowed here. Remove it.";
            Err((why, Positions::new(text).at(at)))
        }
    }
}

/// Returns the variable's value as text. A byte that is not UTF-8 becomes a character that no text may hold.
fn decoded(value: &[u8]) -> String {
    let mut text = String::new();
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| NO_CHARACTER));
    }
    text
}

fn nothing_found(task_root: &Path, square: &str) -> Vec<Problem> {
    let found = |name: &str| format!("{} (no such file), ", shown(&task_root.join(name)));
    let what = format!(
        "No configuration was found. Looked for: the variable KEYSTART_CONFIG (not set), the variable {VARIABLE} (not \
         set), {}{} ({square}). Put a keystart.yaml into the function's package, or set one of the variables.{}",
        OWN.map(found).concat(),
        shown(&task_root.join("config.yaml")),
        misplaced(task_root, None)
    );
    let yaml = shown(&task_root.join(OWN[1]));
    wrong(what, Origin::whole(yaml.strip_suffix("/keystart.yaml").unwrap_or(&yaml)))
}

fn unreadable(path: &Path, errno: Errno) -> Vec<Problem> {
    let what = match errno {
        Errno::NOENT if lstat(path).is_ok() => {
            "This is a symbolic link that leads nowhere. Put the configuration itself there.".to_owned()
        }
        Errno::NOENT | Errno::NOTDIR => "There is no such file. Correct the path.".to_owned(),
        Errno::LOOP => "Symbolic links form a loop here. Put the configuration itself there.".to_owned(),
        Errno::ACCESS => "The file cannot be read: EACCES. Let every user read it (chmod a+r) and enter its folders \
            (chmod a+rx), and package it again."
            .to_owned(),
        errno => format!("The file cannot be read: {}.", errno_name(errno)),
    };
    wrong(what, Origin::whole(&shown(path)))
}

fn shown(path: &Path) -> String {
    shown::path(&path.to_string_lossy())
}

fn wrong(message: String, origin: Origin) -> Vec<Problem> {
    vec![Problem::new(message, origin)]
}
