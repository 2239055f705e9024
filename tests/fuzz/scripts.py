"""Makes up what a writer answers on control.sock, and what happens to its store before. It answers nothing.

All that it makes ends soon, and in the same way however slow the machine is: no answer is late, and after the last one
no reader waits for another generation.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from .grammar import Grammar
from .stores import ODD_NAMES, PLAIN_NAMES, Description, Stores, described

# Longer than any reader here takes. One that waits that long waits for nothing.
TIMEOUT_MS = 3000
BUDGETS = [0, 0.4, -0.25, -1, 1e9, 1e300, "5", True, [], {}]
LOGINS = ["accepted", "rejected", "locked", "failed", "expired"]
# What a number of an answer may be. The contract allows the first four as generations.
NUMBERS = [1, 3, 3.0, 2**53 - 1, 0, -1, 2**53, 2**53 + 1, 2.5, 1e300, "3", True, [], {}]


class Scripts:
    """Makes up one writer after another."""

    def __init__(self, random: Random, stores: Stores) -> None:
        self._random = random
        self._stores = stores

    def question(self, made: Description, known: list[str]) -> dict[str, Any]:
        """Returns a question to a reader beside such a writer."""
        random = self._random
        name = random.choice(known or ["db"])
        if random.random() < 0.2:
            name = random.choice([name.split("/")[0], *PLAIN_NAMES, *ODD_NAMES[:5], "../x"])
        question: dict[str, Any] = {"timeout_ms": TIMEOUT_MS, "writer": self._writer(made)}
        call = random.choice(["attempt", "attempt", "refresh", "text"])
        if call == "refresh":
            names = random.sample([name, *known, *PLAIN_NAMES], k=random.choice([0, 1, 1, 2]))
            return {**question, "call": call, **({"names": names} if names else {})}
        if call == "text":
            via = {"via": "snapshot"} if random.random() < 0.3 else {}
            return {**question, "call": call, "name": name, **via}
        logins = random.choices(LOGINS, weights=[5, 8, 1, 1, 1], k=random.choice([1, 2, 3]))
        question |= {"call": call, "name": name, "fn": {"logins": logins}}
        if random.random() < 0.1:
            question["fn"]["reads"] = random.sample([*known, "db"], k=random.choice([0, 1]))
        if random.random() < 0.1:
            question["budget_ms"] = random.choice(BUDGETS)
        return question

    def _writer(self, made: Description) -> Description:
        random = self._random
        number = self._stores.generation(made)
        answers = []
        for _ in range(random.choice([1, 2, 3, 5])):
            answer: Description = {}
            if random.random() < 0.4:
                published = self._stores.published(made, number + 1)
                number += 1
                if random.random() < 0.5:  # a candidate
                    published["current"] = f"generations/{self._stores.generation(made)}"
                answer["change"] = published
            answers.append(answer | self._line(number))
        # A call that does not end with this answer would ask again until its budget is over.
        last: dict[str, Any] = {
            "ok": True,
            "generation": None,
            "candidate": None,
            "retry_after_ms": 60_000,
            "failures": {},
        }
        answers.append({"line": described(self._text(last))})
        return {"answers": answers}

    def _line(self, number: int) -> Description:
        random = self._random
        kind = random.random()
        if kind < 0.05:
            return {}
        text = self._text(self._answer(number))
        if kind < 0.2:
            text = self._stores.bytes_changed(text)
        elif kind < 0.25:
            text = Grammar(random, wrong=random.choice([0, 0.05])).document()
        elif kind < 0.27:
            text = text.ljust(random.choice([65_534, 65_535, 65_536, 70_000]))
        text = text.replace(b"\n", b" ")
        line: Description = {"line": described(text)}
        if random.random() < 0.1:
            line |= random.choice(
                [{"pieces": 2}, {"line_feed": False}, {"rest": "{}\n"}, {"rest": "x"}, {"closes": False}]
            )
        return line

    def _answer(self, number: int) -> dict[str, Any]:
        random = self._random
        if random.random() < 0.1:
            reason = random.choice(["no", "", "a\nb", "é\u2028", 'q"'])
            return {"ok": False, "error": {"code": "invalid_request", "message": reason}}
        failures = {}
        if random.random() < 0.15:
            name = random.choice([*PLAIN_NAMES, *ODD_NAMES[:5], "é", ""])
            failures = {name: {"code": "NotConfigured", "message": "é\nx"}}
        answer: dict[str, Any] = {
            "ok": True,
            "generation": random.choice([number, number, None]),
            "candidate": random.choice([None, None, number]),
            "retry_after_ms": random.choice([None, None, None, 0, 60_000]),
            "failures": failures,
        }
        if random.random() < 0.2:
            member = random.choice(["generation", "candidate", "retry_after_ms"])
            # One that waits for longer would take the whole budget.
            numbers = [n for n in NUMBERS if member != "retry_after_ms" or n not in (1, 3, 3.0)]
            answer[member] = random.choice(numbers)
        if random.random() < 0.1:
            del answer[random.choice(list(answer))]
        return answer

    def _text(self, answer: dict[str, Any]) -> bytes:
        whole = {"format": "keystart.control/1", **answer}
        return json.dumps(whole, ensure_ascii=self._random.random() < 0.5).encode()
