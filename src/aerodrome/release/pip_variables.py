"""What a startup script tells pip by exporting PIP_…, as lines of options that a requirements file could hold. Pure.

`requirements` calls it: on MWAA pip runs after the startup script and finds its variables.
"""

from __future__ import annotations

from collections.abc import Mapping

from aerodrome.release.requirements_text import Line

_LISTS = {
    "PIP_CONSTRAINT": "--constraint",
    "PIP_EXTRA_INDEX_URL": "--extra-index-url",
    "PIP_FIND_LINKS": "--find-links",
    "PIP_INDEX_URL": "--index-url",
    "PIP_NO_BINARY": "--no-binary",
    "PIP_ONLY_BINARY": "--only-binary",
    "PIP_TRUSTED_HOST": "--trusted-host",
}
"""Variables with a value; several values are separated by blanks."""

_SWITCHES = {"PIP_NO_INDEX": "--no-index", "PIP_PRE": "--pre", "PIP_REQUIRE_HASHES": "--require-hashes"}

_OFF = frozenset({"", "0", "f", "false", "n", "no", "off"})

_IDLE = frozenset(
    """
    PIP_CACHE_DIR PIP_DEFAULT_TIMEOUT PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_CACHE_DIR PIP_NO_COLOR PIP_NO_INPUT
    PIP_NO_WARN_SCRIPT_LOCATION PIP_PREFER_BINARY PIP_PROGRESS_BAR PIP_QUIET PIP_RETRIES PIP_ROOT_USER_ACTION
    PIP_TIMEOUT PIP_USER PIP_VERBOSE
    """.split()  # noqa: SIM905 - fifteen quoted words are harder to read
)
"""Variables that do not change what is installed."""


def lines(variables: Mapping[str, str]) -> tuple[list[Line], tuple[str, ...]]:
    """The options, each as if it stood on a line of its own; and a note on the variables that mean nothing here."""
    found, unknown = [], []
    for name, value in sorted(variables.items()):
        place = f"{name} of startup.sh"
        if name in _LISTS:
            found += [Line(place, 0, f"{_LISTS[name]} {each}") for each in value.split()]
        elif name in _SWITCHES:
            found += [Line(place, 0, _SWITCHES[name])] if value.strip().lower() not in _OFF else []
        elif name.startswith("PIP_") and name not in _IDLE:
            unknown.append(name)
    note = f"startup.sh exports what has no effect on the requirements here: {', '.join(unknown)}"
    return found, (note,) if unknown else ()
