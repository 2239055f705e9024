"""Writes a keystart.yaml from what people have: the command `import`.

findings        what a file of another tool asks for, and what cannot be translated
documents       reads YAML and JSON with lines and tags
references      the texts in which tools name secrets of AWS
cloudformation  templates of CloudFormation and SAM, and their task definitions of ECS
serverless      serverless.yml
ecs             task definitions
kubernetes      ExternalSecret and SecretProviderClass
square          config.yaml of Square's extension
lines           .env files, chamber in scripts, and code, by patterns
command         finds out which form a file has, and writes the result
"""

from __future__ import annotations

import argparse
from pathlib import Path

_DESCRIPTION = """\
Writes a keystart.yaml from files of other tools: templates of CloudFormation and SAM, serverless.yml, task definitions
of ECS, ExternalSecret and SecretProviderClass of Kubernetes, config.yaml of Square's extension, .env files with
references, scripts with chamber, and code. It lists what it does not translate. It sends nothing to AWS.
"""
_EPILOG = """\
Exit codes: 0 everything is translated, 1 failed, or nothing was found, 2 wrong use, 3 something is not translated and
listed with file, line and reason.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser(
        "import",
        help="write a keystart.yaml from files of other tools",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_import)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of one of these tools")
    parser.add_argument(
        "--function",
        metavar="NAME",
        help="only what this function of a template or of serverless.yml needs, or this container of a task",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help='default: keystart.yaml here; "-" is standard output'
    )


def _import(arguments: argparse.Namespace) -> int:
    from ..deploy import DeployError

    try:
        from .command import translate
    except ModuleNotFoundError:
        raise DeployError(
            "PyYAML is not installed here, and the layer does not bring it. Run: "
            "pip install 'keystart-extension[import]'"
        ) from None
    return translate(arguments.files, arguments.function, arguments.output)
