"""Refuses the variables of contract/variables.toml in `env:`, and shows with real programs what they do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from keystart_extension.plan import ConfigurationError

from generate.contract import VariableGroup
from generate.contract import load as load_contract
from tests.fakes.http import Answer, Stub

from .configurations import load

GROUPS = load_contract().variables


def refusal(variable: str) -> str | None:
    """Returns why `env:` may not name a variable, or None if it may."""
    text = json.dumps({"db": {"secret": "prod/db", "env": variable}})
    try:
        load({"KEYSTART_SECRETS": text})
    except ConfigurationError as error:
        (problem,) = error.problems
        message: str = problem["message"]
        return message.removeprefix('"db": ')
    return None


@pytest.mark.parametrize("group", GROUPS, ids=[group.name for group in GROUPS])
def test_a_refusal_says_which_variable_why_and_what_to_do(group: VariableGroup) -> None:
    for name in group.variables:
        for variable in (name.replace("*", "X"), name.replace("*", "x").lower()):
            expected = f'"env" cannot be {variable}, {group.reason.because}. {group.reason.cure}'
            assert refusal(variable) == expected


# Variables that functions take their secrets from, and others that only resemble a name in the list.
ALLOWED = """
    DB_PASSWORD DATABASE_URL REDIS_URL PGPASSWORD MYSQL_PWD STRIPE_API_KEY SENTRY_DSN GITHUB_TOKEN GIT_TOKEN NPM_TOKEN
    NODE_AUTH_TOKEN GEM_HOST_API_KEY NEW_RELIC_LICENSE_KEY DD_API_KEY OTEL_EXPORTER_OTLP_HEADERS DOCKER_PASSWORD
    SPRING_DATASOURCE_PASSWORD AWS_SES_SMTP_PASSWORD AWS_S3_BUCKET COMPOSER_AUTH CARGO_REGISTRY_TOKEN DJANGO_SECRET_KEY
    FLASK_SECRET_KEY SECRET_KEY_BASE RAILS_MASTER_KEY JWT_SECRET ASPNETCORE_Kestrel__Certificates__Default__Password
    ConnectionStrings__Default SSL_CERT SSL_KEY KRB5_PASSWORD PKCS11_PIN UVICORN_SSL_KEYFILE_PASSWORD PATH_TO HOMEPAGE
    ENVIRONMENT PROXY_PASSWORD HTTP_PROXY_PASSWORD
"""


@pytest.mark.parametrize("variable", ALLOWED.split())
def test_variables_for_secrets_are_not_refused(variable: str) -> None:
    assert refusal(variable) is None


def test_a_configuration_with_such_a_variable_is_refused() -> None:
    text = json.dumps({"db": {"secret": "prod/db", "env": "https_proxy"}})
    with pytest.raises(ConfigurationError) as caught:
        load({"KEYSTART_SECRETS": text})
    assert str(caught.value) == (
        'KEYSTART_SECRETS:1:30: "db": "env" cannot be https_proxy, which decides who answers, and who is believed: '
        "whoever may write the secret would be in between. Read the secret by its name, and hand the setting to the "
        "client that needs it."
    )


class Attack(NamedTuple):
    """The variables with which a program makes the file `ran`. In all texts FOLDER is the test's folder."""

    command: list[str]
    variables: dict[str, str]
    files: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        return f"{self.command[0]} with {' and '.join(self.variables)}"


