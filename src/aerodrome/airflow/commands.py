"""Which commands of Airflow's command line `/aws_mwaa/cli` runs, and how the text that asks for one is read.

The gateway calls `parse` and hands the words to the backend. The lists are MWAA's, as data for each line; a comment
explains each departure. Pure: Airflow's own parser says whether the arguments make sense.

Whoever has a CLI token need not be allowed to put code or files into the environment. So options that name a file,
start another program or change the process's environment are refused where a command has them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aerodrome.airflow.versions import Version
from aerodrome.errors import CallerError

LONGEST_TEXT = 64 * 1024
"""Characters of a request; arbitrary, and enough for the `--conf` of any run."""

AIRFLOW = "airflow"
"""The command's own name, which MWAA's users leave out and other people write."""

DOCUMENTATION = "https://docs.aws.amazon.com/mwaa/latest/userguide/airflow-cli-command-reference.html"
"""Where MWAA lists the commands."""

END = "--"
"""What ends the options. What follows is checked all the same: only Airflow's parser knows whose options it ends."""

LINE_3 = 3


@dataclass(frozen=True, slots=True)
class Option:
    """An option of Airflow's that is refused."""

    long: str
    """A name without hyphens is no option, but a word of its own."""
    short: str
    """One letter, or in Airflow 1.10 several; empty when it has none."""
    reason: str
    shortest: int = 1
    """So many letters of a short name with several letters belong to no other option of the command."""

    def is_named_by(self, word: str) -> bool:
        """Whether Airflow's parser might take the word for this option.

        It understands the beginning of a long name, and short options written together (`-vS path`), whose values only
        the parser can tell from further options. So a short name counts wherever it stands. A short name of several
        letters is understood by its beginning too, and is never written together with others.
        """
        if not self.long.startswith("-"):
            return word == self.long
        if word.startswith("--"):
            return word != END and self.long.startswith(word.partition("=")[0])
        if len(self.short) > 1:
            name = word[1:].partition("=")[0]
            return word.startswith("-") and len(name) >= self.shortest and self.short.startswith(name)
        return bool(self.short) and word.startswith("-") and self.short in word


_FILE = "commands neither read nor write files of the environment"
_FOLDER = "DAGs are always those of the environment's own folder"
_TERMINAL = "there is no terminal"

SUBDIR = Option("--subdir", "S", _FOLDER)
DAG_FILE = Option("--dagfile-path", "f", _FOLDER)
SAVE = Option("--save", "s", _FILE)
SAVE_RUN = Option("--save-dagrun", "", _FILE)
CONFIGURATION = Option("--cfg-path", "", _FILE)
PICKLE = Option("--pickle", "p", "a pickled DAG is code from elsewhere")
IMAGE = Option("--imgcat", "", _TERMINAL)
IMAGE_OF_RUN = Option("--imgcat-dagrun", "", _TERMINAL)
DEBUGGER = Option("--post-mortem", "m", _TERMINAL)
VARIABLES = Option("--env-vars", "", "the environment of a command's process cannot be changed")

SUBDIR_1 = Option("--subdir", "sd", _FOLDER)
SUBDIR_BESIDE_S = Option("--subdir", "sd", _FOLDER, shortest=2)
"""Where `-s` is another option."""
CONFIGURATION_1 = Option("--cfg_path", "", _FILE)
DEBUGGER_1 = Option("--post_mortem", "pm", _TERMINAL)
IMPORT = Option("--import", "i", _FILE)
EXPORT = Option("--export", "e", _FILE)
TO_IMPORT = Option("import", "", _FILE)
TO_EXPORT = Option("export", "", _FILE)
"""Commands below `variables` that 1.10.15 has beside its options; only its parser knows where a word is one of them."""

_BOTH_LINES: Mapping[str, tuple[Option, ...]] = {
    "cheat-sheet": (),
    "connections add": (),
    "connections delete": (),
    "dags delete": (),
    "dags list": (),
    "dags list-import-errors": (),
    "dags list-jobs": (),
    "dags list-runs": (),
    "dags next-execution": (),
    "dags pause": (),
    "dags report": (),
    "dags reserialize": (),
    "dags show": (SAVE, IMAGE),
    "dags state": (),
    "dags test": (SAVE_RUN, IMAGE_OF_RUN),
    "dags trigger": (),
    "dags unpause": (),
    "db clean": (),
    "providers behaviours": (),
    "providers get": (),
    "providers hooks": (),
    "providers links": (),
    "providers list": (),
    "providers notifications": (),
    "providers secrets": (),
    "providers triggers": (),  # MWAA's page has "triggerer", which is no command of any Airflow
    "providers widgets": (),
    "tasks clear": (),
    "tasks failed-deps": (),
    "tasks list": (),
    "tasks render": (),
    "tasks state": (),
    "tasks states-for-dag-run": (),
    "tasks test": (DEBUGGER, VARIABLES),
    "variables delete": (),
    "variables get": (),
    "variables list": (),
    "variables set": (),
    "version": (),
}

