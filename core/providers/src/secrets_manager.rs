//! AWS Secrets Manager: one secret with `GetSecretValue`, or several with `BatchGetSecretValue`.

mod identity;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_smithy_types::{Blob, DateTime};
use keystart_store::SecretBytes;

use crate::aws::Aws;
use crate::aws::arn::is_arn;
use crate::aws::errors::{no_answer, refusal, service_refusal};
use crate::first_requests::TransmissionObserver;
use crate::permission::{Permission, Place};
use crate::provider::{Answer, Encoding, Gap, Match, Provider, Reply, SecretValue, Source};
use crate::refusal::Refusal;
use crate::{Entry, Plan};

const NAME: &str = "secretsmanager";
const AT_MOST: usize = 20;
/// IAM allows a batch for all secrets or for none.
const BATCH: &str = "secretsmanager:BatchGetSecretValue on *";
/// The codes that refuse a whole batch because of one secret in it.
const ABOUT_ONE: [&str; 4] =
    ["DecryptionFailure", "InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"];
/// What Secrets Manager appends to the name of a secret in its ARN.
const ANY_SUFFIX: &str = "-??????";

/// AWS Secrets Manager.
pub struct SecretsManager;

impl Provider for SecretsManager {
    fn name(&self) -> &'static str {
        NAME
    }

    fn service(&self) -> &'static str {
        "Secrets Manager"
    }

    fn price(&self) -> u64 {
        5 // 0.05 $ for 10,000 (docs/rotation.md)
    }

    fn has_stages(&self, entry: &Entry) -> bool {
        is_current(entry)
    }

    /// Makes one request for each secret and version, or for up to 20 secrets of a region, role and account.
    fn group(&self, plan: &Plan, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        let mut secrets: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            let version = (entry.stage.clone(), entry.version_id.clone());
            let key = (entry.region.clone(), entry.role.clone(), entry.id.clone(), version);
            secrets.entry(key).or_default().push(entry);
        }
        let mut requests = Vec::new();
        let mut batches: BTreeMap<_, Vec<Vec<Entry>>> = BTreeMap::new();
        for same in secrets.into_values() {
            if plan.batch && is_current(&same[0]) {
                // Within one account and region a name is one secret, so no answer of a batch can
                // be mistaken for another.
                let key = (same[0].region.clone(), same[0].role.clone(), account(&same[0].id).map(str::to_owned));
                batches.entry(key).or_default().push(same);
            } else {
                requests.push(same);
            }
        }
        for batch in batches.into_values() {
            requests.extend(batch.chunks(AT_MOST).map(<[_]>::concat));
        }
        requests
    }

    fn action(&self, entries: &[Entry]) -> String {
        if is_batch(entries) { BATCH.to_owned() } else { get_secret_value(&entries[0].id) }
    }

    fn quota(&self, entries: &[Entry]) -> &'static str {
        if is_batch(entries) { "BatchGetSecretValue" } else { "GetSecretValue" }
    }

    fn send<'a>(&'a self, entries: &'a [Entry], page: Option<&'a str>, aws: &'a Aws) -> Reply<'a> {
        if is_batch(entries) {
            Box::pin(async move { batch(entries, page, aws).await })
        } else {
            Box::pin(async move { single(&entries[0], aws).await })
        }
    }

    /// Asks alone because `GetSecretValue` also reads secrets of other accounts, and refuses each
    /// for its own reason.
    fn asks_alone(&self, entries: &[Entry], gap: Gap<'_>) -> bool {
        is_batch(entries)
            && match gap {
                Gap::Request(refusal) => ABOUT_ONE.contains(&refusal.code.as_str()),
                Gap::Entry(_) | Gap::Missing => true,
            }
    }

    fn missing(&self, entry: &Entry) -> Refusal {
        no_answer(&get_secret_value(&entry.id))
    }

    fn contradiction(&self, entries: &[Entry], id: &str) -> Refusal {
        if is_batch(entries) {
            ambiguous_batch(&format!("returned two secrets for {id}"))
        } else {
            Refusal::other(&self.action(entries), "value")
        }
    }

    fn permissions(&self, plan: &Plan, entries: &[&Entry], place: &Place) -> Result<Vec<Permission>, String> {
        let secrets = entries.iter().map(|entry| resource(entry, place)).collect::<Result<_, _>>()?;
        let requests = self.group(plan, entries.iter().map(|entry| (*entry).clone()).collect());
        // A batch returns only what GetSecretValue may read.
        let batches = if requests.iter().any(|request| is_batch(request)) { vec!["*".to_owned()] } else { Vec::new() };
        Ok(vec![
            Permission { sid: "Secrets", action: "secretsmanager:GetSecretValue", resources: secrets },
            Permission { sid: "Batches", action: "secretsmanager:BatchGetSecretValue", resources: batches },
        ])
    }
}

