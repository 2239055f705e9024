"""Shows which configurations are accepted, and the plan of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from keystart_extension.plan import ConfigurationError

from .configurations import load, load_file

Entry = dict[str, Any]

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-a1B2c3"
PLAIN: Entry = {
    "name": "db",
    "kind": "secret",
    "id": "prod/db",
    "region": None,
    "field": None,
    "expand": False,
    "members": None,
    "stage": None,
    "version_id": None,
    "role": None,
    "external_id": None,
    "session_name": None,
    "optional": False,
    "env": None,
    "ttl": None,
    "as_is": False,
    "origin": None,
}
ALL: dict[str, Any] = {"only": None, "except": [], "rename": []}
SHORTEST = '{"version": 1, "secrets": {"db": "prod/db"}}'
COMPLETE = """\
version: 1
start: before
deadline: 1500ms
region: eu-west-1
ttl: none
snapstart: init
batch: true
env_overwrite: true
secrets:
  db: prod/db
  stripe/key:
    secret: arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/stripe-a1B2c3
    field: api_key
    optional: true
    role: arn:aws:iam::210987654321:role/stripe-reader
    env: STRIPE_API_KEY
  tls:
    secret: prod/mtls
    expand: true
  signing-previous:
    secret: prod/signing
    stage: AWSPREVIOUS
  signing-pinned:
    secret: prod/signing
    version_id: 9d4cb84b-ad69-40c0-a0ab-cead36b967e8
  flags:
    parameter: /prod/flags
    ttl: none
  app:
    parameters: /prod/orders/
