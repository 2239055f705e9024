//! The names of AWS resources.

use keystart_config::region::is_region;
use keystart_config::shown::characters;

use crate::Entry;
use crate::permission::Place;

pub(crate) fn is_arn(id: &str) -> bool {
    id.starts_with("arn:")
}

/// The partitions of AWS by the beginnings of their regions. Every other region belongs to the partition `aws`.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
];

impl Place {
    /// Returns the beginning of the ARN, up to the account, for an entry that has no ARN.
    pub(crate) fn arn(&self, entry: &Entry, service: &str) -> Result<String, String> {
        let region = entry.region.as_ref().or(self.region.as_ref()).ok_or_else(|| {
            let Entry { name, id, .. } = entry;
            format!("{name}: no region is known for {id}. Give --region, or set AWS_REGION.")
        })?;
        if !is_region(region) {
            return Err(format!(
                "A text of {} is not a region such as eu-west-1. Correct --region, or AWS_REGION.",
                characters(region)
            ));
        }
        let partition = PARTITIONS.iter().find(|(begin, _)| region.starts_with(begin)).map_or("aws", |(_, name)| name);
        Ok(format!("arn:{partition}:{service}:{region}:{}", self.account.as_deref().unwrap_or("*")))
    }
}