/// Returns whether the entries are several secrets. A single one needs no other permission, and has
/// the larger quota.
fn is_batch(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.id != entries[0].id)
}

/// Returns whether an entry asks for AWSCURRENT. A batch has no other versions.
fn is_current(entry: &Entry) -> bool {
    entry.stage.is_none() && entry.version_id.is_none()
}

/// Returns the account in an ARN; a name has none.
fn account(id: &str) -> Option<&str> {
    id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(3))
}

/// Returns the ARN for a policy. A secret without an ARN is matched by its name and six more characters.
fn resource(entry: &Entry, place: &Place) -> Result<String, String> {
    if !is_arn(&entry.id) {
        return resource_of_name(&entry.id, entry, place);
    }
    // Secrets Manager accepts an ARN without the six characters too, unless its end looks like them.
    let is_whole = entry.id.rsplit_once('-').is_some_and(|(_, end)| identity::is_suffix(&format!("-{end}")));
    Ok(if is_whole { entry.id.clone() } else { format!("{}{ANY_SUFFIX}", entry.id) })
}

/// Returns the ARN for a policy of a secret that an entry names.
pub(crate) fn resource_of_name(name: &str, entry: &Entry, place: &Place) -> Result<String, String> {
    Ok(format!("{}:secret:{name}{ANY_SUFFIX}", place.arn(entry, NAME)?))
}

async fn client(entry: &Entry, aws: &Aws) -> Result<(Client, String), Refusal> {
    let make = |session: &_, region| {
        Client::from_conf(Builder::from(session).region(region).interceptor(TransmissionObserver).build())
    };
    aws.client(entry, make).await
}

async fn single(entry: &Entry, aws: &Aws) -> Result<Answer, Refusal> {
    let (client, region) = client(entry, aws).await?;
    let call = client
        .get_secret_value()
        .secret_id(&entry.id)
        .set_version_stage(entry.stage.clone())
        .set_version_id(entry.version_id.clone());
    let action = get_secret_value(&entry.id);
    let answer = call.send().await.map_err(|error| offer_parameter(&entry.id, refusal(&action, &error)))?;
    let (Some(arn), Some(name)) = (answer.arn, answer.name) else {
        return Err(no_answer(&action));
    };
    let version = Version { id: answer.version_id, stages: answer.version_stages, created: answer.created_date };
    let bytes = bytes(answer.secret_string, answer.secret_binary);
    let value = value(&entry.id, &region, bytes, version).ok_or_else(|| no_answer(&action))?;
    if !identity::is_secret(&entry.id, &region, &arn, &name) {
        return Err(Refusal::other(&action, "secret"));
    }
    if !identity::is_version(entry, value.source.version_id.as_deref(), &value.source.version_stages) {
        return Err(Refusal::other(&action, "version"));
    }
    Ok(Answer { found: vec![Match { id: entry.id.clone(), name: None, value }], ..Answer::default() })
}

