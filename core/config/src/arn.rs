//! The ARNs of AWS.

use regex_lite::Regex;

use crate::region::is_region;

/// An ARN with a region and an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "AWS's own words")]
pub struct Arn<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Parses `arn:aws:service:region:account:resource`, as a person writes it.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (partition, account, arn) = split(text)?;
        let is_service = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_sound = is_partition(partition)
            && !arn.service.is_empty()
            && arn.service.bytes().all(is_service)
            && is_region(arn.region)
            && is_account(account)
            && !arn.resource.contains('\n');
        is_sound.then_some(arn)
    }

    /// Parses an ARN from a service, which may be an emulator with regions and accounts that AWS does not have.
    pub fn from_service(text: &'a str) -> Option<Self> {
        split(text).map(|(_, _, arn)| arn)
    }
}

/// Returns the partition, the account, and the other parts.
fn split(text: &str) -> Option<(&str, &str, Arn<'_>)> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (arn, partition, service, region, account, resource) = (next()?, next()?, next()?, next()?, next()?, next()?);
    (arn == "arn").then_some((partition, account, Arn { service, region, resource }))
}

/// Returns a sentence about the first part of an ARN that is certainly wrong: its region or its
/// account. The text may be the beginning of an ARN, up to the account.
pub fn flaw(text: &str) -> Option<String> {
    let mut parts = text.splitn(6, ':').skip(3);
    let (region, account) = (parts.next()?, parts.next()?);
    if is_region(region.trim_end_matches(|c: char| c.is_ascii_lowercase())) && !is_region(region) {
        return Some("The ARN names an availability zone. Its region ends in a digit, as eu-west-1 does.".to_owned());
    }
    if !is_region(region) {
        return Some("The ARN has no region such as eu-west-1 as its fourth part.".to_owned());
    }
    if is_account(account) {
        return None;
    }
    let is_number = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let what = match account.len() {
        0 => "The ARN names no account".to_owned(),
        _ if !is_number => "The account of the ARN is not a number".to_owned(),
        1 => "The account of the ARN has 1 digit".to_owned(),
        length => format!("The account of the ARN has {length} digits"),
    };
    Some(format!("{what}. An account has 12 digits, zeros at its beginning too."))
}

/// Returns the account in the ARN of a secret, a parameter or a role.
pub(crate) fn account(text: &str) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    (parts.next()? == "arn").then(|| parts.nth(3))?.filter(|account| is_account(account))
}

/// Returns the service in a text that begins as an ARN does, even if it is not a valid one.
pub fn service(text: &str) -> Option<&str> {
    let mut parts = text.splitn(4, ':');
    let (arn, _partition, service, _rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (arn == "arn").then_some(service)
}

/// Returns whether a text is the ARN of a role.
pub fn is_role(text: &str) -> bool {
    const ROLE: &str = "^arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/(?:[!-)+->@-~]+/)?[A-Za-z0-9_+=,.@-]{1,64}$";
    Regex::new(ROLE).is_ok_and(|role| role.is_match(text))
}

pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text is `aws` followed by words of lower-case letters.
fn is_partition(text: &str) -> bool {
    let mut words = text.split('-');
    words.next() == Some("aws")
        && words.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}
