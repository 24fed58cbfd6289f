"""The person's folder: which of its files belong into the bucket now. It reads; `steps` decides what follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchfiles import watch

from aerodrome.cli import ignored_files, project_layout
from aerodrome.cli.dev import folder_tree, plugins_zip
from aerodrome.cli.dev.steps import EnvironmentFile
from aerodrome.cli.project_layout import INCLUDE, Layout
from aerodrome.sidecar import object_keys

RESCAN = 5.0
"""Seconds after which folders are read although no change was reported: not every file system reports changes."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """The content of a file that is a member of the environment."""

    digest: str
    read: Callable[[], bytes]


class Folder:
    """One folder; `note` is called with what is not taken from it."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self._note = note
        self._reader = folder_tree.TreeReader()
        self._layout = Layout()
        self._trees: dict[Path, dict[str, folder_tree.FileEntry]] = {}
        self._scanned_at = float("-inf")
        self._zip: tuple[Mapping[str, folder_tree.FileEntry], FileContent] | None = None

    def rounds(self, every: float) -> Iterator[None]:
        """One turn as soon as a file changes, and one `every` so many seconds; new folders are watched too."""
        self._scan()
        while True:
            watched = list(self._trees)
            for changes in watch(
                *(watched or [self.path]),
                watch_filter=lambda _, path: not ignored_files.is_unwanted(Path(path).name),
                debounce=200,
                step=20,
                rust_timeout=int(every * 1000),
                yield_on_timeout=True,
                recursive=bool(watched),
                ignore_permission_denied=True,
            ):
                self._scan(changed=bool(changes))
                yield
                if list(self._trees) != watched:
                    break

    def _scan(self, *, changed: bool = True) -> None:
        """Read the layout again, and the trees if something in them may have changed.

        Files beside the trees are read whenever they are asked for: editors replace them, which ends a watch.
        """
        self._layout = project_layout.look(self.path)
        for note in self._layout.notes:
            self._note(note)
        named = (self._layout.dags, self._layout.include, self._layout.plugins)
        there = [path for name in named if name is not None and (path := self.path / name).is_dir()]
        if changed or there != list(self._trees) or time.monotonic() - self._scanned_at > RESCAN:
            self._trees = {path: self._reader.tree(path) for path in there}
            self._scanned_at = time.monotonic()

    def dags(self) -> dict[str, folder_tree.FileEntry]:
        """The files that belong among the DAGs, by their paths there."""
        found: dict[str, folder_tree.FileEntry] = {}
        if self._layout.dags:
            found |= self._trees.get(self.path / self._layout.dags, {})
        if self._layout.include:
            inside = self._trees.get(self.path / self._layout.include, {})
            found |= {f"{INCLUDE}/{name}": entry for name, entry in inside.items()}
        for name, entry in list(found.items()):
            reason = object_keys.why_refused(name, entry.size)
            if reason is not None:
                self._note(f"dags/{name} is not brought: {reason}")
                del found[name]
        return found

    def members(self) -> dict[EnvironmentFile, FileContent]:
        """The files that are members of the environment; reading one may raise FileNotFoundError."""
        named = {
            EnvironmentFile.REQUIREMENTS: self._layout.requirements,
            EnvironmentFile.PLUGINS: self._layout.plugins,
            EnvironmentFile.STARTUP: self._layout.startup,
        }
        found = {member: self._content(self.path / name) for member, name in named.items() if name is not None}
        return {member: content for member, content in found.items() if content is not None}

    def _content(self, path: Path) -> FileContent | None:
        """A file as it is; a folder as an archive of its files, or None if it has none."""
        files = self._trees.get(path)
        if files is None:
            entry = self._reader.file(path)
            return None if entry is None else FileContent(entry.digest, path.read_bytes)
        if not files:
            return None
        if self._zip is None or self._zip[0] != files:
            data = plugins_zip.packed((name, entry.path.read_bytes(), entry.program) for name, entry in files.items())
            self._zip = (files, FileContent(folder_tree.digest(data), lambda: data))
        return self._zip[1]
