"""Try a release under Airflow's own interpreter: import its packages, load its plugins, parse its DAGs.

`verification` starts it as a script with a JSON file as its argument. Findings go as lines of JSON to the descriptor
AERODROME_CHANNEL. Every piece of user code runs in a fork with a limit of its own, so that whatever one does (exit,
hang, crash), the next is tried. It imports nothing of ours, and Airflow by name only: one text serves all lines.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import json
import logging
import mmap
import os
import re
import select
import signal
import sys
import time
import traceback
from typing import Any, Callable, Dict, Iterator

LARGEST = 64 * 1024
"""Bytes of one finding; a traceback is cut to its end."""

TRACE = 30
"""Lines of a traceback that are reported."""

LONGEST = 1000
"""Characters of one line of it."""

MOST_DAGS = 200
"""Names of DAGs that one file may tell."""

LOADER = re.compile(r'/site-packages/airflow/|/release/inside/probe\.py"')
FRAME = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)

PLUGIN_WORDS = re.compile(r"\bAirflowPlugin\b|\bplugins_manager\b")

REAL_EXIT = os._exit

KEPT_FROM_FORKS = []  # type: list[int]
"""Descriptors that user code must not have."""

Finding = Dict[str, Any]


class LastWords:
    """A few words that a fork leaves for whoever finds it dead."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 4096)

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")[:4000]
        self._shared[: len(data) + 1] = data + b"\0"

    def read(self) -> str:
        return self._shared[:4096].partition(b"\0")[0].decode("utf-8", "replace")


class Fork:
    """One function in a process of its own, its answer, and its deadline."""

    def __init__(
        self, subject: str, function: Callable[[], Finding], limit: float, note: LastWords | None = None
    ) -> None:
        self.subject = subject
        self.note = note
        self.deadline = time.monotonic() + limit
        self.answer = b""
        self.limit = limit
        self.source, target = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor in (self.source, *KEPT_FROM_FORKS):
                os.close(descriptor)
            _answer(function, target)
        os.close(target)

    def read(self) -> bool:
        """Take what is there; False at the end."""
        data = os.read(self.source, LARGEST)
        self.answer = (self.answer + data)[: 4 * LARGEST]
        return bool(data)

    def finish(self, *, in_time: bool) -> Finding:
        """End it; returns what it said, or how it ended."""
        if not in_time:
            self._kill()
        os.close(self.source)
        _, status = os.waitpid(self.pid, 0)
        if in_time and self.answer:
            try:
                told = json.loads(self.answer.decode())
            except ValueError:
                told = None
            if isinstance(told, dict):
                return told
        told = self._ended(status, in_time=in_time)
        if self.note is not None and self.note.read():
            told["errors"][0]["subject"] = self.note.read()
        return told

    def _ended(self, status: int, *, in_time: bool) -> Finding:
        if not in_time:
            return failure("Timeout", f"did not end within {self.limit:g} seconds")
        if os.WIFSIGNALED(status):
            return failure("Killed", f"the process was killed by signal {os.WTERMSIG(status)}")
        return failure("SystemExit", f"the process ended with exit code {os.WEXITSTATUS(status)}")

    def _kill(self) -> None:
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except OSError:
                continue


def _answer(function: Callable[[], Finding], target: int) -> None:
    """In the fork: run the function, report, and end without running anybody's exit handlers."""
    try:
        os.setpgid(0, 0)
        told = function()
    except BaseException:  # noqa: BLE001 - SystemExit above all
        told = caught(sys.exc_info())
    try:
        text = json.dumps(told).encode()
        if len(text) > 4 * LARGEST:
            text = json.dumps(failure("Failure", "more errors than can be told")).encode()
        while text:
            text = text[os.write(target, text) :]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        REAL_EXIT(0)


def run(jobs: Iterator[Fork], parallel: int) -> Iterator[tuple[str, Finding]]:
    """Run forks, so many at once, and give each one's subject and answer as it ends."""
    running: dict[int, Fork] = {}
    more = True
    while more or running:
        while more and len(running) < parallel:
            job = next(jobs, None)
            more = job is not None
            if job is not None:
                running[job.source] = job
        ready = select.select(list(running), [], [], 0.1)[0]
        for source in ready:
            if not running[source].read():
                job = running.pop(source)
                yield job.subject, job.finish(in_time=True)
        for source, job in list(running.items()):
            if time.monotonic() > job.deadline:
                del running[source]
                yield job.subject, job.finish(in_time=False)


def failure(kind: str, message: str) -> Finding:
    return {"errors": [{"kind": kind, "message": message, "trace": []}]}


def caught(info: Any) -> Finding:
    """What a caught exception tells."""
    kind, error, _ = info
    text = "".join(traceback.format_exception(*info))
    message = f"exit code {error.code}" if isinstance(error, SystemExit) else str(error)
    return {"errors": [told_of(text, kind.__name__, message)]}


