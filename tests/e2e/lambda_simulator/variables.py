"""The environment variables of the function and its extensions. It reads none of the host's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

InitializationType = Literal["on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances"]

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html, "Environment variables"
NOT_FOR_EXTENSIONS = {
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}
NOT_FOR_EXTENSIONS_PREFIXES = ("AWS_XRAY_", "_")  # _HANDLER and _AWS_XRAY_* among them
MAX_BYTES = 4096  # all names and values of the function's own variables together


@dataclass(frozen=True)
class Credentials:
    """The role's credentials. They appear only in the processes' environment."""

    access_key_id: str = field(default="ASIASIMULATEDKEY0000", repr=False)
    secret_access_key: str = field(default="simulated", repr=False)
    session_token: str = field(default="simulated", repr=False)

    def variables(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


def check_size(own: Mapping[str, str]) -> None:
    """Refuses what Lambda would refuse to configure."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in own.items())
    if size > MAX_BYTES:
        raise ValueError(f"the function's variables take {size} bytes, and Lambda allows {MAX_BYTES}")


def for_function(
    *,
    own: Mapping[str, str],
    credentials: Mapping[str, str],
    runtime_api: str,
    handler: str,
    task_root: str,
    execution_env: str,
    name: str,
    version: str,
    memory_mb: int,
    region: str,
    initialization_type: InitializationType,
    concurrency: int | None = None,
) -> dict[str, str]:
    """Returns the function's variables, and Lambda's over them (lambda/latest/dg/configuration-envvars.html)."""
    managed = {} if concurrency is None else {"AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)}
    return {
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "TZ": ":UTC",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        **own,
        **credentials,
        **managed,
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": handler,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": execution_env,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"simulated/[{version}]",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_REGION": region,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": task_root,
    }


def for_extension(function: Mapping[str, str]) -> dict[str, str]:
    """Returns those of the function's variables that its extensions get."""
    return {
        name: value
        for name, value in function.items()
        if name not in NOT_FOR_EXTENSIONS and not name.startswith(NOT_FOR_EXTENSIONS_PREFIXES)
    }
