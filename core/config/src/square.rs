//! Reads the config.yaml of Square's extension as Square's program does. It makes no links.

use std::path::{Component, Path, PathBuf};

use keystart_store::name;

use crate::arn;
use crate::document::{Mapping, Node, Scalar};
use crate::entries::{check_together, refuse_name, repeated, short};
use crate::plan::{Entry, Link, Plan, Start};
use crate::problem::Problems;
use crate::reader::Reader;
use crate::references::resolve;
use crate::shown::{IN_BASE64, Place, is_certain, quote};
use crate::typed::{found, is_nothing, mapping, plain_text, refuse_unknown, sequence};

/// The key at the beginning of Square's file.
pub(crate) const KEY: &str = "SecretManagers";
/// Square documents the first; their program reads only the second.
const HOMES: [&str; 2] = ["SecretsHome", "secretshome"];
/// The characters of a path that is certainly no secret.
const CHARACTERS: &str = "letters, digits and \"/_.@+!,~-\", or \"=\" before a letter or digit";
const DEFAULT_HOME: &str = "/tmp/secrets";

/// Returns whether a document is Square's. Other keys next to theirs may belong to the function.
pub(crate) fn is_square(root: &Mapping) -> bool {
    let has = |key| root.named(key).is_some();
    has(KEY) && !(has("version") && has("secrets"))
}

/// Reads a document of Square's form. Use the plan only if no problem was found. `store` is an absolute path.
pub(crate) fn read(root: &Mapping, file: &str, store: &Path, reader: Reader, problems: &mut Problems) -> Plan {
    let home = read_home(root, problems);
    let (entries, links): (Vec<Entry>, Vec<Link>) = read_managers(root, reader, problems).into_iter().unzip();
    refuse_merged(&entries, &links, problems);
    check_together(&entries, problems);
    let store = normal(store);
    for (entry, link) in entries.iter().zip(&links) {
        let path = normal(Path::new(&format!("{home}/{}", link.path)));
        if path.starts_with(&store) || store.starts_with(&path) {
            let path = quote(&link.path);
            let why = "would lie in the store itself. Choose another SecretsHome or file name.";
            problems.add(format!("The file {path} {why}"), entry.position());
        }
    }
    Plan {
        start: Start::Before, // their functions read the files at import
        links,
        links_home: Some(if home.is_empty() { "/".to_owned() } else { home }),
        ..Plan::of_secrets(entries, file)
    }
}

fn read_home(root: &Mapping, problems: &mut Problems) -> String {
    let mut homes: Vec<(&Scalar, &str)> = Vec::new();
    for (key, node) in &root.members {
        let name = key.text.as_str();
        if HOMES.contains(&name) {
            let Some(home) = text(Some(node), &format!("\"{name}\""), problems) else {
                continue;
            };
            let bare = home.trim_end_matches('/');
            if !home.starts_with('/') {
                let what = found(node, &[]);
                problems.add(format!("\"{name}\" must be an absolute path, found {what}."), node.position());
            } else if !bare.is_empty() && !is_certain(bare, Place::Path, &[]) {
                problems.add(format!("\"{name}\" must be a path of {CHARACTERS}."), node.position());
            } else {
                homes.push((key, bare));
            }
        } else if name.eq_ignore_ascii_case(HOMES[1]) {
            let name = quote(name);
            problems.add(format!("Square's extension has no key {name}. Did you mean \"SecretsHome\"?"), key.position);
        }
    }
    if let [(first, home), (second, other)] = homes[..]
        && home != other
    {
        let place = first.position;
        problems.add(
            format!("\"{}\" is not the same as \"{}\" ({place}). Keep one of them.", second.text, first.text),
            second.position,
        );
    }
    homes.first().map_or(DEFAULT_HOME, |(_, home)| home).to_owned()
}