def told_of(text: str, kind: str | None = None, message: str | None = None) -> Finding:
    """A traceback's text as a finding: its places (the innermost first), kind, message and last lines."""
    lines = [line[:LONGEST] for line in text.rstrip().splitlines()]
    if kind is None:
        kind, message = raised(lines) or ("Error", text.strip())
    places = [[os.path.realpath(file), int(line)] for file, line in FRAME.findall(text) if not file.startswith("<")]
    return {
        "kind": kind.rpartition(".")[2],
        "message": (message or "")[:LONGEST],
        "trace": without_loader(lines)[-TRACE:],
        "places": places[::-1][:TRACE],
    }


def raised(lines: list[str]) -> tuple[str, str] | None:
    """Kind and message of the exception that a traceback ends with; the message may have lines of its own."""
    for number, line in reversed(list(enumerate(lines))):
        follows_frames = number == 0 or lines[number - 1].startswith("  ")
        if follows_frames and re.match(r"[A-Za-z_][\w.]*(: |$)", line):
            kind, _, message = "\n".join(lines[number:]).partition(": ")
            return kind, message
    return None


def without_loader(lines: list[str]) -> list[str]:
    """A traceback without the frames of who loaded the user's file, and without the import machinery's."""
    kept, frame, begun = [], [], False  # type: list[str], list[str], bool
    for line in [*lines, ""]:
        if line.startswith("  File ") or not line.startswith("    "):
            foreign = bool(frame) and ("<frozen " in frame[0] or (not begun and LOADER.search(frame[0])))
            kept += [] if foreign else frame
            begun = begun or (bool(frame) and not foreign)
            frame = []
        if line.startswith("  File "):
            frame = [line]
        elif frame:
            frame.append(line)
        else:
            kept.append(line)
    return kept[:-1]


def try_imports(roots: dict[str, list[str]]) -> Finding:
    """Import each package's modules; a package is reported if none of them can be imported."""
    errors = []
    for package, modules in roots.items():
        found = []
        for name in modules:
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001 - whatever a module does on import
                found += [dict(error, package=package, module=name) for error in caught(sys.exc_info())["errors"]]
        if modules and len(found) == len(modules):
            errors += found[:1]
    return {"errors": errors}


def try_plugins(folder: str, note: LastWords) -> Finding:
    """Load every plugin as Airflow does. Airflow keeps only a sentence of each error, so its log is read."""
    heard = []  # type: list[tuple[str, Any]]

    class ErrorCollector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                args = record.args if isinstance(record.args, tuple) else ()
                heard.append((str(args[0]) if args else record.getMessage(), record.exc_info))

    collector = ErrorCollector(level=logging.ERROR)
    for name in ("airflow.plugins_manager", "airflow._shared.plugins_manager.plugins_manager"):
        logging.getLogger(name).addHandler(collector)
    watch(os.path.realpath(folder) + os.sep, note)
    manager = importlib.import_module("airflow.plugins_manager")
    manager.ensure_plugins_loaded()
    note.write("")
    if hasattr(manager, "_get_plugins"):
        plugins, unheard = manager._get_plugins()  # noqa: SLF001 - Airflow 3.2 and later tell in no other way
    else:
        plugins, unheard = manager.plugins or [], manager.import_errors
    errors = []
    for subject, info in heard:
        errors += [dict(error, subject=subject, survived=is_no_plugin(subject)) for error in caught(info)["errors"]]
    known = {subject for subject, _ in heard}
    for subject, message in unheard.items():
        if subject not in known and not any(message == error["message"] for error in errors):
            # Nothing was raised: two files hold the plugin, because one imports it from the other; that is ignored.
            path = str(subject).replace("$PLUGINS_FOLDER", folder)
            told = {"kind": "", "message": str(message)[:LONGEST], "trace": [], "subject": path, "survived": True}
            errors.append(told)
    return {"errors": errors, "plugins": sorted(str(plugin.name) for plugin in plugins)[:MOST_DAGS]}


def watch(folder: str, note: LastWords) -> None:
    """Keep a note of which file below the folder is being loaded, in case something ends the process meanwhile."""

    def began(event: str, args: Any) -> None:
        if event != "exec":
            return
        path = os.path.realpath(getattr(args[0], "co_filename", ""))
        if not path.startswith(folder):
            return
        frame = inspect.currentframe()
        while frame is not None:  # a file that another one imports is no news
            if os.path.realpath(frame.f_code.co_filename).startswith(folder):
                return
            frame = frame.f_back
        note.write(path)

    if hasattr(sys, "addaudithook"):  # Python 3.8
        sys.addaudithook(began)