RAN = "FOLDER/ran"
NODE_WRITES = f"require('fs').writeFileSync('{RAN}', '')"
RUBY_WRITES = f"File.write('{RAN}', '')"
SCRIPT = {"script": "#!/bin/sh\ntouch FOLDER/ran\n"}
LIBRARY = {
    "library.c": (
        "#include <fcntl.h>\n"
        '__attribute__((constructor)) static void run(void) { creat("FOLDER/ran", 384); }\n'
    )
}
GCONV = "module KEYSTART// INTERNAL library 1\nmodule INTERNAL KEYSTART// library 1\n"
OPENSSL = "openssl_conf = a\n[a]\nproviders = b\n[b]\nc = d\n[d]\nmodule = FOLDER/library.so\nactivate = 1\n"
CREDENTIALS = {**SCRIPT, "x": "[default]\ncredential_process = FOLDER/script\n"}
PACKAGE = {**SCRIPT, "package.json": '{"scripts": {"x": "true"}}'}
BOTO3 = "import boto3; boto3.Session(region_name='eu-west-1').get_credentials().get_frozen_credentials()"
PYTHON = sys.executable

ATTACKS = [
    Attack(["node", "-e", ""], {"NODE_OPTIONS": "--require=FOLDER/x.cjs"}, {"x.cjs": NODE_WRITES}),
    Attack(["node", "-e", "require('x')"], {"NODE_PATH": "FOLDER"}, {"x.js": NODE_WRITES}),
    Attack(["node", "-i"], {"NODE_REPL_EXTERNAL_MODULE": "FOLDER/x.js"}, {"x.js": NODE_WRITES}),
    Attack(["python3", "-c", ""], {"PYTHONPATH": "FOLDER"}, {"sitecustomize.py": f"open('{RAN}', 'w')"}),
    Attack(["python3", "-m", "webbrowser", "http://x"], {"BROWSER": "FOLDER/script %s"}, SCRIPT),
    Attack(["ruby", "-e", ""], {"RUBYOPT": "-rFOLDER/x.rb"}, {"x.rb": RUBY_WRITES}),
    Attack(["ruby", "-e", "require 'x'"], {"RUBYLIB": "FOLDER"}, {"x.rb": RUBY_WRITES}),
    Attack(
        ["ruby", "-rbundler/setup", "-e", ""],
        {"BUNDLE_GEMFILE": "FOLDER/x/Gemfile"},
        {"x/Gemfile": RUBY_WRITES},
    ),
    Attack(
        ["perl", "-e", ""], {"PERL5OPT": "-Mx", "PERL5LIB": "FOLDER"}, {"x.pm": f"open(F, '>', '{RAN}'); 1;"}
    ),
    Attack(["perl", "-d", "-e", "1"], {"PERL5DB": "BEGIN { open(F, '>', 'FOLDER/ran') } sub DB::DB {}"}),
    Attack(["bash", "-c", ":"], {"BASH_ENV": "FOLDER/script"}, SCRIPT),
    Attack(["bash", "--norc", "-i"], {"PROMPT_COMMAND": "touch FOLDER/ran"}),
    Attack(["sh", "-i", "-c", ":"], {"ENV": "FOLDER/script"}, SCRIPT),
    Attack(["git", "ls-remote", "ssh://host/x"], {"GIT_SSH_COMMAND": "FOLDER/script"}, SCRIPT),
    Attack(
        ["git", "diff", "--no-index", "--ext-diff", "x", "y"],
        {"GIT_EXTERNAL_DIFF": "FOLDER/script"},
        {**SCRIPT, "x": "1", "y": "2"},
    ),
    Attack(
        ["git", "x"],
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.x", "GIT_CONFIG_VALUE_0": "!touch FOLDER/ran"},
    ),
    Attack(["git", "x"], {"HOME": "FOLDER"}, {".gitconfig": "[alias]\nx = !touch FOLDER/ran\n"}),
    Attack(["git", "x"], {"XDG_CONFIG_HOME": "FOLDER"}, {"git/config": "[alias]\nx = !touch FOLDER/ran\n"}),
    Attack(["git", "config", "--file", "x", "--edit"], {"EDITOR": "FOLDER/script"}, SCRIPT),
    Attack(
        ["tar", "-cf", "/dev/null", "x"],
        {"TAR_OPTIONS": "--checkpoint=1 --checkpoint-action=exec=FOLDER/script"},
        {**SCRIPT, "x": ""},
    ),
    Attack(["env", "x"], {"PATH": "FOLDER"}, {"x": SCRIPT["script"].replace("touch", ">")}),
    Attack(["npm", "run", "x"], {"npm_config_script_shell": "FOLDER/script"}, PACKAGE),
    Attack(["npm", "run", "x"], {"NPM_CONFIG_SCRIPT_SHELL": "FOLDER/script"}, PACKAGE),
    Attack([PYTHON, "-c", BOTO3], {"AWS_CONFIG_FILE": "FOLDER/x"}, CREDENTIALS),
    Attack([PYTHON, "-c", BOTO3], {"AWS_SHARED_CREDENTIALS_FILE": "FOLDER/x"}, CREDENTIALS),
    Attack(["cat", "/dev/null"], {"LD_PRELOAD": "FOLDER/library.so"}, LIBRARY),
    Attack(
        ["iconv", "-f", "KEYSTART", "/dev/null"],
        {"GCONV_PATH": "FOLDER"},
        {**LIBRARY, "gconv-modules": GCONV},
    ),
    Attack(["openssl", "rand", "1"], {"OPENSSL_CONF": "FOLDER/x"}, {**LIBRARY, "x": OPENSSL}),
    Attack(["java", "-version"], {"JAVA_TOOL_OPTIONS": "-agentpath:FOLDER/library.so"}, LIBRARY),
    Attack(["java", "-version"], {"JDK_JAVA_OPTIONS": "-agentpath:FOLDER/library.so"}, LIBRARY),
]