fn read_managers(root: &Mapping, reader: Reader, problems: &mut Problems) -> Vec<(Entry, Link)> {
    let reported = problems.count();
    let managers = root.get(KEY);
    let (mut read, mut is_empty) = (Vec::new(), true);
    for manager in items(managers, &format!("\"{KEY}\""), problems) {
        let Some(members) = mapping(manager, &format!("An item of \"{KEY}\""), problems) else {
            continue;
        };
        refuse_unknown(members, &format!("An item of \"{KEY}\""), &["prefix", "secrets"], &[], |_| None, problems);
        let prefix = text(members.get("prefix"), "\"prefix\"", problems).unwrap_or_default();
        if prefix.ends_with('=') {
            problems.add(format!("\"prefix\" ends in \"=\". {IN_BASE64}"), members.position);
        }
        // A wrong beginning of an ARN is reported once, here, and not at each secret.
        let is_arn = |prefix: &&str| arn::service(prefix).is_some();
        let flaw = match resolve(prefix, reader.values) {
            Ok(resolved) => Some(resolved.as_ref()).filter(is_arn).and_then(arn::flaw),
            Err(why) => Some(why),
        };
        let prefix = match (flaw, members.get("prefix")) {
            (Some(flaw), Some(node)) => {
                problems.add(format!("\"prefix\": {flaw}"), node.position());
                ""
            }
            _ => prefix,
        };
        for secret in items(members.get("secrets"), "\"secrets\"", problems) {
            is_empty = false;
            read.extend(read_secret(prefix, secret, reader, problems));
        }
    }
    if is_empty && problems.count() == reported {
        let position = managers.map_or(root.position, Node::position);
        problems.add("There are no secrets. Name at least one.", position);
    }
    read
}

fn read_secret(prefix: &str, node: &Node, reader: Reader, problems: &mut Problems) -> Option<(Entry, Link)> {
    let secret = mapping(node, "An item of \"secrets\"", problems)?;
    let reported = problems.count();
    refuse_unknown(secret, "An item of \"secrets\"", &["secretname", "filename"], &[], |_| None, problems);
    let secretname = text(secret.get("secretname"), "\"secretname\"", problems);
    let filename = text(secret.get("filename"), "\"filename\"", problems).or(secretname);
    if problems.count() > reported {
        return None;
    }
    let position = secret.position;
    let (Some(secretname), Some(filename)) = (secretname, filename) else {
        problems.add("\"secretname\" is missing.", position);
        return None;
    };
    let context = reader.context(None);
    let (name, id) = (stored_name(filename), format!("{prefix}{secretname}"));
    let entry = short(Some(&name), &id, context, (position, position), "", problems);
    if filename.split('/').any(|segment| ["", ".", ".."].contains(&segment)) {
        problems.add(
            "The file name is not a path inside the folder of secrets. Give one that is relative, without \".\" and \
             \"..\", and without empty parts.",
            position,
        );
        return None;
    }
    if !is_certain(filename, Place::Path, &[]) {
        // Its name in the store would show most of the text.
        problems.add(format!("The file name must be of {CHARACTERS}."), position);
        return None;
    }
    let entry = entry?;
    if !name::is_valid(name.as_bytes()) {
        refuse_name(&name, "The file's name names a secret too. ", position, problems);
        return None;
    }
    Some((entry, Link { name, path: filename.to_owned() }))
}

/// Returns the file's name with `_` for each byte that a secret's name cannot have, and for a dot
/// or dash at the beginning of a segment.
fn stored_name(filename: &str) -> String {
    let mut name = String::new();
    for byte in filename.bytes() {
        let is_front = name.is_empty() || name.ends_with('/');
        let stays = byte.is_ascii_alphanumeric() || b"_/".contains(&byte) || (b".-".contains(&byte) && !is_front);
        name.push(if stays { char::from(byte) } else { '_' });
    }
    name
}

fn refuse_merged(entries: &[Entry], links: &[Link], problems: &mut Problems) {
    for (first, again) in repeated(entries.iter().map(|entry| Some(entry.name.as_str()))) {
        let place = entries[first].position();
        let (other, path, name) = (quote(&links[first].path), quote(&links[again].path), quote(&entries[again].name));
        problems.add(
            format!("The files {other} ({place}) and {path} are both stored as {name}. Rename one of them."),
            entries[again].position(),
        );
    }
}

/// Returns an absolute path without "." and "..". It assumes that no part is a link.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// Reads a list. A missing one is empty, as in Square's program.
fn items<'a>(node: Option<&'a Node>, what: &str, problems: &mut Problems) -> &'a [Node] {
    match node {
        Some(node) if !is_nothing(node) => sequence(node, what, problems),
        _ => &[],
    }
}

/// Reads a text as Square's program does: as it was written, `0123` too. Null and "" count as missing.
fn text<'a>(node: Option<&'a Node>, what: &str, problems: &mut Problems) -> Option<&'a str> {
    match node? {
        node if is_nothing(node) => None,
        Node::Scalar(scalar) if scalar.text.is_empty() => None,
        Node::Scalar(scalar) => plain_text(scalar, what, problems),
        node => {
            problems.add(format!("{what} must be text, found {}.", found(node, &[])), node.position());
            None
        }
    }
}
