//! AWS Systems Manager Parameter Store: up to ten parameters with `GetParameters`, or all below a path with
//! `GetParametersByPath`.

mod identity;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::Parameter;
use keystart_store::SecretBytes;

use crate::aws::Aws;
use crate::aws::arn::is_arn;
use crate::aws::errors::{no_answer, refusal};
use crate::first_requests::TransmissionObserver;
use crate::permission::{Permission, Place};
use crate::provider::{Answer, Encoding, Gap, Match, Provider, Reply, SecretValue, Source};
use crate::refusal::Refusal;
use crate::{Entry, Plan, secrets_manager};

const NAME: &str = "ssm";
const AT_MOST: usize = 10;
/// The beginning of a parameter that stands for a secret of Secrets Manager.
const REFERENCE: &str = "/aws/reference/secretsmanager/";

/// AWS Systems Manager Parameter Store.
pub struct ParameterStore;

impl Provider for ParameterStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn service(&self) -> &'static str {
        "Parameter Store"
    }

    /// Makes one request for up to ten parameters of a region and role, and one for each path.
    fn group(&self, _: &Plan, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        let (paths, parameters): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_path);
        let mut together: BTreeMap<_, Vec<Entry>> = BTreeMap::new();
        for entry in parameters {
            together.entry((entry.region.clone(), entry.role.clone())).or_default().push(entry);
        }
        let mut requests: Vec<Vec<Entry>> = paths.into_iter().map(|entry| vec![entry]).collect();
        for group in together.into_values() {
            requests.extend(group.chunks(AT_MOST).map(<[_]>::to_vec));
        }
        requests
    }

    fn action(&self, entries: &[Entry]) -> String {
        let (call, on) = if is_path(&entries[0]) {
            ("GetParametersByPath", entries[0].id.clone())
        } else {
            ("GetParameters", ids(entries).join(", "))
        };
        format!("ssm:{call} on {on}, and kms:Decrypt on the key of a SecureString")
    }

    fn send<'a>(&'a self, entries: &'a [Entry], page: Option<&'a str>, aws: &'a Aws) -> Reply<'a> {
        let action = self.action(entries);
        if is_path(&entries[0]) {
            Box::pin(async move { below(&entries[0], page, &action, aws).await })
        } else {
            Box::pin(async move { parameters(entries, &action, aws).await })
        }
    }

    /// Asks alone because one parameter that is denied or malformed refuses all ten.
    fn asks_alone(&self, entries: &[Entry], gap: Gap<'_>) -> bool {
        entries.len() > 1 && matches!(gap, Gap::Request(refusal) if !refusal.is_retryable())
    }

    fn missing(&self, entry: &Entry) -> Refusal {
        let message = if is_path(entry) {
            format!("There is no parameter below {}. Correct the path or the region.", entry.id)
        } else {
            let other = if entry.id.starts_with('/') || entry.id.contains(':') {
                String::new()
            } else {
                format!(" If it is a secret of Secrets Manager, write {} without ssm:, or with `secret`.", entry.id)
            };
            format!("There is no parameter {}. Correct the id or the region.{other}", entry.id)
        };
        Refusal::new("ParameterNotFound", message)
    }

    fn noun(&self) -> &'static str {
        "parameter"
    }

    fn permissions(&self, _: &Plan, entries: &[&Entry], place: &Place) -> Result<Vec<Permission>, String> {
        let (mut parameters, mut paths, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            if is_path(entry) {
                // Whoever may read a path may read all below it, so the second resource allows
                // nothing more. It covers the path as AWS spells it with a slash at its end.
                paths.push(resource(&entry.id, entry, place)?);
                paths.push(resource(&format!("{}/*", entry.id.trim_end_matches('/')), entry, place)?);
            } else if is_arn(&entry.id) {
                // Without a version or a label.
                parameters.push(entry.id.split(':').take(6).collect::<Vec<_>>().join(":"));
            } else {
                let name = entry.id.split(':').next().unwrap_or_default();
                parameters.push(resource(name, entry, place)?);
                // Parameter Store fetches the secret with the rights of the caller.
                if let Some(secret) = name.strip_prefix(REFERENCE) {
                    secrets.push(secrets_manager::resource_of_name(secret, entry, place)?);
                }
            }
        }
        Ok(vec![
            Permission { sid: "Parameters", action: "ssm:GetParameters", resources: parameters },
            Permission { sid: "Paths", action: "ssm:GetParametersByPath", resources: paths },
            Permission { sid: "References", action: "secretsmanager:GetSecretValue", resources: secrets },
        ])
    }
}

fn is_path(entry: &Entry) -> bool {
    entry.keyword.is_folder
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for entry in entries {
        if !ids.contains(&entry.id.as_str()) {
            ids.push(&entry.id);
        }
    }
    ids
}

