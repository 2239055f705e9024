"""Makes up the questions about a store: names, prefixes, roots, timeouts, variables, and changes meanwhile."""

from __future__ import annotations

from random import Random
from typing import Any

from .scripts import Scripts
from .stores import ODD_NAMES, PLAIN_NAMES, WRONG_NAMES, Description, Stores

Question = dict[str, Any]

CALLS = ["text", "bytes", "json", "path", "info", "secret"]
# A snapshot has neither. Without a writer they ask nobody.
CALLS_OF_CLIENTS = ["refresh", "attempt"]
NO_TEXT = [None, 0, 3, -1, 2.5, True, False, [], ["db"], {}, {"name": "db"}]
# In the harness's form: `{root}` is the store, `{relative}` the path to it from the readers' working folder.
ROOTS = [
    "{root}/", "{root}//", "{relative}", "{relative}/", "./{relative}", "{root}/.", "{root}/../store",
    "/{root}", "{root}/current", "{root}/generations", "{root}/lock", "{root}/lock/x", "{root}/nowhere",
    "{root}x", "/", "//", "/dev/null", "/nowhere/at/all", "nowhere", "~", "", "\0", "{root}\0", "{root}\n",
    " {root}", "{root}/é", "{root}/\ufffd", "\ufffd", "/\ud800", "/" + "a" * 300, "/a" * 2500,
    5, True, False, [], {}, -0.5,
]  # fmt: skip
# The longest timeout if the store may never be published.
TIMEOUTS = [
    1,
    2,
    3,
    0.4,
    0.5,
    1.25,
    0.0,
    -0.25,
    -1,
    -0.75,
    1e9,
    999_999_999.75,
    1e300,
    "0",
    "5",
    "",
    True,
    False,
    [],
    {},
    [5],
]
TIMEOUT_VARIABLES = [
    "0",
    "1",
    "2",
    "00",
    "000000003",
    "0000000001",
    "1234567890",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "1.0",
    "1e1",
    "0x1",
    "x",
    "٣",
    "１",
]


class Questions:
    """Makes up questions about one store after another."""

    def __init__(self, random: Random, stores: Stores) -> None:
        self._random = random
        self._stores = stores
        self._scripts = Scripts(random, stores)

    def make(self, made: Description) -> list[Question]:
        """Returns some questions. The last ones may hold a change of the store, or a writer that changes it."""
        random = self._random
        known = self._stores.names(made)
        questions: list[Question] = [
            {"call": "names"},
            {"call": random.choice(["json", "text", "info"]), "name": random.choice(known or ["db"])},
        ]
        questions += [self._question(known) for _ in range(3)]
        sound = made.keys() <= {"base", "generation", "secrets", "unavailable"}
        if random.random() < (0.7 if sound else 0.15):
            question = self._question(known)
            if random.random() < 0.5 and question["call"] not in CALLS_OF_CLIENTS:
                question["via"] = "snapshot"
            steps = [self._step(made) for _ in range(random.choice([1, 1, 1, 2]))]
            questions.append({**question, "then": steps if len(steps) > 1 else steps[0]})
        # A store that may never be published would let readers wait.
        if "current" not in made and made["base"] == "good" and random.random() < 0.05:
            questions.append(self._scripts.question(made, known))
        return questions

    def _step(self, made: Description) -> dict[str, Any]:
        return {"after": self._random.choice(["made", "asked"]), "change": self._stores.change(made)}

    def _question(self, known: list[str]) -> Question:
        random = self._random
        question: Question = {"call": random.choice(CALLS), "name": self._name(known)}
        if random.random() < 0.15:
            question = {"call": "names", "prefix": self._name([name.rsplit("/", 1)[0] for name in known])}
        if random.random() < 0.03:
            question["call"] = random.choice(CALLS_OF_CLIENTS)
            if question["call"] == "refresh":
                question = {"call": "refresh", "names": [question.get("name", "db")]}
        elif random.random() < 0.3:
            question["via"] = "snapshot"
        if random.random() < 0.15:
            question |= self._options()
        return question

    def _name(self, known: list[str]) -> Any:
        random = self._random
        kind = random.random()
        if known and kind < 0.6:
            return random.choice(known)
        if known and kind < 0.75:
            return self._near(random.choice(known))
        if kind < 0.77:
            return random.choice(NO_TEXT)
        return random.choice(random.choice([PLAIN_NAMES, ODD_NAMES, WRONG_NAMES, WRONG_NAMES]))

    def _near(self, name: str) -> str:
        """Returns a name as people misspell it, or a folder or a child of it."""
        random = self._random
        for _ in range(random.choice([1, 1, 2, 3])):
            at = random.randrange(len(name) + 1)
            letter = random.choice("abdBK_-./1 é")
            name = random.choice([
                name[:at] + letter + name[at:], name[:at] + name[at + 1 :], name[:at] + letter + name[at + 1 :],
                name.swapcase(), name + "/x", name[: name.find("/")],
            ])  # fmt: skip
        return name

    def _options(self) -> Question:
        random = self._random
        kind = random.random()
        if kind < 0.4:
            return {"root": random.choice(ROOTS)}
        if kind < 0.6:
            return {"timeout_ms": random.choice(TIMEOUTS)}
        if kind < 0.8:
            return {"timeout_ms": None, "env": {"KEYSTART_TIMEOUT_MS": random.choice(TIMEOUT_VARIABLES)}}
        # Never the default root, because the machine may have a store there. A variable cannot hold
        # half a character.
        texts = [root for root in ROOTS if isinstance(root, str) and root and "\0" not in root]
        text = random.choice([root for root in texts if "\ud800" not in root])
        return {"root": None, "env": {"KEYSTART_DIR": text}}
