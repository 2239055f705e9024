"""Says which variables `env:` may name; the list is core/providers/variables.json, which the core holds."""

from __future__ import annotations


def refusal(variable: str) -> str | None:
    """Returns the sentence that says why `env:` may not name this variable, None if it may."""
    from .. import core  # here, because most configurations name no variable

    return core.give_text(core.lib.keystart_variable_check, *core.text(variable)) or None
