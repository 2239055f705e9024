//! Finds files that were probably meant as the configuration, for messages.

use std::ffi::OsStr;
use std::path::Path;

use crate::shown::ENDINGS;

/// Keystart's own files, in the order in which they count.
pub(crate) const OWN: [&str; 3] = ["keystart.json", "keystart.yaml", "keystart.yml"];
/// How many files of a folder are looked at, and how many are named.
const LOOKED_AT: usize = 1000;
const SHOWN: usize = 3;

/// Returns sentences about files that were probably meant: those below a folder whose names look like
/// a configuration's, or which only have another ending than the `wanted` name.
pub(crate) fn misplaced(folder: &Path, wanted: Option<&OsStr>) -> String {
    let stem = wanted.and_then(|wanted| Path::new(wanted).file_stem());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(LOOKED_AT) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            let inside = OWN.iter().filter(|own| path.join(own).is_file()).map(|own| format!("{name}/{own}"));
            found.extend(inside.map(|inside| (inside, "move it up, or name it with KEYSTART_CONFIG")));
        } else if looks_like_one(&name) || stem.is_some_and(|stem| is_other_ending(&path, stem)) {
            let cure = match () {
                () if OWN.contains(&name.as_ref()) || wanted.is_some() => "name it there if it is meant",
                () if name.to_lowercase().contains(".json") => "rename it to keystart.json",
                () if name.to_lowercase().contains(".y") => "rename it to keystart.yaml",
                () => "write it as YAML into keystart.yaml",
            };
            found.push((name.into_owned(), cure));
        }
    }
    found.retain(|(name, _)| name.len() <= 64 && name.bytes().all(is_plain));
    found.sort();
    found.truncate(SHOWN);
    found.into_iter().map(|(name, cure)| format!(" There is {name}: {cure}.")).collect::<Vec<_>>().concat()
}

/// Returns whether a name is near those of Keystart's own files: `Keystart.yml`, `.keystart.yaml.txt`.
fn looks_like_one(name: &str) -> bool {
    let name = name.to_lowercase();
    let end = name.trim_start_matches(['.', '_']).strip_prefix("keystart");
    end.is_some_and(|end| [".json", ".y", ".toml"].iter().any(|ending| end.contains(ending)))
}

fn is_other_ending(path: &Path, stem: &OsStr) -> bool {
    path.file_stem() == Some(stem) && ENDINGS.iter().any(|ending| path.to_string_lossy().ends_with(ending))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._/-".contains(&byte)
}
