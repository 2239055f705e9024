//! Reads Keystart's own file, from `version` to `secrets`.

use crate::deadline::deadline;
use crate::document::{Mapping, Node, Scalar};
use crate::entries;
use crate::freshness;
use crate::hints;
use crate::plan::{Entry, Plan, SnapStart, Start};
use crate::problem::Problems;
use crate::reader::Reader;
use crate::region::is_region;
use crate::square;
use crate::typed::{boolean, found, is_nothing, refuse_unknown, text};

const KEYS: [&str; 8] = ["version", "start", "deadline", "region", "batch", "env_overwrite", "snapstart", "secrets"];
/// The message for a sync.yaml: no configuration of a function has a mapping under `source`.
const OF_SYNC: &str = "This is a sync.yaml, because it has a \"source\". Run keystart sync plan with it, or name the \
                       configuration of a function.";

const EMPTY: &str = "The configuration is empty. Write \"version: 1\" and \"secrets:\" into it.";

/// Reads a document. Use the plan only if no problem was found.
pub(crate) fn read(root: &Node, file: &str, reader: Reader, problems: &mut Problems) -> Plan {
    let mut plan = Plan::of_secrets(Vec::new(), file);
    let Node::Mapping(root) = root else {
        if is_nothing(root) {
            problems.add(EMPTY, root.position());
            return plan;
        }
        let what = format!("The configuration must be a mapping, found {}.", found(root, &[]));
        problems.add(what, root.position());
        return plan;
    };
    if let Some((source, Node::Mapping(_))) = root.member("source") {
        // Its other keys would only add noise.
        problems.add(OF_SYNC, source.position);
        return plan;
    }
    let known = [&KEYS[..], &freshness::KEYS].concat();
    let lacks_secrets = root.get("secrets").is_none();
    let hint = |key: &str| match key {
        "secret" if lacks_secrets => Some("Did you mean \"secrets\"?"),
        _ => hints::hint(hints::OF_A_FILE, key),
    };
    refuse_unknown(root, "The configuration", &known, &[square::KEY], hint, problems);
    if let Some((key, _)) = root.member(square::KEY) {
        let why = "belongs to the file of Square's extension, which has no \"version\". Remove one.";
        problems.add(format!("\"{}\" {why}", square::KEY), key.position);
    }
    freshness::read(root, &mut plan, problems);
    check_version(root, problems);
    plan.region = region(root, problems);
    if let Some(start) = root.get("start") {
        plan.start = self::start(start, problems);
    }
    if let Some(deadline) = root.get("deadline").and_then(|node| deadline(node, "deadline", problems)) {
        plan.deadline = deadline;
    }
    match root.named("secrets") {
        Some((_, secrets)) => {
            let context = reader.context(plan.region.as_deref());
            plan.entries = entries::read(secrets, context, problems);
        }
        None if root.members.is_empty() => {}
        None => problems.add("\"secrets\" is missing. Name at least one secret.", root.position),
    }
    if let Some(node) = root.get("snapstart") {
        plan.snapstart = snapstart(node, &plan, problems);
    }
    plan.batch = root.get("batch").is_some_and(|batch| boolean(batch, "\"batch\"", problems));
    plan.env_overwrite = root.get("env_overwrite").is_some_and(|flag| boolean(flag, "\"env_overwrite\"", problems));
    plan
}

fn check_version(root: &Mapping, problems: &mut Problems) {
    match root.named("version").map(|(_, version)| version) {
        None => problems.add("\"version\" is missing. Write \"version: 1\" at the top.", root.position),
        Some(Node::Scalar(Scalar { text, is_plain: true, .. })) if text == "1" => {}
        Some(version) => {
            let what = format!("\"version\" must be the number 1, found {}.", found(version, &[]));
            problems.add(what, version.position());
        }
    }
}

fn start(node: &Node, problems: &mut Problems) -> Start {
    match text(node, "\"start\"", problems) {
        Some("before") => return Start::Before,
        Some("overlap") | None => {}
        Some(_) => {
            let what = found(node, &["overlap", "before"]);
            problems.add(format!("\"start\" must be overlap or before, found {what}."), node.position());
        }
    }
    Start::Overlap
}

fn region(root: &Mapping, problems: &mut Problems) -> Option<String> {
    let node = root.get("region")?;
    let region = text(node, "\"region\"", problems)?;
    if !is_region(region) {
        let what = format!("\"region\" must be a region such as eu-west-1, found {}.", found(node, &[]));
        problems.add(what, node.position());
    }
    Some(region.to_owned())
}

fn snapstart(node: &Node, plan: &Plan, problems: &mut Problems) -> SnapStart {
    let words = SnapStart::ALL.map(SnapStart::word);
    let chosen = match node {
        Node::Scalar(scalar) => SnapStart::ALL.into_iter().find(|mode| mode.word() == scalar.text),
        _ => None,
    };
    let with_variable = plan.entries.iter().find(|entry| entry.env.is_some());
    match (chosen, with_variable) {
        (Some(SnapStart::FirstInvoke), Some(Entry { name, .. })) => {
            let why = format!("because variables are set before the first invocation, and \"{name}\" has \"env\"");
            let what = format!("\"snapstart\" cannot be first-invoke, {why}. Remove that, or write init.");
            problems.add(what, node.position());
        }
        (Some(_), _) => {}
        (None, _) => {
            let what = format!("\"snapstart\" must be {}, found {}.", words.join(" or "), found(node, &words));
            problems.add(what, node.position());
        }
    }
    chosen.unwrap_or_default()
}
