//! Keys that people know from other tools, and what Keystart has in their place.

/// Keys, and the sentence that follows "has no key".
type Hints = [(&'static [&'static str], &'static str)];

const DECRYPTS: (&[&str], &str) = (
    &["decrypt", "decrypted", "decryption", "with_decryption", "withDecryption", "WithDecryption"],
    "Keystart always decrypts. Remove it.",
);
const PROFILE: (&[&str], &str) = (
    &["profile", "aws_profile"],
    "The function's role fetches. On your own machine name a profile with \"keystart pull --profile\".",
);

/// What people write beside `version` and `secrets`.
pub(crate) const OF_A_FILE: &Hints = &[
    DECRYPTS,
    PROFILE,
    (&["timeout"], "Write \"deadline\"."),
    (
        &["secret", "parameter", "parameters", "field", "expand", "stage", "version_id", "env", "optional", "role"],
        "It belongs to one secret, under \"secrets\".",
    ),
];

/// What people write at a secret.
pub(crate) const OF_A_SECRET: &Hints = &[
    DECRYPTS,
    PROFILE,
    (
        &["version", "versionNumber"],
        "A version of a secret is \"version_id\" or \"stage\". That of a parameter follows its name, as in \
         /prod/flags:3.",
    ),
    (
        &["versionStage", "version_stage", "label", "labels"],
        "Of a secret write \"stage\". The label of a parameter follows its name, as in /prod/flags:live.",
    ),
    (
        &["name", "id", "arn", "secret_id", "secretId", "secret_name", "secretname", "secret_arn", "valueFrom"],
        "Write \"secret\", or \"parameter\".",
    ),
    (&["objectName", "remoteRef", "from"], "Write \"secret\", or \"parameter\"."),
    (
        &["property", "json_key", "jsonKey", "member", "jmesPath", "jq", "key"],
        "One member of a secret is its \"field\".",
    ),
    (&["path", "prefix"], "All parameters below a path are \"parameters\"."),
    (&["recursive"], "\"parameters\" always takes every depth. Remove it."),
    (&["required"], "A secret is required if it has no \"optional: true\"."),
    (&["region", "account", "account_id"], "Write the whole ARN, which names the region and the account."),
    (&["default"], "Write \"optional: true\", and the default in the function."),
    (&["env_var", "envVar", "env_name", "environment", "variable"], "Write \"env\"."),
];

/// What people write beside `parameters`, which takes no ARN.
pub(crate) const OF_A_FOLDER: &Hints = &[
    (
        &["region"],
        "Parameters below a path come from the \"region\" at the top. Name one of another region by its ARN.",
    ),
    (&["account", "account_id"], "Parameters below a path are in the account of the role. Write \"role\" for another."),
];

/// Returns the sentence about a key.
pub(crate) fn hint(hints: &Hints, key: &str) -> Option<&'static str> {
    hints.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, sentence)| *sentence)
}
