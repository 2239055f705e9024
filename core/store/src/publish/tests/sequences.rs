//! Random sequences of all that a writer does, against a model of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The entries, and the secrets that each brings.
const ENTRIES: [(&str, &[&str]); 2] = [("tls", &["tls/cert", "tls/key"]), ("db", &["db"])];

type Versions = BTreeMap<&'static str, u8>;

#[derive(Debug, Clone)]
enum Act {
    Publish(Versions),
    Refresh(Versions),
    Candidate(Versions),
    /// One of the candidates so far, counted from the last.
    Accept(usize),
    Refused(usize),
    Collect,
    /// Time passes until nothing is young any more, and then the writer collects.
    Age,
    /// The writer ends without a word, and another one takes over.
    Restart(Versions),
}

/// What a writer must have on the disk.
#[derive(Default)]
struct Model {
    published: Versions,
    current: u64,
    last: u64,
    /// By entry, the version that stays unpublished because another was accepted.
    superseded: Versions,
    /// The candidates, and whether they can be accepted.
    candidates: Vec<(u64, Versions, bool)>,
    /// What each generation holds, by number.
    contents: BTreeMap<u64, Versions>,
}

fn all() -> impl Strategy<Value = Versions> {
    (0..3_u8, 0..3_u8).prop_map(|(tls, db)| [("tls", tls), ("db", db)].into())
}

fn some() -> impl Strategy<Value = Versions> {
    let version = || proptest::option::of(0..3_u8);
    (version(), version()).prop_map(|(tls, db)| {
        [("tls", tls), ("db", db)].into_iter().filter_map(|(entry, version)| Some((entry, version?))).collect()
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => all().prop_map(Act::Publish),
        4 => some().prop_map(Act::Refresh),
        4 => some().prop_map(Act::Candidate),
        4 => (0..3_usize).prop_map(Act::Accept),
        1 => (0..2_usize).prop_map(Act::Refused),
        1 => Just(Act::Collect),
        1 => Just(Act::Age),
        1 => all().prop_map(Act::Restart),
    ]
}

fn draft_of(versions: &Versions) -> Draft {
    let mut draft = Draft::new();
    for (entry, version) in versions {
        let text = format!(
            r#"{{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
                "source": {{"provider": "test", "id": "{entry}", "version_id": "{version}"}}}}"#
        );
        let secrets = ENTRIES.iter().find(|(name, _)| name == entry).unwrap().1;
        for name in secrets {
            let value = SecretBytes::from(format!("{version}").as_bytes());
            draft.add(name, value, &json::parse(text.as_bytes()).unwrap()).unwrap();
        }
        draft.cover(entry).unwrap();
    }
    draft
}

fn opened(root: &str) -> Writer {
    let mut writer = open(root).unwrap();
    let entries = ENTRIES.map(|(entry, _)| (entry.to_owned(), true)).into();
    writer.watch(Watch { entries, max_stale: None });
    writer
}

impl Model {
    /// Notes a generation, and returns its number: always a new one.
    fn add(&mut self, contents: Versions) -> u64 {
        self.last += 1;
        self.contents.insert(self.last, contents);
        self.last
    }

    fn publish(&mut self, versions: Versions) -> u64 {
        let changed: BTreeSet<&str> = versions
            .iter()
            .filter(|(entry, version)| self.published.get(*entry) != Some(version))
            .map(|(entry, _)| *entry)
            .collect();
        for (_, entries, can_be_accepted) in &mut self.candidates {
            *can_be_accepted &= entries.keys().all(|entry| !changed.contains(entry));
        }
        self.published.extend(versions);
        self.current = self.add(self.published.clone());
        self.current
    }

    fn publish_all(&mut self, versions: Versions) -> u64 {
        self.superseded.clear();
        self.candidates.iter_mut().for_each(|(_, _, can_be_accepted)| *can_be_accepted = false);
        self.publish(versions)
    }

    /// Returns the number of the new generation, if one is published.
    fn refresh(&mut self, mut versions: Versions) -> Option<u64> {
        versions.retain(|entry, version| self.superseded.get(entry) != Some(version));
        self.superseded.retain(|entry, _| !versions.contains_key(entry));
        let changes = versions.iter().any(|(entry, version)| self.published[entry] != *version);
        changes.then(|| self.publish(versions))
    }

    fn candidate(&mut self, versions: &Versions) -> Option<u64> {
        if versions.iter().all(|(entry, version)| self.published[entry] == *version) {
            return None;
        }
        let same = self.candidates.iter().find(|(_, known, can_be_accepted)| *can_be_accepted && known == versions);
        if let Some((number, ..)) = same {
            return Some(*number);
        }
        let mut contents = self.published.clone();
        contents.extend(versions.clone());
        let number = self.add(contents);
        self.candidates.push((number, versions.clone(), true));
        Some(number)
    }

