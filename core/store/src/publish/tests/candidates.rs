//! Candidates: made, accepted, kept by a refresh, refused, collected.

use super::*;

/// The entries `tls` and `db`, as they were fetched first.
const CURRENT: &[(&str, &str)] = &[("tls/cert", "old"), ("tls/key", "old"), ("db", "old")];

/// Makes a draft of whole entries in one version.
fn version(version: &str, entries: &[&str], secrets: &[(&str, &str)]) -> Draft {
    let text = format!(
        r#"{{"encoding": "utf-8", "fetched_at": "2026-11-23T09:20:00.123Z", "refresh_after": null,
            "source": {{"provider": "test", "id": "x", "version_id": "{version}"}}}}"#
    );
    let entry = json::parse(text.as_bytes()).unwrap();
    let mut draft = Draft::new();
    for (name, value) in secrets {
        draft.add(name, SecretBytes::from(value.as_bytes()), &entry).unwrap();
    }
    for entry in entries {
        draft.cover(entry).unwrap();
    }
    draft
}

fn db(value: &str) -> Draft {
    version(value, &["db"], &[("db", value)])
}

/// Opens a writer that has published `CURRENT` in the version `old`.
fn published(root: &str) -> Writer {
    let mut writer = open(root).unwrap();
    let entries = ["tls", "db"].map(|name| (name.to_owned(), true)).into();
    writer.watch(Watch { entries, max_stale: None });
    version("old", &["tls", "db"], CURRENT).publish(&mut writer).unwrap();
    writer
}

fn store(root: &str) -> Store {
    Store::open(&options(root)).unwrap()
}

fn db_of(root: &str, generation: u64) -> Result<String> {
    read(&store(root).snapshot_of(generation)?, "db")
}

#[test]
fn a_candidate_differs_from_what_is_published_in_its_entries_only() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    assert_eq!(fs::read_link(format!("{root}/current")).unwrap(), Path::new("generations/1"));
    assert_eq!(read(&store(&root), "db").unwrap(), "old");
    let candidate = store(&root).snapshot_of(2).unwrap();
    for (name, value) in [("db", "new"), ("tls/key", "old"), ("tls/cert", "old")] {
        assert_eq!(read(&candidate, name).unwrap(), value);
    }
    assert_eq!(inode(&root, "1/secrets/tls/key"), inode(&root, "2/secrets/tls/key"));
    assert_eq!(mode(format!("{root}/generations/2/secrets/db")), 0o600);
    // The number is used up, also for the writer that comes next.
    assert_eq!((&state(&root)["state"], &state(&root)["generation"]), (&"ready".into(), &2.into()));
    assert_eq!(names_in(&root), ["current", "generations", "lock", "state.json"]);
}

#[test]
fn the_number_of_a_collected_candidate_is_never_used_again() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    writer.kept_for = Duration::ZERO;
    writer.collect().unwrap();
    assert_eq!(numbers_in(&root), [1]);
    assert_eq!(db_of(&root, 2).unwrap_err().code(), Code::SnapshotExpired);
    assert_eq!(writer.accept(2).unwrap(), None, "it is gone");
    drop(writer);
    assert_eq!(pair("x").publish(&mut open(&root).unwrap()).unwrap(), 3);
}

#[test]
fn what_is_published_makes_no_candidate() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    assert_eq!(writer.candidate(&db("old")).unwrap(), None);
    assert_eq!(writer.candidate(&version("old", &["tls"], &CURRENT[..2])).unwrap(), None);
    assert_eq!(numbers_in(&root), [1]);
    // A version without another value, and a value without another version, are others.
    assert_eq!(writer.candidate(&version("new", &["db"], &[("db", "old")])).unwrap(), Some(2));
    assert_eq!(writer.candidate(&version("old", &["db"], &[("db", "new")])).unwrap(), Some(3));
}

