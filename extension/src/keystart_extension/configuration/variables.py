"""Says which variables `env:` may name; extension/core/src/configuration/variables.rs has the same lists."""

from __future__ import annotations

import re

# Lambda's own rule for the variables of a function; what it sets itself also begins with "_".
_VARIABLE = re.compile("[A-Za-z][A-Za-z0-9_]{1,254}")
_ANOTHER = "Name another variable."

# By what a refusal says of them: names, and beginnings of names, which end in "*".
TAKEN = {
    "which Lambda sets itself": (
        "AWS_LAMBDA_* LAMBDA_* AWS_CONTAINER_* AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY "
        "AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_EXECUTION_ENV"
    ),
    "which tells where the secrets are": "KEYSTART_*",
    "which decides what code is loaded: whoever may write the secret would run theirs": (
        "LD_* PYTHON* DOTNET_* CORECLR_* PATH GLIBC_TUNABLES BASH_ENV NODE_OPTIONS NODE_PATH RUBYOPT RUBYLIB GEM_HOME "
        "GEM_PATH BUNDLE_GEMFILE JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS CLASSPATH"
    ),
}


def refusal(variable: str) -> str | None:
    """Gives the sentence for a name that `env:` may not have."""
    if _VARIABLE.fullmatch(variable) is None:
        # It is not shown: a secret may have been pasted in its place.
        return (
            '"env" must be the name of a variable as Lambda takes it: a letter, then letters, digits and "_", '
            "2 to 255 in all."
        )
    for what, names in TAKEN.items():
        if any(_is(variable, taken) for taken in names.split()):
            return f'"env" cannot be {variable}, {what}. {_ANOTHER}'
    return None


def _is(variable: str, taken: str) -> bool:
    return variable.startswith(taken[:-1]) if taken.endswith("*") else variable == taken