    fn accept(&mut self, candidate: u64) -> Option<u64> {
        let (_, versions, can_be_accepted) = self.candidates.iter_mut().find(|(number, ..)| *number == candidate)?;
        if !std::mem::replace(can_be_accepted, false) {
            return None;
        }
        let versions = versions.clone();
        for entry in versions.keys() {
            self.superseded.entry(entry).or_insert(self.published[entry]);
        }
        // Also what did not change counts as published.
        for (_, entries, can_be_accepted) in &mut self.candidates {
            *can_be_accepted &= entries.keys().all(|entry| !versions.contains_key(entry));
        }
        Some(self.publish(versions))
    }

    /// Checks all that is on the disk.
    fn check(&self, root: &str, writer: &Writer) {
        let store = Store::open(&options(root)).unwrap();
        assert_eq!(writer.published(), Some(self.current));
        assert_eq!(versions_in(&store.snapshot().unwrap()), self.published, "readers see the published set, whole");
        let found = numbers_in(root);
        assert!(found.contains(&self.current));
        for number in &found {
            assert_eq!(versions_in(&store.snapshot_of(*number).unwrap()), self.contents[number], "{number} changed");
        }
        for (number, _, can_be_accepted) in &self.candidates {
            assert!(!can_be_accepted || found.contains(number), "the candidate {number} is gone too soon");
        }
        assert_eq!(names_in(format!("{root}/generations")).len(), found.len(), "nothing is half removed");
        assert_eq!(state(root)["generation"], self.last, "no number is forgotten");
    }
}

/// Returns the version of each entry, whose secrets must all be of one.
fn versions_in(snapshot: &Store) -> Versions {
    let version = |(entry, secrets): (&'static str, &[&str])| {
        let versions: BTreeSet<String> = secrets.iter().map(|name| read(snapshot, name).unwrap()).collect();
        assert_eq!(versions.len(), 1, "{entry} is mixed: {versions:?}");
        (entry, versions.first().unwrap().parse().unwrap())
    };
    ENTRIES.map(version).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_sequence_mixes_a_set_forgets_an_accepted_version_or_leaves_anything(
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let (_guard, root) = folder();
        let mut model = Model::default();
        let mut writer = opened(&root);
        let first = [("tls", 0), ("db", 0)].into();
        prop_assert_eq!(draft_of(&first).publish(&mut writer).unwrap(), model.publish_all(first));
        for act in acts {
            match act {
                Act::Publish(versions) => {
                    prop_assert_eq!(draft_of(&versions).publish(&mut writer).unwrap(), model.publish_all(versions));
                }
                Act::Refresh(versions) => {
                    let refreshed = writer.refresh(&draft_of(&versions)).unwrap();
                    let generation = match refreshed {
                        RefreshResult::Published { generation, .. } => Some(generation),
                        RefreshResult::Unchanged => None,
                        RefreshResult::Lost(entries) => panic!("{entries:?} are lost"),
                    };
                    prop_assert_eq!(generation, model.refresh(versions));
                }
                Act::Candidate(versions) => {
                    prop_assert_eq!(writer.candidate(&draft_of(&versions)).unwrap(), model.candidate(&versions));
                }
                Act::Accept(index) => {
                    let made = model.candidates.iter().rev().nth(index).map_or(99, |(number, ..)| *number);
                    prop_assert_eq!(writer.accept(made).unwrap(), model.accept(made));
                }
                Act::Refused(index) => {
                    writer.refused(ENTRIES[index].0);
                    model.superseded.remove(ENTRIES[index].0);
                }
                Act::Collect => writer.collect().unwrap(),
                Act::Age => {
                    let kept_for = std::mem::replace(&mut writer.kept_for, Duration::ZERO);
                    writer.collect().unwrap();
                    writer.kept_for = kept_for;
                    model.candidates.clear();
                    prop_assert!(numbers_in(&root).len() <= 2, "the current one and the one before");
                }
                Act::Restart(versions) => {
                    drop(writer);
                    writer = opened(&root);
                    model.candidates.clear();
                    prop_assert_eq!(draft_of(&versions).publish(&mut writer).unwrap(), model.publish_all(versions));
                    prop_assert_eq!(numbers_in(&root), vec![model.current]);
                }
            }
            model.check(&root, &writer);
        }
        writer.stop(None).unwrap();
        let generations = format!("{root}/generations");
        prop_assert_eq!(names_in(&generations), Vec::<String>::new());
        let left = names_in(&root);
        prop_assert_eq!(left, ["generations", "lock", "state.json"].map(str::to_owned).to_vec());
    }
}
