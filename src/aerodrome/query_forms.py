"""AWS's query protocol, by the shapes of a service's model: form fields → values, values → XML. Pure.

Fields come flat (`Tags.member.1.Key=team`): they become a tree, which is then read by a shape. Whoever speaks the
protocol checks the values; fields that the shape does not know are ignored, as AWS ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from botocore.model import ListShape, MapShape, Shape, StructureShape

WHOLE = frozenset({"integer", "long"})
"""Types of whole numbers."""

_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)

Tree = dict[str, Any]
_LEAF = ""
"""Under this key a node of the tree has its own text: no part of a field's name is empty."""


def tree(given: Mapping[str, str], *, deepest: int, passed_over: Collection[str]) -> Tree:
    """The fields as a tree, without those that are passed over and those whose names have more parts than `deepest`."""
    root: Tree = {}
    for name, text in given.items():
        parts = name.split(".")
        if name in passed_over or len(parts) > deepest or not all(parts):
            continue
        node = root
        for part in parts:
            node = node.setdefault(part, {})
        node[_LEAF] = text
    return root


def value(shape: Shape, node: Tree) -> Any:
    """A node of the tree as its shape's type; text that does not fit stays text, for a check to refuse."""
    if isinstance(shape, StructureShape):
        return {member: value(inner, node[member]) for member, inner in shape.members.items() if member in node}
    if isinstance(shape, ListShape):
        members = node.get("member", {})
        numbers = sorted((name for name in members if _NUMBER.fullmatch(name)), key=int)
        return [value(shape.member, members[number]) for number in numbers]
    text = node.get(_LEAF)
    if text is None:
        return {}  # only fields below a scalar were given, so there is no string, number or boolean
    if shape.type_name in WHOLE:
        return int(text) if _WHOLE.fullmatch(text) else text
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def fill(element: ET.Element, shape: Shape, given: Any, text: Callable[[Shape, Any], str]) -> None:
    """Write a value below an element; members without a value are left out, and `text` writes a scalar."""
    if isinstance(shape, StructureShape):
        for member, inner in shape.members.items():
            if given.get(member) is not None:
                fill(ET.SubElement(element, member), inner, given[member], text)
    elif isinstance(shape, ListShape):
        for each in given:
            fill(ET.SubElement(element, "member"), shape.member, each, text)
    elif isinstance(shape, MapShape):
        for key, each in given.items():
            entry = ET.SubElement(element, "entry")
            fill(ET.SubElement(entry, "key"), shape.key, key, text)
            fill(ET.SubElement(entry, "value"), shape.value, each, text)
    else:
        element.text = text(shape, given)