#[test]
fn the_same_versions_get_the_same_candidate_until_one_of_their_entries_is_published() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    let both = version("new", &["db", "tls"], &[("db", "new"), ("tls/key", "new")]);
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    assert_eq!(writer.candidate(&both).unwrap(), Some(3));
    assert_eq!(writer.candidate(&db("newer")).unwrap(), Some(4));
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    assert_eq!(writer.candidate(&both).unwrap(), Some(3));
    assert_eq!(writer.candidate(&version("new", &["db"], &[("db", "other")])).unwrap(), Some(5), "other bytes");

    let tls = version("tls", &["tls"], &[("tls/key", "tls"), ("tls/cert", "tls")]);
    assert!(matches!(writer.refresh(&tls).unwrap(), RefreshResult::Published { generation: 6, .. }));
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2), "its entry is as it was");
    assert_eq!(writer.candidate(&both).unwrap(), Some(7));
    assert_eq!(read(&store(&root).snapshot_of(7).unwrap(), "db").unwrap(), "new");
    assert_eq!(writer.accept(3).unwrap(), None, "tls was published since");
    assert_eq!(writer.accept(2).unwrap(), Some(8));
    // What others published meanwhile stays.
    assert_eq!(seen(&root).unwrap(), "tls");
    assert_eq!(read(&store(&root), "db").unwrap(), "new");
    for gone in [2, 3, 4, 5, 7] {
        assert_eq!(writer.accept(gone).unwrap(), None, "db was published since: {gone}");
    }
    assert_eq!(writer.candidate(&db("new")).unwrap(), None, "it is published");
    // Readers can still read them for a while.
    assert_eq!(db_of(&root, 4).unwrap(), "newer");
}

#[test]
fn a_candidate_that_is_requested_again_stays_longer() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("new")).unwrap();
    writer.candidate(&db("other")).unwrap();
    thread::sleep(Duration::from_millis(2));
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    let asked = |number| writer.written[&number].usage;
    let (Usage::Candidate(again), Usage::Candidate(once)) = (asked(2), asked(3)) else { panic!("no candidates") };
    assert!(again > once);
}

#[test]
fn an_accepted_version_stays_until_the_fetched_one_moves() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    let tls = version("tls", &["tls"], &[("tls/key", "tls"), ("tls/cert", "tls")]);
    assert_eq!(writer.candidate(&db("pending")).unwrap(), Some(2));
    assert_eq!(writer.accept(2).unwrap(), Some(3));
    assert_eq!(read(&store(&root), "db").unwrap(), "pending");

    assert_eq!(writer.refresh(&db("old")).unwrap(), RefreshResult::Unchanged);
    // So it does when another entry changes with the same fetch.
    let mut both = db("old");
    both.secrets.extend(version("tls", &[], &[("tls/key", "tls"), ("tls/cert", "tls")]).secrets);
    both.cover("tls").unwrap();
    let changed = vec!["tls/cert".to_owned(), "tls/key".to_owned()];
    assert_eq!(writer.refresh(&both).unwrap(), RefreshResult::Published { generation: 4, changed });
    assert_eq!(read(&store(&root), "db").unwrap(), "pending");
    assert_eq!(writer.refresh(&tls).unwrap(), RefreshResult::Unchanged);

    // The rotation ends: nothing changes. From now on what is fetched counts again.
    assert_eq!(writer.refresh(&db("pending")).unwrap(), RefreshResult::Unchanged);
    let changed = vec!["db".to_owned()];
    assert_eq!(writer.refresh(&db("old")).unwrap(), RefreshResult::Published { generation: 5, changed });
}

#[test]
fn an_accepted_version_is_replaced_by_a_third_one_and_when_it_is_refused() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    let changed = vec!["db".to_owned()];
    let publishes = |generation| RefreshResult::Published { generation, changed: changed.clone() };
    assert_eq!(writer.candidate(&db("pending")).unwrap(), Some(2));
    assert_eq!(writer.accept(2).unwrap(), Some(3));
    assert_eq!(writer.refresh(&db("third")).unwrap(), publishes(4));
    assert_eq!(writer.refresh(&db("old")).unwrap(), publishes(5), "nothing accepted is published");

    assert_eq!(writer.candidate(&db("pending")).unwrap(), Some(6));
    assert_eq!(writer.accept(6).unwrap(), Some(7));
    assert_eq!(writer.candidate(&db("another")).unwrap(), Some(8));
    assert_eq!(writer.accept(8).unwrap(), Some(9));
    assert_eq!(writer.refresh(&db("old")).unwrap(), RefreshResult::Unchanged, "the fetched version has not moved");
    writer.refused("db");
    assert_eq!(writer.refresh(&db("old")).unwrap(), publishes(10));
    assert_eq!(writer.refresh(&db("old")).unwrap(), RefreshResult::Unchanged);
}