_OF_ROLES = ("roles add-perms", "roles create", "roles del-perms", "roles list")

_WITH_SUBDIR = frozenset(
    name
    for name in _BOTH_LINES
    if name.startswith(("dags ", "tasks "))
    and name not in {"dags delete", "dags list-jobs", "dags list-runs", "tasks states-for-dag-run"}
)
"""The commands that have this option in Airflow 2; in other commands its letter means another option."""

_THIRD: Mapping[str, tuple[Option, ...]] = {
    **_BOTH_LINES,
    "assets details": (),
    "assets list": (),
    "assets materialize": (),
    "backfill create": (),
    "dags test": (*_BOTH_LINES["dags test"], DAG_FILE),
}

_SECOND: Mapping[str, tuple[Option, ...]] = {
    **{name: (*options, SUBDIR) if name in _WITH_SUBDIR else options for name, options in _BOTH_LINES.items()},
    **dict.fromkeys(_OF_ROLES, ()),
    "dags backfill": (SUBDIR,),
    "tasks run": (SUBDIR, CONFIGURATION, PICKLE),
}

_FIRST: Mapping[str, tuple[Option, ...]] = {
    "backfill": (SUBDIR_BESIDE_S,),
    "clear": (SUBDIR_BESIDE_S,),
    "dag_state": (SUBDIR_1,),
    "delete_dag": (),
    "list_dag_runs": (),
    "list_dags": (SUBDIR_1,),
    "list_tasks": (SUBDIR_1,),
    "next_execution": (SUBDIR_1,),
    "pause": (SUBDIR_1,),
    "pool": (IMPORT, EXPORT),
    "render": (SUBDIR_1,),
    "run": (SUBDIR_1, CONFIGURATION_1, PICKLE),
    "show_dag": (SUBDIR_BESIDE_S, SAVE, IMAGE),
    "task_failed_deps": (SUBDIR_1,),
    "task_state": (SUBDIR_1,),
    "test": (SUBDIR_1, DEBUGGER_1),
    "trigger_dag": (SUBDIR_1,),
    "unpause": (SUBDIR_1,),
    "variables": (IMPORT, EXPORT, TO_IMPORT, TO_EXPORT),
    "version": (),
}
"""The commands of 1.10.12. MWAA does not have the commands of Airflow 2 that 1.10.15 has as well."""

ALLOWED: Mapping[int, Mapping[str, tuple[Option, ...]]] = MappingProxyType({3: _THIRD, 2: _SECOND, 1: _FIRST})
"""For each line, every command that is run, with the options of it that are refused."""


def parse(version: Version, text: str) -> list[str]:
    """The words of the command that `text` asks for, without the word `airflow`.

    Raises:
        CallerError: the text is no command line, or the command or one of its options is not allowed.
    """
    words = _split(text)
    if words[:1] == [AIRFLOW]:
        del words[0]
    if not words:
        raise CallerError("The request holds no command. Send an Airflow CLI command such as: dags list")
    name = _name(version, words)
    for word in words[len(name.split()) :]:
        for option in ALLOWED[version.line][name]:
            if option.is_named_by(word):
                raise CallerError(_refusal(name, option, word))
    return words


def _split(text: str) -> list[str]:
    if len(text) > LONGEST_TEXT:
        raise CallerError(f"The command is longer than {LONGEST_TEXT} characters.")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise CallerError("The command holds a character that no argument can hold.")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise CallerError(
            f"The command cannot be read as a shell would read it: {error}. Check its quotes and backslashes."
        ) from error


def _name(version: Version, words: Sequence[str]) -> str:
    """The allowed command that the words begin with."""
    for length in (1, 2):
        name = " ".join(words[:length])
        # A word with a blank in it is no two words.
        if name in ALLOWED[version.line] and len(words[:length]) == len(name.split()):
            return name
    asked = " ".join(words[:2])[:64]
    if version.line >= LINE_3 and words[0] == "roles":
        raise CallerError(
            f"The command {asked!r} does not exist in this environment: the roles of Airflow {version.number} are those"
            " that IAM grants (Admin, Op, User, Viewer, Public), and there are no others."
        )
    group = sorted(name for name in ALLOWED[version.line] if name.split()[0] == words[0])
    listed = group or sorted({name.split()[0] for name in ALLOWED[version.line]})
    raise CallerError(
        f"The command {asked!r} is not available in Airflow {version.number} on MWAA. "
        f"Available{' are' if group else ' groups and commands are'}: {', '.join(listed)}. See {DOCUMENTATION}"
    )


def _refusal(name: str, option: Option, word: str) -> str:
    called = f"{option.long} (-{option.short})" if option.short else option.long
    is_joined = len(option.short) == 1 and not word.startswith("--") and len(word) > len("-s")
    hint = " Write short options and their values apart." if is_joined else ""
    kind = "option" if option.long.startswith("-") else "word"
    return f"{name}: the {kind} {called} is not available here: {option.reason}.{hint}"
