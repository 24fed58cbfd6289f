"""`aerodrome iam explain`: the question for the operator's socket, and its answer as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rich.console import Group, RenderableType
from rich.text import Text

from aerodrome.cli.rendering import Rows, clean


def path(principal: str, action: str, resource: str, context: Sequence[str]) -> str:
    """The path of the question."""
    pairs = [("principal", principal), ("action", action), ("resource", resource)]
    return f"/explain?{urlencode([*pairs, *(('context', each) for each in context)])}"


def shown(answer: Mapping[str, Any]) -> RenderableType:
    """The decision first, then every statement that was looked at; statements that did not apply are dim."""
    word = Text("allowed", "bold green") if answer["allowed"] else Text("denied", "bold red")
    lines: list[RenderableType] = [Text.assemble(word, ". ", clean(answer["sentence"]))]
    if answer["refusal"]:
        lines.append(Text(f"The caller is told: {answer['refusal']}", "dim"))
    if not answer["statements"]:
        return Group(*lines, Text("No policy was found that says anything.", "dim"))
    return Group(*lines, Text(), _statements(answer["statements"]))


def _statements(found: Sequence[Mapping[str, Any]]) -> Rows:
    table = Rows("", "kind", "policy", "statement", "effect", "applies")
    for each in found:
        applies = "yes" if each["applies"] else f"no: {each['why']}"
        style = "" if each["applies"] else "dim"
        mark = "→" if each["decides"] else ""
        cells = (mark, each["layer"], each["policy"], str(each["statement"]), each["effect"], applies)
        table.add(*(Text(cell, style) for cell in cells))
    return table