"""


def write(folder: Path, text: str, name: str = "keystart.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def plain(**changes: Any) -> Entry:
    return PLAIN | changes


def at(file: Path | str, line: int, column: int) -> dict[str, Any]:
    return {"file": str(file), "line": line, "column": column}


def entries_of(folder: Path, secrets: str) -> list[Entry]:
    """Reads a configuration with these lines below `secrets:`; origins are left out."""
    text = f"version: 1\nsecrets:\n{secrets}\n"
    plan = load_file(write(folder, text), {})
    return [entry | {"origin": None} for entry in plan.facts["entries"]]


def test_a_file_with_every_key_makes_the_plan_it_says(tmp_path: Path) -> None:
    path = write(tmp_path, COMPLETE)

    def here(line: int, **changes: Any) -> Entry:
        return plain(origin=at(path, line, 3), **{"region": "eu-west-1", **changes})

    assert load_file(path, {}).facts == {
        "start": "before",
        "deadline": 1.5,
        "region": "eu-west-1",
        "entries": [
            here(10),
            here(
                11,
                name="stripe/key",
                id="arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/stripe-a1B2c3",
                region="us-east-1",
                field="api_key",
                optional=True,
                role="arn:aws:iam::210987654321:role/stripe-reader",
                env="STRIPE_API_KEY",
            ),
            here(17, name="tls", id="prod/mtls", expand=True, members=ALL),
            here(20, name="signing-previous", id="prod/signing", stage="AWSPREVIOUS"),
            here(
                23,
                name="signing-pinned",
                id="prod/signing",
                version_id="9d4cb84b-ad69-40c0-a0ab-cead36b967e8",
            ),
            here(26, name="flags", kind="parameter", id="/prod/flags", ttl="none"),
            here(29, name="app", kind="parameters", id="/prod/orders", members=ALL),
        ],
        "links": [],
        "links_home": None,
        "source_file": str(path),
        "batch": True,
        "env_overwrite": True,
        "ttl": None,
        "max_stale": None,
        "refresh_deadline": 2.0,
        "snapstart": "init",
    }


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    plan = load_file(write(tmp_path, "version: 1\nsecrets: {db: prod/db}\n"), {})
    assert [plan.facts[key] for key in ("start", "deadline", "region")] == ["overlap", 8.0, None]


@pytest.mark.parametrize(
    ("written", "seconds"), [("100ms", 0.1), ("8s", 8.0), ("1m", 60.0), ("15m", 900.0), ("900s", 900.0)]
)
def test_a_deadline_may_be_from_100_milliseconds_to_15_minutes(
    tmp_path: Path, written: str, seconds: float
) -> None:
    text = f"version: 1\ndeadline: {written}\nsecrets: {{db: prod/db}}\n"
    assert load_file(write(tmp_path, text), {}).facts["deadline"] == seconds


def test_the_same_configuration_as_json_makes_the_same_plan(tmp_path: Path) -> None:
    document = {
        "version": 1,
        "region": "eu-west-1",
        "secrets": {"db": "prod/db", "tls": {"secret": "prod/mtls", "expand": True}},
    }
    text = json.dumps(document)
    from_json = load_file(write(tmp_path, text, "keystart.json"), {})
    # JSON on one line is YAML too, so even the positions are the same.
    from_yaml = load_file(write(tmp_path, text, "keystart.yaml"), {})
    assert [entry["id"] for entry in from_json.facts["entries"]] == ["prod/db", "prod/mtls"]
    assert json.dumps(from_json.facts).replace("keystart.json", "keystart.yaml") == json.dumps(
        from_yaml.facts
    )


@pytest.mark.parametrize("name", ["keystart.json", "keystart.yaml"])
def test_null_at_an_optional_key_means_that_it_is_not_given(tmp_path: Path, name: str) -> None:
    entry = dict.fromkeys(
        ("parameter", "parameters", "field", "expand", "stage", "version_id", "role", "env")
    )
    document = {
        "version": 1,
        **dict.fromkeys(("start", "deadline", "region", "batch", "env_overwrite", "ttl", "snapstart")),
        "secrets": {"db": {"secret": "prod/db", "optional": None, "ttl": None, **entry}},
    }
    plan = load_file(write(tmp_path, json.dumps(document), name), {})
    assert [one | {"origin": None} for one in plan.facts["entries"]] == [PLAIN]
    assert plan.facts == load_file(write(tmp_path, SHORTEST, name), {}).facts | {
        "entries": plan.facts["entries"]
    }


def test_json_text_is_decoded_as_json_does(tmp_path: Path) -> None:
    text = '{"version": 1, "secrets": {"d\\u0062": {"secret": "prod\\/db", "field": "\\ud83d\\ude00\\n"}}}'
    path = write(tmp_path, text.replace("\\n", ""), "keystart.json")
    compiled = json.loads(load_file(path, {}).compiled())
    assert compiled["secrets"] == {"db": {"secret": "prod/db", "field": "\N{GRINNING FACE}"}}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("prod/db", PLAIN, id="name"),
        pytest.param("A/z0_+=.@-", plain(id="A/z0_+=.@-"), id="every character of a name"),
        pytest.param("rds!db-1234", plain(id="rds!db-1234"), id="secret that a service manages"),
        pytest.param(ARN, plain(id=ARN, region="us-east-1"), id="ARN"),
        pytest.param(
            "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db",
            plain(id="arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db", region="cn-north-1"),
            id="ARN of another partition",
        ),
        pytest.param(
            f"{ARN}:password::", plain(id=ARN, region="us-east-1", field="password"), id="ECS field"
        ),
        pytest.param(f"{ARN}:password", plain(id=ARN, region="us-east-1", field="password"), id="ECS, cut"),
        pytest.param(
            f"{ARN}::AWSPREVIOUS:",
            plain(id=ARN, region="us-east-1", stage="AWSPREVIOUS"),
            id="ECS stage",
        ),
        pytest.param(
            f"{ARN}:::9d4cb84b-ad69-40c0-a0ab-cead36b967e8",
            plain(id=ARN, region="us-east-1", version_id="9d4cb84b-ad69-40c0-a0ab-cead36b967e8"),
            id="ECS version",
        ),
        pytest.param(f"{ARN}:::", plain(id=ARN, region="us-east-1"), id="ECS, all parts empty"),
        pytest.param("ssm:/prod/flags", plain(kind="parameter", id="/prod/flags"), id="parameter"),
        pytest.param("ssm:flags:3", plain(kind="parameter", id="flags:3"), id="version of a parameter"),
        pytest.param(
            "arn:aws:ssm:us-east-1:123456789012:parameter/prod/flags:live",
            plain(
                kind="parameter",
                id="arn:aws:ssm:us-east-1:123456789012:parameter/prod/flags:live",
                region="us-east-1",
            ),
            id="ARN of a parameter with a label",
        ),
    ],
)
def test_the_short_form_understands_every_kind_of_id(tmp_path: Path, written: str, expected: Entry) -> None:
    # In quotes, because YAML takes a ":" at the end for the one after a key.
    assert entries_of(tmp_path, f'  db: "{written}"') == [expected]


def test_the_long_form_understands_ecs_references_too(tmp_path: Path) -> None:
    assert entries_of(tmp_path, f"  db:\n    secret: '{ARN}:password::'\n    optional: true") == [
        plain(id=ARN, region="us-east-1", field="password", optional=True)
    ]


def test_a_parameter_may_be_named_by_its_arn_and_the_root_path_stays_a_slash(tmp_path: Path) -> None:
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/flags"
    parameter, everything = entries_of(
        tmp_path, f"  flags: {{parameter: '{arn}'}}\n  all: {{parameters: /, optional: true}}"
    )
    assert (parameter["id"], parameter["region"]) == (arn, "us-east-1")
    assert (everything["id"], everything["kind"], everything["optional"]) == ("/", "parameters", True)


def test_names_below_a_folder_of_members_are_left_to_the_fetch(tmp_path: Path) -> None:
    names = [
        entry["name"]
        for entry in entries_of(tmp_path, "  tls: {secret: a, expand: true}\n  tls/ca: b\n  constructor: c")
    ]
    assert names == ["tls", "tls/ca", "constructor"]


def test_quotes_make_text_of_what_looks_like_something_else(tmp_path: Path) -> None:
    (entry,) = entries_of(tmp_path, "  \"no\": '0123'")
    assert (entry["name"], entry["id"]) == ("no", "0123")


@pytest.mark.parametrize(
    "written",
    ["1.2.3", "11111111-1111-1111-1111-111111111111", "2024-01-01-db", "nothing", "0123x", "1e3-db"],
)
def test_text_that_only_begins_like_a_number_or_date_needs_no_quotes(tmp_path: Path, written: str) -> None:
    assert entries_of(tmp_path, f"  db: {written}") == [plain(id=written)]


def test_members_are_chosen_and_renamed(tmp_path: Path) -> None:
    lines = (
        "  app: {secret: prod/net, expand: true, only: [user], rename: {API Key: key}}\n"
        "  all: {parameters: /prod/, except: [size, rds/database]}"
    )
    assert [entry["members"] for entry in entries_of(tmp_path, lines)] == [
        {"only": ["user"], "except": [], "rename": [{"from": {"characters": 7}, "to": "key"}]},
        {"only": None, "except": ["size", "rds/database"], "rename": []},
    ]
    plan = load_file(tmp_path / "keystart.yaml")
    assert json.loads(plan.compiled())["secrets"]["app"] == {
        "secret": "prod/net",
        "expand": True,
        "only": ["user"],
        "rename": {"API Key": "key"},
    }
    assert "expand, only 1, rename 1" in plan.describe()


def test_a_role_may_have_an_external_id_and_a_session_name(tmp_path: Path) -> None:
    lines = (
        "  db: {secret: prod/db, role: 'arn:aws:iam::210987654321:role/r', external_id: made-up, "
        "session_name: orders}"
    )
    (entry,) = entries_of(tmp_path, lines)
    assert (entry["external_id"], entry["session_name"]) == ({"characters": 7}, "orders")
    plan = load_file(tmp_path / "keystart.yaml")
    assert json.loads(plan.compiled())["secrets"]["db"]["external_id"] == "made-up"
    assert "made-up" not in plan.describe()


# Variables in ids.

STAGED = """\
version: 1
secrets:
  db: ${STAGE}/orders/db
  key: "arn:aws:secretsmanager:${AWS_REGION}:123456789012:secret:${STAGE}/key-a1B2c3"
  flags: ssm:/${STAGE}/flags:3
  app: {parameters: "/${STAGE}/app/"}