/// Asks for one page of a batch, whose entries share a region, a role and an account.
async fn batch(entries: &[Entry], page: Option<&str>, aws: &Aws) -> Result<Answer, Refusal> {
    let (client, region) = client(&entries[0], aws).await?;
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let wanted = ids.iter().map(|id| (*id).to_owned()).collect();
    let call = client.batch_get_secret_value().set_secret_id_list(Some(wanted)).set_next_token(page.map(str::to_owned));
    let answer = call.send().await.map_err(|error| refusal(BATCH, &error))?;
    if answer.secret_values.is_none() && answer.errors.is_none() && answer.next_token.is_none() {
        return Err(no_answer(BATCH));
    }
    let mut page = Answer { next: answer.next_token.filter(|token| !token.is_empty()), ..Answer::default() };
    for secret in answer.secret_values.unwrap_or_default() {
        let (Some(arn), Some(name)) = (secret.arn, secret.name) else {
            return Err(no_answer(BATCH));
        };
        let mut asked = ids.iter().filter(|id| identity::is_secret(id, &region, &arn, &name)).peekable();
        if asked.peek().is_none() {
            return Err(ambiguous_batch("returned a secret that was not requested"));
        }
        let bytes = bytes(secret.secret_string, secret.secret_binary);
        let version = Version { id: secret.version_id, stages: secret.version_stages, created: secret.created_date };
        let value = value("", &region, bytes, version).ok_or_else(|| no_answer(BATCH))?;
        // A batch names no stage and no version, so it asks for the current one.
        if !identity::is_version(&entries[0], value.source.version_id.as_deref(), &value.source.version_stages) {
            return Err(ambiguous_batch("returned a version that was not requested"));
        }
        for id in asked {
            let mut value = value.copy();
            (*id).clone_into(&mut value.source.id);
            page.found.push(Match { id: (*id).to_owned(), name: None, value });
        }
    }
    for error in answer.errors.unwrap_or_default() {
        let secret = error.secret_id.unwrap_or_default();
        for id in ids.iter().filter(|id| identity::is_secret_id(id, &secret)) {
            let action = get_secret_value(id);
            let refusal = service_refusal(&action, error.error_code.as_deref(), error.message.as_deref(), 200);
            page.refusals.push(((*id).to_owned(), offer_parameter(id, refusal)));
        }
    }
    Ok(page)
}

/// Adds the other service to a refusal of an id that looks like the path of a parameter.
fn offer_parameter(id: &str, mut refusal: Refusal) -> Refusal {
    const ELSEWHERE: [&str; 3] = ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"];
    if id.starts_with('/') && ELSEWHERE.contains(&refusal.code.as_str()) {
        refusal.message = format!("{} If it is a parameter, write ssm:{id}.", refusal.message);
    }
    refusal
}

fn get_secret_value(id: &str) -> String {
    format!("secretsmanager:GetSecretValue on {id}")
}

/// Refuses an answer to a batch that does not show which value belongs to which secret.
fn ambiguous_batch(what: &str) -> Refusal {
    let message = format!("secretsmanager:BatchGetSecretValue {what}. Check AWS_ENDPOINT_URL, or set `batch: false`.");
    Refusal::new("InvalidAnswer", message)
}

fn bytes(text: Option<String>, binary: Option<Blob>) -> Option<(SecretBytes, Encoding)> {
    let text = text.map(|text| (SecretBytes::from(text.into_bytes()), Encoding::Text));
    text.or_else(|| binary.map(|binary| (SecretBytes::from(binary.into_inner()), Encoding::Binary)))
}

/// What an answer says of a version.
struct Version {
    id: Option<String>,
    stages: Option<Vec<String>>,
    created: Option<DateTime>,
}

fn value(id: &str, region: &str, bytes: Option<(SecretBytes, Encoding)>, version: Version) -> Option<SecretValue> {
    let (bytes, encoding) = bytes?;
    let source = Source {
        provider: NAME,
        id: id.to_owned(),
        region: Some(region.to_owned()),
        version_id: Some(version.id?),
        version_stages: version.stages.unwrap_or_default(),
        created_at: version.created.and_then(|at| at.to_millis().ok()),
        field: None,
    };
    Some(SecretValue::new(bytes, encoding, source))
}
