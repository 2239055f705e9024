//! Which variables `env:` may name. The reasons stand in the configuration's `variables.py`, which has the same lists.

use keystart_core::manifest;

/// Names, and beginnings of names, which end in `*`.
const TAKEN: &str = "AWS_LAMBDA_* LAMBDA_* AWS_CONTAINER_* AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY \
    AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_EXECUTION_ENV KEYSTART_* LD_* PYTHON* DOTNET_* \
    CORECLR_* PATH GLIBC_TUNABLES BASH_ENV NODE_OPTIONS NODE_PATH RUBYOPT RUBYLIB GEM_HOME GEM_PATH BUNDLE_GEMFILE \
    JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS CLASSPATH";

pub(super) fn is_allowed(variable: &str) -> bool {
    let is = |taken: &str| taken.strip_suffix('*').map_or(variable == taken, |begin| variable.starts_with(begin));
    manifest::is_variable(variable) && !TAKEN.split_whitespace().any(is)
}