"""
RESOLVED = [
    "prod/orders/db",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-a1B2c3",
    "/prod/flags:3",
    "/prod/app",
]


def test_ids_take_variables_of_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "prod")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    plan = load_file(write(tmp_path, STAGED))
    assert [entry["id"] for entry in plan.facts["entries"]] == RESOLVED
    assert plan.facts["entries"][1]["region"] == "eu-west-1"
    assert [entry["id"] for entry in load({"KEYSTART_SECRETS": "db=${STAGE}/db"}).facts["entries"]] == [
        "prod/db"
    ]


def test_a_prefix_of_squares_file_takes_variables_of_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    prefix = '- prefix: "arn:aws:secretsmanager:${AWS_REGION}:%s:secret:"\n'
    text = f"SecretManagers:\n{prefix}  secrets: [{{secretname: db}}]\n"
    plan = load_file(write(tmp_path, text % "123456789012", "config.yaml"))
    entries = plan.facts["entries"]
    assert [entry["id"] for entry in entries] == ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:db"]
    with pytest.raises(ConfigurationError, match=r'2:11: "prefix": The account of the ARN has 10 digits\.'):
        load_file(write(tmp_path, text % "9876543210", "config.yaml"))


@pytest.mark.parametrize(
    ("variables", "cure"),
    [
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}, "Set it for the function."),
        ({}, "Set it in this shell to what the function has."),
    ],
)
def test_a_missing_variable_is_to_be_set_where_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], cure: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"The variable NO_SUCH_VARIABLE is not set. {cure}"):
        load_file(write(tmp_path, "version: 1\nsecrets: {db: 'x-${NO_SUCH_VARIABLE}'}\n"))


def test_set_values_are_taken_instead_of_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "mine")
    path = write(tmp_path, STAGED)
    plan = load_file(path, values={"STAGE": "prod", "AWS_REGION": "eu-west-1"})
    assert [entry["id"] for entry in plan.facts["entries"]] == RESOLVED
    assert "${" not in plan.compiled()
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, values={"AWS_REGION": "eu-west-1"})
    assert [problem["message"] for problem in caught.value.problems] == [
        f'"{name}": STAGE is a variable of the function. Say what it holds: --set STAGE=VALUE.'
        for name in ("db", "key", "flags", "app")
    ]


@pytest.mark.parametrize("value", ["*", "p?od", "a:b", "/prod", "..", "prod/../dev", "", "sk_live 1"])
def test_a_variable_that_is_not_a_part_of_a_name_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("STAGE", value)
    with pytest.raises(
        ConfigurationError, match=r"The variable STAGE holds (nothing|[0-9]+ character)"
    ) as caught:
        load_file(write(tmp_path, "version: 1\nsecrets: {db: 'x-${STAGE}'}\n"))
    assert len(value) < 5 or value not in str(caught.value)


# Where a configuration is found.


def test_places_are_looked_at_in_their_order(tmp_path: Path) -> None:
    task_root = tmp_path / "task"
    task_root.mkdir()
    write(task_root, "SecretManagers: [{secrets: [{secretname: from-square}]}]", "config.yaml")
    assert load({}, task_root).facts["entries"][0]["id"] == "from-square"
    write(task_root, "version: 1\nsecrets: {db: from-yaml}")
    assert load({}, task_root).facts["entries"][0]["id"] == "from-yaml"
    write(task_root, '{"version": 1, "secrets": {"db": "from-json"}}', "keystart.json")
    assert load({}, task_root).facts["entries"][0]["id"] == "from-json"
    environ = {"KEYSTART_SECRETS": "db=from-variable"}
    assert load(environ, task_root).facts["entries"][0]["id"] == "from-variable"
    environ["KEYSTART_CONFIG"] = str(write(tmp_path, "version: 1\nsecrets: {db: from-path}", "other.yml"))
    assert load(environ, task_root).facts["entries"][0]["id"] == "from-path"


def test_both_endings_of_yaml_are_found(tmp_path: Path) -> None:
    write(tmp_path, "version: 1\nsecrets: {db: from-yml}", "keystart.yml")
    write(tmp_path, "SecretManagers: [{secrets: [{secretname: from-square}]}]", "config.yaml")
    assert load({}, tmp_path).facts["entries"][0]["id"] == "from-yml"
    write(tmp_path, '{"version": 1, "secrets": {"db": "from-json"}}', "keystart.json")
    assert load({}, tmp_path).facts["entries"][0]["id"] == "from-json"


def test_empty_variables_count_as_unset(tmp_path: Path) -> None:
    write(tmp_path, "version: 1\nsecrets: {db: from-yaml}")
    environ = {"KEYSTART_CONFIG": "", "KEYSTART_SECRETS": ""}
    assert load(environ, tmp_path).facts["entries"][0]["id"] == "from-yaml"


def test_a_config_yaml_of_the_function_itself_is_not_ours_and_not_even_parsed(tmp_path: Path) -> None:
    write(tmp_path, "Resource: !Ref Table\n\tbroken", "config.yaml")
    with pytest.raises(ConfigurationError, match="No configuration was found"):
        load({}, tmp_path)


# KEYSTART_SECRETS.


def test_the_variable_holds_pairs() -> None:
    plan = load({"KEYSTART_SECRETS": f"db=prod/a=b, flags=ssm:/prod/flags ,key={ARN}:api_key::"})
    first, second, third = (at("KEYSTART_SECRETS", 1, column) for column in (1, 14, 37))
    assert plan.facts == {
        "start": "overlap",
        "deadline": 8.0,
        "region": None,
        "entries": [
            plain(id="prod/a=b", origin=first),
            plain(name="flags", kind="parameter", id="/prod/flags", origin=second),
            plain(name="key", id=ARN, region="us-east-1", field="api_key", origin=third),
        ],
        "links": [],
        "links_home": None,
        "source_file": "KEYSTART_SECRETS",
        "batch": False,
        "env_overwrite": False,
        "ttl": None,
        "max_stale": None,
        "refresh_deadline": 2.0,
        "snapstart": "init",
    }


@pytest.mark.parametrize(
    "value",
    [
        "db=prod/db\nflags=ssm:/prod/flags",
        "db=prod/db\r\nflags=ssm:/prod/flags\r\n",
        "db=prod/db,\nflags=ssm:/prod/flags\n",
        "\n  db=prod/db ,\n\n  flags=ssm:/prod/flags\n\n",
    ],
)
def test_pairs_may_stand_on_lines(value: str) -> None:
    found = [(entry["name"], entry["id"]) for entry in load({"KEYSTART_SECRETS": value}).facts["entries"]]
    assert found == [("db", "prod/db"), ("flags", "/prod/flags")]


def test_the_variable_holds_json_with_the_long_form() -> None:
    value = '{"db": "prod/db",\n "tls": {"secret": "prod/mtls", "expand": true}}'
    assert load({"KEYSTART_SECRETS": value}).facts["entries"] == [
        plain(origin=at("KEYSTART_SECRETS", 1, 2)),
        plain(name="tls", id="prod/mtls", expand=True, members=ALL, origin=at("KEYSTART_SECRETS", 2, 2)),
    ]


# Square's file.

SQUARE = """\
SecretManagers:
- prefix: "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
  secrets:
    - secretname: first
    - secretname: second
      filename: renamed