#[test]
fn a_version_without_an_id_does_not_hold_an_accepted_one() {
    let (_guard, root) = folder();
    let mut writer = open(&root).unwrap();
    writer.watch(Watch { entries: [("db".to_owned(), true)].into(), max_stale: None });
    draft(&[("db", "old")]).publish(&mut writer).unwrap();
    let candidate = writer.candidate(&covering("db", &[("db", "new")])).unwrap().unwrap();
    assert_eq!(writer.accept(candidate).unwrap(), Some(3));
    // Nobody can say whether it is the version that was fetched before.
    let found = writer.refresh(&covering("db", &[("db", "old")])).unwrap();
    assert_eq!(found, RefreshResult::Published { generation: 4, changed: vec!["db".to_owned()] });
}

#[test]
fn names_come_and_go_with_an_accepted_version() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    let wider = version("new", &["tls"], &[("tls/key", "new"), ("tls/more", "new")]);
    assert_eq!(writer.candidate(&wider).unwrap(), Some(2));
    assert_eq!(writer.accept(2).unwrap(), Some(3));
    assert_eq!(store(&root).names(None).unwrap(), ["db", "tls/key", "tls/more"]);
    assert_eq!(writer.refresh(&version("old", &["tls"], &CURRENT[..2])).unwrap(), RefreshResult::Unchanged);
    writer.refused("tls");
    let changed = ["tls/cert", "tls/key", "tls/more"].map(str::to_owned).to_vec();
    let found = writer.refresh(&version("old", &["tls"], &CURRENT[..2])).unwrap();
    assert_eq!(found, RefreshResult::Published { generation: 4, changed });
    assert_eq!(store(&root).names(None).unwrap(), ["db", "tls/cert", "tls/key"]);
}

#[test]
fn an_accepted_version_whose_files_are_gone_is_replaced() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("pending")).unwrap();
    writer.accept(2).unwrap();
    fs::remove_file(format!("{root}/current/secrets/db")).unwrap();
    let tls = version("tls", &["tls"], &[("tls/key", "tls"), ("tls/cert", "tls")]);
    assert_eq!(writer.refresh(&tls).unwrap(), RefreshResult::Lost(vec!["db".to_owned()]));
    let found = writer.refresh(&db("old")).unwrap();
    assert_eq!(found, RefreshResult::Published { generation: 4, changed: vec!["db".to_owned()] });
    assert_eq!(read(&store(&root), "db").unwrap(), "old");
}

#[test]
fn a_candidate_whose_files_were_changed_is_not_accepted() {
    let acts: [Act; 3] = [
        |root| fs::remove_file(format!("{root}/generations/2/secrets/db")).unwrap(),
        |root| replace_with_link(root, "generations/2/secrets/db"),
        |root| fs::remove_dir_all(format!("{root}/generations/2")).unwrap(),
    ];
    for act in acts {
        let (_guard, root) = folder();
        let mut writer = published(&root);
        writer.candidate(&db("new")).unwrap();
        act(&root);
        assert_eq!(writer.accept(2).unwrap(), None);
        assert_eq!(writer.candidate(&db("new")).unwrap(), Some(3), "it is made again");
        assert_eq!(writer.accept(3).unwrap(), Some(4));
        assert_eq!(read(&store(&root), "db").unwrap(), "new");
    }
}

#[test]
fn without_the_files_of_the_other_entries_nothing_is_made_or_accepted() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    assert_eq!(writer.candidate(&db("new")).unwrap(), Some(2));
    fs::remove_file(format!("{root}/generations/1/secrets/tls/key")).unwrap();
    let what = "generations/1/secrets/tls is gone, or is none that this writer made";
    let expected = Error::store_holds_foreign(&root, what);
    assert_eq!(writer.candidate(&db("newer")).unwrap_err(), expected);
    assert_eq!(writer.accept(2).unwrap_err(), expected);
    assert_eq!(numbers_in(&root), [1, 2]);
}