fn resource(name: &str, entry: &Entry, place: &Place) -> Result<String, String> {
    // AWS's public parameters belong to no account.
    let account = if schema::is_public(name) { Some(String::new()) } else { place.account.clone() };
    let place = Place { account, region: place.region.clone() };
    Ok(format!("{}:parameter/{}", place.arn(entry, NAME)?, name.strip_prefix('/').unwrap_or(name)))
}

async fn client(entry: &Entry, aws: &Aws) -> Result<(Client, String), Refusal> {
    let make = |session: &_, region| {
        Client::from_conf(Builder::from(session).region(region).interceptor(TransmissionObserver).build())
    };
    aws.client(entry, make).await
}

/// Asks for at most ten parameters of a region and role. The answer leaves out a parameter that does not exist.
async fn parameters(entries: &[Entry], action: &str, aws: &Aws) -> Result<Answer, Refusal> {
    let (client, region) = client(&entries[0], aws).await?;
    let ids = ids(entries);
    let names: BTreeSet<&str> = ids.iter().map(|id| schema::name_in_request(id)).collect();
    let names = names.into_iter().map(str::to_owned).collect();
    let answer = client.get_parameters().set_names(Some(names)).with_decryption(true).send().await;
    let mut parameters = answer.map_err(|error| refusal(action, &error))?.parameters.unwrap_or_default();
    parameters.sort_by_key(|parameter| parameter.version);
    let mut found: BTreeMap<String, SecretValue> = BTreeMap::new();
    for parameter in parameters {
        let name = parameter.name.as_deref().ok_or_else(|| no_answer(action))?;
        let possible = possible_ids(&parameter);
        let is_requested = |id: &&str| possible.iter().any(|name| name == id || name == schema::name_in_request(id));
        let requested: Vec<&str> = ids.iter().copied().filter(is_requested).collect();
        if requested.is_empty() || !is_sound(&parameter, name, &region) {
            return Err(Refusal::other(action, "parameter"));
        }
        for id in requested {
            let value = value(id, &region, &parameter).ok_or_else(|| no_answer(action))?;
            let is_twice =
                |other: &SecretValue| other.source.version_id == value.source.version_id && !other.is_same(&value);
            if found.get(id).is_some_and(is_twice) {
                return Err(Refusal::other(action, "value"));
            }
            found.insert(id.to_owned(), value);
        }
    }
    let found = found.into_iter().map(|(id, value)| Match { id, name: None, value }).collect();
    Ok(Answer { found, ..Answer::default() })
}

/// Asks for one page of the parameters below a path.
async fn below(entry: &Entry, page: Option<&str>, action: &str, aws: &Aws) -> Result<Answer, Refusal> {
    let (client, region) = client(entry, aws).await?;
    let call = client.get_parameters_by_path().path(&entry.id).recursive(true).with_decryption(true);
    let answer = call.set_next_token(page.map(str::to_owned)).send().await.map_err(|error| refusal(action, &error))?;
    let path = format!("{}/", entry.id.trim_end_matches('/'));
    let mut found = Vec::new();
    for parameter in answer.parameters.unwrap_or_default() {
        let full = parameter.name.as_deref().ok_or_else(|| no_answer(action))?;
        if !identity::is_below(&entry.id, full) || !is_sound(&parameter, full, &region) {
            return Err(Refusal::other(action, "parameter"));
        }
        let value = value(full, &region, &parameter).ok_or_else(|| no_answer(action))?;
        let name = Some(full.strip_prefix(&path).unwrap_or(full).to_owned());
        found.push(Match { id: entry.id.clone(), name, value });
    }
    Ok(Answer { found, next: answer.next_token.filter(|token| !token.is_empty()), ..Answer::default() })
}

fn value(id: &str, region: &str, parameter: &Parameter) -> Option<SecretValue> {
    let source = Source {
        provider: NAME,
        id: id.to_owned(),
        region: Some(region.to_owned()),
        version_id: Some(parameter.version.to_string()),
        ..Source::default()
    };
    Some(SecretValue::new(SecretBytes::from(parameter.value.as_ref()?.as_bytes()), Encoding::Text, source))
}

fn is_sound(parameter: &Parameter, name: &str, region: &str) -> bool {
    identity::is_parameter(region, name, parameter.arn.as_deref())
        && identity::is_selected(parameter.selector.as_deref(), parameter.version)
}

/// Returns the ids that ask for this parameter. An emulator does not report which version the request named.
fn possible_ids(parameter: &Parameter) -> Vec<String> {
    let selectors = match &parameter.selector {
        Some(selector) => vec![selector.clone()],
        None => vec![String::new(), format!(":{}", parameter.version)],
    };
    let names = [&parameter.name, &parameter.arn].into_iter().flatten();
    names.flat_map(|name| selectors.iter().map(move |selector| format!("{name}{selector}"))).collect()
}