- secrets:
    - filename: .en+v/-u/a=b@c
      secretname: 0123
SecretsHome: /tmp/theirs/
application: {on: yes}
"""


def test_squares_file_is_read_as_their_program_reads_it(tmp_path: Path) -> None:
    plan = load_file(write(tmp_path, SQUARE, "config.yaml"), {})
    keys = ("name", "id", "region", "optional")
    assert [tuple(entry[key] for key in keys) for entry in plan.facts["entries"]] == [
        ("first", "arn:aws:secretsmanager:us-east-1:123456789012:secret:first", "us-east-1", False),
        ("renamed", "arn:aws:secretsmanager:us-east-1:123456789012:secret:second", "us-east-1", False),
        ("_en_v/_u/a_b_c", "0123", None, False),
    ]
    assert plan.facts["links"] == [
        {"name": "first", "path": "first"},
        {"name": "renamed", "path": "renamed"},
        {"name": "_en_v/_u/a_b_c", "path": ".en+v/-u/a=b@c"},
    ]
    assert (plan.facts["start"], plan.facts["links_home"]) == ("before", "/tmp/theirs")


@pytest.mark.parametrize(
    ("lines", "home"),
    [
        ("", "/tmp/secrets"),
        ("SecretsHome:", "/tmp/secrets"),
        ("SecretsHome: /tmp/a", "/tmp/a"),
        ("secretshome: /tmp/a", "/tmp/a"),
        ("secretshome: /tmp/a\nSecretsHome: /tmp/a/", "/tmp/a"),
    ],
)
def test_squares_folder_is_what_either_spelling_says(tmp_path: Path, lines: str, home: str) -> None:
    text = f"SecretManagers: [{{secrets: [{{secretname: db}}]}}]\n{lines}\n"
    assert load_file(write(tmp_path, text, "config.yaml"), {}).facts["links_home"] == home


def test_a_missing_or_empty_filename_means_the_secrets_name(tmp_path: Path) -> None:
    text = (
        "SecretManagers: [{prefix: null, secrets: "
        "[{secretname: a}, {secretname: b, filename: ''}, {secretname: c, filename: }]}]"
    )
    plan = load_file(write(tmp_path, text, "config.yaml"), {})
    assert [(entry["name"], entry["id"]) for entry in plan.facts["entries"]] == [
        ("a", "a"),
        ("b", "b"),
        ("c", "c"),
    ]


# The plan, shown.


def test_a_plan_is_shown_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, COMPLETE)
    assert (
        load_file(Path("keystart.yaml")).describe()
        == """\
