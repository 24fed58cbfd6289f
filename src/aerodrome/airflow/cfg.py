"""Sections of an airflow.cfg: sort user options into them, put layers on top of each other, write the text.

It knows the file format, and the meaning of no option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aerodrome.errors import CallerError

Sections = Mapping[str, Mapping[str, str]]

INDIRECT = ("_cmd", "_secret")
"""Suffixes by which Airflow reads an option's value from a command or a secrets backend."""


def split(options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`section.key` names as sections.

    Raises:
        CallerError: a name has no section or no key, or a value cannot stand in the file.
    """
    sections: dict[str, dict[str, str]] = {}
    for name, value in options.items():
        section, dot, key = name.partition(".")
        if not (section and dot and key) or key.endswith("."):
            raise CallerError(
                f"AirflowConfigurationOptions: {name[:64]!r} must be written as section.key, such as core.parallelism."
            )
        if "\n" in value or "\r" in value:
            raise CallerError(f"AirflowConfigurationOptions: the value of {name[:64]!r} must be one line.")
        sections.setdefault(section.lower(), {})[key.lower()] = value
    return sections


def rename(sections: Sections, renames: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, dict[str, str]]:
    """The sections under present option names; an option given under its present name too keeps that value."""
    moved: dict[str, dict[str, str]] = {}
    for section, options in sections.items():
        for key, value in options.items():
            new_section, new_key = renames.get((section, key), (section, key))
            if (new_section, new_key) != (section, key) and new_key in sections.get(new_section, {}):
                continue
            moved.setdefault(new_section, {})[new_key] = value
    return moved


def merge(layers: Iterable[Sections]) -> dict[str, dict[str, str]]:
    """All layers as one; a later layer wins, and wins over an earlier `_cmd` or `_secret` of the same option too."""
    merged: dict[str, dict[str, str]] = {}
    for layer in layers:
        for section, options in layer.items():
            target = merged.setdefault(section, {})
            for key, value in options.items():
                for suffix in INDIRECT:
                    target.pop(key + suffix, None)
                target[key] = value
    return merged


def render(sections: Sections) -> str:
    """The text of the file, sorted, so that equal sections make equal files."""
    lines = ["# Written by Aerodrome; changes are overwritten."]
    for section in sorted(sections):
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {_escape(value)}".rstrip() for key, value in sorted(sections[section].items())]
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    """Airflow's parser interpolates `%`; in an environment variable it would not."""
    return value.replace("%", "%%")