def is_no_plugin(path: str) -> bool:
    """Whether a file that cannot be loaded defines no plugin; Airflow logs the error and goes on without either."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return not PLUGIN_WORDS.search(text)
    named = [getattr(node, "id", None) or getattr(node, "attr", None) for node in nodes]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            named += [name.name for name in node.names]
        # Its base may be a plugin of another file's.
        if isinstance(node, ast.ClassDef):
            bases = [str(getattr(base, "id", None) or getattr(base, "attr", "")) for base in node.bases]
            named += ["AirflowPlugin" for base in bases if base.endswith("Plugin")]
    return "AirflowPlugin" not in named


def dag_files(folder: str) -> list[str]:
    """The files that Airflow would parse."""
    listing = importlib.import_module("airflow.utils.file").list_py_file_paths
    known = inspect.signature(listing).parameters
    return sorted(listing(folder, **({"include_examples": False} if "include_examples" in known else {})))


def file_limit(default: float) -> float:
    """Seconds that the DAG processor gives a file: Airflow 3 has the option in a section of its own."""
    conf = importlib.import_module("airflow.configuration").conf
    for section in ("dag_processor", "core"):
        try:
            found = float(conf.get(section, "dag_file_processor_timeout"))
        except Exception:  # noqa: BLE001, S112 - whatever a line raises for an option that it has not, or a wrong value
            continue
        return found if found > 0 else default
    return default


def parse(file: str) -> Finding:
    """Parse one file as the DAG processor does, serialization included."""
    started = time.monotonic()
    bag_class = dag_bag_class()
    known = inspect.signature(bag_class.__init__).parameters
    arguments = {"include_examples": False, "bundle_name": "dags-folder"}
    bag = bag_class(file, **{name: value for name, value in arguments.items() if name in known})
    errors = [told_of(str(text)) for text in bag.import_errors.values()]
    serialize = serializer()
    for dag in bag.dags.values():
        try:
            serialize(dag)
        except Exception:  # noqa: BLE001 - whatever user code does when it is serialized
            errors += caught(sys.exc_info())["errors"]
    errors += unreadable({dag.fileloc for dag in bag.dags.values()})
    return {"errors": errors, "dags": sorted(bag.dags)[:MOST_DAGS], "seconds": time.monotonic() - started}


def unreadable(files: set[str]) -> list[Finding]:
    """Errors of sources that are no text: Python may run them, but Airflow stores them beside their DAGs."""
    if importlib.import_module("airflow").__version__.startswith("1."):
        return []
    errors = []
    for file in sorted(files):
        try:
            with importlib.import_module("airflow.utils.file").open_maybe_zipped(file, "r") as source:
                source.read()
        except UnicodeDecodeError:
            errors += caught(sys.exc_info())["errors"]
        except OSError:
            continue
    return errors


def dag_bag_class() -> Any:
    try:
        return importlib.import_module("airflow.dag_processing.dagbag").DagBag
    except ImportError:  # before 3.2
        return importlib.import_module("airflow.models.dagbag").DagBag


def serializer() -> Callable[[Any], Any]:
    module = importlib.import_module("airflow.serialization.serialized_objects")
    known = getattr(module, "DagSerialization", None) or module.SerializedDAG
    to_dict: Callable[[Any], Any] = known.to_dict
    return to_dict


def main() -> int:
    """Do all that the file asks for; the exit code says only whether it came to its end."""
    channel = int(os.environ.pop("AERODROME_CHANNEL"))
    os.set_inheritable(channel, False)  # noqa: FBT003 - the standard library's own
    KEPT_FROM_FORKS.append(channel)
    os.dup2(2, 1)  # what user code prints is no finding

    def tell(event: str, finding: Finding) -> None:
        text = json.dumps(dict(finding, event=event)).encode() + b"\n"
        while text:
            text = text[os.write(channel, text) :]

    with open(sys.argv[1], encoding="utf-8") as file:
        wanted = json.load(file)
    if wanted.get("roots"):
        jobs = iter([Fork("imports", lambda: try_imports(wanted["roots"]), wanted["limit"])])
        for _, finding in run(jobs, 1):
            tell("imports", finding)
    if not wanted.get("plugins") and not wanted.get("dags"):
        tell("end", {})
        return 0
    gc.disable()  # for objects that stay: importing Airflow takes a sixth less
    try:
        importlib.import_module("airflow")
        importlib.import_module("airflow.settings").initialize()
        dag_bag_class(), serializer()
    except BaseException:  # noqa: BLE001 - airflow_local_settings.py is user code
        tell("airflow", caught(sys.exc_info()))
        return 0
    gc.freeze()
    gc.enable()
    if wanted.get("plugins"):
        note = LastWords()
        folder = wanted["plugins"]
        for _, finding in run(iter([Fork("plugins", lambda: try_plugins(folder, note), wanted["limit"], note)]), 1):
            tell("plugins", finding)
    if wanted.get("dags"):
        parse_all(wanted, tell)
    tell("end", {})
    return 0


def parse_all(wanted: dict[str, Any], tell: Callable[[str, Finding], None]) -> None:
    """Every file of the folder, several at once."""
    folder = os.path.realpath(wanted["dags"])
    if folder not in sys.path:
        sys.path.append(folder)
    files = dag_files(folder)
    tell("files", {"count": len(files)})
    limit = file_limit(wanted["file_limit"])
    jobs = (Fork(file, lambda file=file: parse(file), limit) for file in files)  # type: ignore[misc]
    for file, finding in run(jobs, wanted["parallel"]):
        tell("dags", dict(finding, file=os.path.relpath(file, folder)))


if __name__ == "__main__":
    sys.exit(main())