#[test]
fn a_foreign_file_in_a_candidate_stays_and_the_secrets_go() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("new")).unwrap();
    writer.candidate(&db("newer")).unwrap();
    make_file(format!("{root}/generations/2/secrets/notes"), "mine");
    writer.kept_for = Duration::ZERO;
    let what = "generations/.old-2/secrets holds an entry that Keystart did not make";
    assert_eq!(writer.collect().unwrap_err(), Error::store_holds_foreign(&root, what));
    assert_eq!(names_in(format!("{root}/generations")), [".old-2", "1"], "the other one is collected");
    assert_eq!(names_in(format!("{root}/generations/.old-2/secrets")), ["notes"]);
    assert_eq!(writer.accept(2).unwrap(), None);
    assert_eq!(writer.stop(None).unwrap_err(), Error::store_holds_foreign(&root, what));
    assert_eq!(fs::read(format!("{root}/generations/.old-2/secrets/notes")).unwrap(), b"mine");
}

#[test]
fn candidates_are_overwritten_and_removed_at_the_end() {
    for ends_by_crash in [false, true] {
        let (_guard, root) = folder();
        let mut writer = published(&root);
        writer.candidate(&db("canary")).unwrap();
        let mut witnesses = ["2/secrets/db", "1/secrets/db", "2/secrets/tls/key"]
            .map(|path| fs::File::open(format!("{root}/generations/{path}")).unwrap());
        if ends_by_crash {
            writer.crash_report().write("SIGSEGV");
        } else {
            writer.stop(None).unwrap();
        }
        assert!(names_in(format!("{root}/generations")).is_empty());
        for witness in &mut witnesses {
            let mut left = Vec::new();
            witness.read_to_end(&mut left).unwrap();
            assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0));
        }
        if !ends_by_crash {
            assert_eq!(writer.candidate(&db("x")).unwrap_err(), Error::writer_stopped(&root));
            assert_eq!(writer.accept(2).unwrap_err(), Error::writer_stopped(&root));
            writer.collect().unwrap();
        }
        drop(writer);
        assert_eq!(pair("x").publish(&mut open(&root).unwrap()).unwrap(), 3);
    }
}

#[test]
fn a_writer_takes_over_a_store_with_candidates() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("new")).unwrap();
    drop(writer);
    pair("next").publish(&mut open(&root).unwrap()).unwrap();
    assert_eq!(numbers_in(&root), [3]);
    assert_eq!(seen(&root).unwrap(), "next");
}

#[test]
fn freshness_json_follows_an_accepted_version() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("pending")).unwrap();
    writer.accept(2).unwrap();
    assert!(!fs::exists(format!("{root}/freshness.json")).unwrap(), "nothing was checked again");

    let mut old = version("old", &["db"], &[("db", "old")]);
    old.schedule(Some(at("10:00:00")), None);
    writer.refused("db");
    writer.refresh(&old).unwrap();
    let mut pending = fetched("09:40:00", &["db"], "23:00:00", "23:00:00");
    pending.secrets[0].value = SecretBytes::from(&b"pending"[..]);
    let candidate = writer.candidate(&pending).unwrap().unwrap();
    let accepted = writer.accept(candidate).unwrap().unwrap();
    let written = freshness(&root);
    assert_eq!(written["generation"], accepted);
    assert_eq!(written["secrets"]["db"]["checked_at"], "2026-11-23T09:40:00.000Z", "the source answered then");
    assert_eq!(
        written["secrets"]["db"]["refresh_after"], "2026-11-23T10:00:00.000Z",
        "an accepted version moves no time"
    );
    // What is fetched later counts as a check of what stays in its place.
    old.schedule(Some(at("11:00:00")), None);
    assert_eq!(writer.refresh(&old).unwrap(), RefreshResult::Unchanged);
    assert_eq!(freshness(&root)["secrets"]["db"]["refresh_after"], "2026-11-23T11:00:00.000Z");
}

#[test]
fn a_failed_refresh_publishes_nothing_and_keeps_the_accepted_version() {
    let (_guard, root) = folder();
    let mut writer = published(&root);
    writer.candidate(&db("pending")).unwrap();
    writer.accept(2).unwrap();
    let mut failed = Draft::new();
    failed.mark_unavailable("db", Failure::new("Throttled", "later")).unwrap();
    assert_eq!(writer.refresh(&failed).unwrap(), RefreshResult::Unchanged);
    assert_eq!(writer.refresh(&db("old")).unwrap(), RefreshResult::Unchanged);
    assert_eq!(writer.published(), Some(3));
}