configuration  keystart.yaml
start          before
deadline       1500ms
region         eu-west-1
batch          true
env_overwrite  true

NAME              SOURCE      ID                                                                       \
REGION     DETAILS
db                secret      prod/db                                                                  \
eu-west-1
stripe/key        secret      arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/stripe-a1B2c3  \
us-east-1  field api_key, role arn:aws:iam::210987654321:role/stripe-reader, optional, env STRIPE_API_KEY
tls/*             secret      prod/mtls                                                                \
eu-west-1  expand
signing-previous  secret      prod/signing                                                             \
eu-west-1  stage AWSPREVIOUS
signing-pinned    secret      prod/signing                                                             \
eu-west-1  version 9d4cb84b-ad69-40c0-a0ab-cead36b967e8
flags             parameter   /prod/flags                                                              \
eu-west-1  ttl none
app/*             parameters  /prod/orders                                                             \
eu-west-1
"""
    )


def test_a_plan_with_links_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "SecretManagers: [{secrets: [{secretname: prod/db, filename: +db}]}]"
    write(tmp_path, text, "config.yaml")
    assert (
        load_file(Path("config.yaml")).describe()
        == """\
configuration  config.yaml
start          before
deadline       8s
region         AWS_REGION

NAME  SOURCE  ID       REGION      DETAILS
_db   secret  prod/db  AWS_REGION

LINK              SECRET
/tmp/secrets/+db  _db
"""
    )