def _run(command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
    # It may fail, because the variable made it do something else.
    subprocess.run(
        [part.replace("FOLDER", str(folder)) for part in command],
        env=variables,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_a_refused_variable_would_have_run_code(tmp_path: Path, attack: Attack) -> None:
    needed = [attack.command[0], *(["cc"] if "library.c" in attack.files else [])]
    if absent := [program for program in needed if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(absent)} is not installed")
    for name, text in attack.files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text.replace("FOLDER", str(tmp_path)))
        file.chmod(0o700)
    if "library.c" in attack.files:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "library.so", "library.c"], cwd=tmp_path, check=True)
    usual = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path / "home")}
    ran = tmp_path / "ran"
    _run(attack.command, tmp_path, usual)
    assert not ran.exists(), "the program does it by itself"
    variables = {name: value.replace("FOLDER", str(tmp_path)) for name, value in attack.variables.items()}
    program = shutil.which(attack.command[0])
    assert program is not None
    _run([program, *attack.command[1:]], tmp_path, {**usual, **variables})
    assert ran.exists(), "these variables run nothing"
    assert [name for name in variables if refusal(name) is None] == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_refused_variable_would_have_chosen_who_answers(variable: str) -> None:
    curl = shutil.which("curl")
    code = "import urllib.request as r; print(r.urlopen('http://keystart.invalid/').read().decode())"
    command = [curl, "-s", "http://keystart.invalid/"] if curl else [sys.executable, "-c", code]
    if curl and variable == "HTTP_PROXY":
        command = [sys.executable, "-c", code]  # curl reads it in lower case only
    if not curl and "all" in variable.lower():
        pytest.skip("curl is not installed")
    with Stub(lambda _: Answer(body=b"of the proxy")) as proxy:
        environment = {"PATH": os.environ["PATH"], variable: proxy.url}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
    assert ended.stdout.strip() == "of the proxy"
    assert refusal(variable) is not None


def test_a_refused_variable_would_have_chosen_who_is_believed(tmp_path: Path) -> None:
    authorities = tmp_path / "authorities.pem"
    authorities.write_text("")
    code = "import ssl; print(ssl.get_default_verify_paths().cafile)"
    environment = {"SSL_CERT_FILE": str(authorities)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == str(authorities)
    assert refusal("SSL_CERT_FILE") is not None
