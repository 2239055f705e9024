"""Finds the functions that a command is about: by name, by tag, or from a file."""

from __future__ import annotations

import io
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..aws.errors import ask
from ..files import FileError, read_text
from .terms import DeployError, is_terminal, shown_file

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

# A name or an ARN, with a version or an alias at its end or not.
_FUNCTION = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:)?[A-Za-z0-9_-]{1,140}(?::[^:\s]+)?"
)
_LARGEST_FILE = 1024 * 1024


def selected(arguments: Namespace, clients: Callable[[str], Any]) -> list[str]:
    """Returns the names or ARNs of the functions, each once, in their order. Raises if nothing has the tags."""
    names: list[str] = list(arguments.functions)
    if arguments.from_file is not None:
        names += _listed(arguments.from_file)
    if arguments.tag:
        names += _tagged(clients("resourcegroupstaggingapi"), arguments.tag)
    return list(dict.fromkeys(names))


def _listed(file: Path) -> list[str]:
    """Reads a file with one function a line. Empty lines, and what follows a #, do not count."""
    shown = "standard input" if file == Path("-") else shown_file(file)
    source: Path | BinaryIO = file
    if file == Path("-"):
        source = sys.stdin.buffer if sys.stdin else io.BytesIO()
    try:
        text = read_text(source, _LARGEST_FILE)
    except FileError as error:
        raise DeployError(f"{shown} {error}") from None
    names = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].strip()
        if name and not _FUNCTION.fullmatch(name):
            # The line may hold anything, so do not repeat it.
            raise DeployError(
                f"{shown}:{number}: This is not the name or the ARN of a function. Write one a line."
            )
        if name:
            names.append(name)
    if not names:
        raise DeployError(f"{shown} names no function. Write one a line.")
    return names


def _tagged(client: Any, tags: Sequence[tuple[str, str]]) -> list[str]:
    """Returns the ARNs of the functions that have all of the tags."""
    values: dict[str, list[str]] = {}
    for key, value in tags:
        values.setdefault(key, []).append(value)
    filters = [{"Key": key, "Values": wanted} for key, wanted in values.items()]

    def call() -> list[str]:
        pages = client.get_paginator("get_resources").paginate(
            ResourceTypeFilters=["lambda:function"], TagFilters=filters
        )
        return [one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"]]

    found = ask("tag:GetResources", call)
    if not found:
        shown = " and ".join(f"{key}={'|'.join(wanted)}" for key, wanted in values.items())
        region = client.meta.region_name
        raise DeployError(f"No function of {region} has the tag {shown}. Correct the tag or the region.")
    return sorted(found)


def every_function(client: LambdaClient) -> Iterator[Configuration]:
    """Yields all functions of the region."""
    pages = iter(client.get_paginator("list_functions").paginate())

    def ask_next() -> list[Configuration] | None:
        page = next(pages, None)
        return None if page is None else page["Functions"]

    while (functions := ask("lambda:ListFunctions", ask_next)) is not None:
        yield from functions


def progress(what: str, number: int, count: int) -> None:
    """Shows on a terminal how far a command has come with many functions."""
    if count > 1 and is_terminal(sys.stderr):
        end = "\r\033[K" if number == count else ""
        print(f"\r\033[K{what} {number} of {count}{end}", end="", file=sys.stderr, flush=True)
