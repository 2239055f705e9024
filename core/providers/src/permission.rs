//! What a policy must allow, and where.

/// What a policy must allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The name of the statement.
    pub sid: &'static str,
    /// The action, such as `ssm:GetParameters`.
    pub action: &'static str,
    /// The ARNs, or `*`.
    pub resources: Vec<String>,
}

/// Where secrets lie whose entry has no ARN or no region.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The account; `None` for every account.
    pub account: Option<String>,
    /// The region of entries without one.
    pub region: Option<String>,
}
