"""Restarts functions when their secrets changed: sets a variable made from the versions that each would fetch.

Lambda starts new environments of a function when its configuration changes. A function whose marker is right stays as
it is.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..aws import session
from ..aws.errors import ask
from ..plan import VARIABLE
from .change import NO_CHANGE, Change, keystart_layers, roll_change, variables_of
from .configuration import plan_of
from .preflight import CONFIG, Findings
from .selection import every_function, selected
from .terms import DeployError
from .update import EXIT_WRONG_USE, Manner, can_ask, run
from .versions import Source, Versions

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

    from ..plan import Plan

_FAILED = (
    "Its last update failed, so its environments may be old ones. Correct what failed, and update it again."
)


def roll(arguments: Namespace) -> int:
    """Rolls the functions and returns the exit code."""
    if not can_ask(arguments):
        return EXIT_WRONG_USE
    clients = session.Clients(arguments.region, arguments.profile)
    client: LambdaClient = clients("lambda")
    versions = Versions(clients)

    def names() -> Sequence[str]:
        return _users(client, arguments.uses) if arguments.uses else selected(arguments, clients)

    def look(answer: Mapping[str, Any]) -> tuple[Change, Findings] | None:
        function: Configuration = answer["Configuration"]
        region = function["FunctionArn"].split(":")[3]
        try:
            plan = plan_of(answer, arguments.config, clients.authorities)
            if arguments.uses and not _uses(plan, arguments.uses, region):
                return None
            if function.get("State") == "Inactive":
                return NO_CHANGE, Findings(warnings=("It is Inactive: its next environment is a new one.",))
            marker = versions.marker(plan, region)
        except DeployError as error:
            return NO_CHANGE, Findings((str(error),))
        if marker is None:
            return NO_CHANGE, Findings(
                warnings=("Its configuration names each version, so none can be newer.",)
            )
        value, count = marker
        what = f"the versions of {count} {'secret' if count == 1 else 'secrets'}"
        change = roll_change(function, value, what)
        if change.is_needed:
            return change, Findings(_version_problems(client, function))
        # The marker is that of an update that Lambda did not make.
        has_failed = function.get("LastUpdateStatus") == "Failed"
        return change, Findings(problems=(_FAILED,) if has_failed else ())

    nobody = (
        f"No function of {client.meta.region_name} has a configuration that names this secret. Correct the secret or "
        "the region."
    )
    manner = Manner(stops=False, over=arguments.over, if_none=nobody if arguments.uses else "")
    return run(arguments, client, names, look, manner)


def _users(client: LambdaClient, secret: str) -> list[str]:
    """Returns the functions of the region that use a secret, or that may use it by their package."""
    return [
        function["FunctionArn"].removesuffix(":$LATEST")
        for function in every_function(client)
        if _may_use(function, secret)
    ]


def _may_use(function: Configuration, secret: str) -> bool:
    variables = variables_of(function)
    if not variables.get(VARIABLE) or variables.get(CONFIG):
        return bool(variables.get(CONFIG) or keystart_layers(function, None))
    try:
        plan = plan_of({"Configuration": function}, None, True)
    except DeployError:
        return True  # the look at the function reports it
    return _uses(plan, secret, function["FunctionArn"].split(":")[3])


def _uses(plan: Plan, secret: str, region: str) -> bool:
    sources = (Source.of(entry, region) for entry in plan.facts["entries"])
    return any(source is not None and source.is_named(secret, region) for source in sources)


def _commands(function: Configuration, aliases: Sequence[str] = ("ALIAS",)) -> str:
    """Returns the lines that publish $LATEST and move aliases. Lambda publishes nothing if nothing changed."""
    named = f"--function-name {function['FunctionArn'].removesuffix(':$LATEST')}"
    publish = (
        f'update-function-configuration {named} --description "$(date)"',
        f"wait function-updated-v2 {named}",
        f"publish-version {named} --code-sha256 {function.get('CodeSha256', 'SHA256')}",
    )
    move = (
        f"wait published-version-active {named} --qualifier N",
        *(f"update-alias {named} --name {alias} --function-version N" for alias in aliases),
    )
    first, then = (
        "".join(f"\n  aws lambda {command}" for command in commands) for commands in (publish, move)
    )
    return (
        f"\nIf the code of $LATEST may be released, publish a new version, and move the alias:{first}"
        f"\nN is the Version that this prints:{then}"
    )


def _version_problems(client: LambdaClient, function: Configuration) -> tuple[str, ...]:
    """Returns why new environments of $LATEST would not be those that serve."""
    if "CapacityProviderConfig" in function:
        return (f"It runs on Managed Instances, which serve published versions.{_commands(function)}",)
    if function.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions":
        return (f"SnapStart serves published versions, each from its snapshot.{_commands(function)}",)
    name = function["FunctionName"]

    def call() -> dict[str, str]:
        pages = client.get_paginator("list_aliases").paginate(FunctionName=name)
        return {
            alias["Name"]: f"{alias['Name']} (version {alias['FunctionVersion']})"
            for page in pages
            for alias in page["Aliases"]
            if alias["FunctionVersion"] != "$LATEST"
        }

    aliases = ask(f"lambda:ListAliases on {name}", call)
    if not aliases:
        return ()
    return (
        f"Aliases run published versions of it, which nothing changes: {', '.join(aliases.values())}."
        f"{_commands(function, list(aliases))}",
    )
