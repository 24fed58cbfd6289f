"""Run by a version's interpreter: reads documents that hostile DAG code has stored, then honest ones.

Argument: a folder that is on the path, with a module `hostile` whose import leaves a file there. Prints, as JSON, what
became of each document.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path

folder, inside = map(Path, sys.argv[1:3])
sys.path[:0] = [str(folder), str(inside)]

from aerodrome_unit import stored_dags  # noqa: E402 - found by what is put on the path above

from airflow.serialization.serialized_objects import BaseSerialization  # noqa: E402
from airflow.timetables.simple import NullTimetable  # noqa: E402

stored_dags.call_what_airflow_knows()


DECODERS = "airflow.serialization.decoders"
"""Since Airflow 3.2."""


def encoded(type_, value):
    return {"__type": type_, "__var": value}


def exception(name, *args):
    inner = {"exc_cls_name": name, "args": list(args), "kwargs": encoded("dict", {})}
    return encoded("dict", inner)


def deadline(path):
    return importlib.import_module(DECODERS).decode_deadline_reference(
        {"reference_type": "Custom", "__class_path": path}
    )


def timetable(name):
    module = importlib.import_module(DECODERS if importlib.util.find_spec(DECODERS) else BaseSerialization.__module__)
    return module.decode_timetable({"__type": name, "__var": {}})


def read(document):
    return lambda: BaseSerialization.deserialize(document)


PARAM = {"default": 1, "description": None, "schema": {}}
left = str(folder / "left")
HOSTILE = {
    "an exception": read(encoded("airflow_exc_ser", exception("hostile.Anything", left))),
    "an exception that is a function": read(encoded("airflow_exc_ser", exception("os.mkdir", left))),
    "a builtin": read(encoded("base_exc_ser", exception("exec", f"open({left!r}, 'w')"))),
    "a trigger": read(encoded("base_trigger", encoded("tuple", ["os.mkdir", encoded("dict", {"path": left})]))),
    "a trigger's module": read(encoded("base_trigger", encoded("tuple", ["hostile.Anything", encoded("dict", {})]))),
    "a param": read(encoded("param", {**PARAM, "__class": "hostile.Anything"})),
    "a timetable": lambda: timetable("hostile.Anything"),
    "what a timetable's module has": lambda: timetable("airflow.timetables.base.NamedTuple"),
    "a deadline": lambda: deadline("hostile.Anything"),
}
HONEST = {
    "an exception": (read(encoded("airflow_exc_ser", exception("airflow.exceptions.AirflowException", "x"))), "x"),
    "a key error": (read(encoded("base_exc_ser", exception("KeyError", "x"))), "'x'"),
    "a timetable": (lambda: type(timetable("airflow.timetables.simple.NullTimetable")), str(NullTimetable)),
    "a param": (
        lambda: read(encoded("param", {**PARAM, "__class": "airflow.sdk.definitions.param.Param"}))().value,
        "1",
    ),
}


def became(ask):
    try:
        ask()
    except Exception as error:  # noqa: BLE001 - the test judges it
        return f"{type(error).__name__}: {error}"
    return "read"


result = {}
for what, ask in HOSTILE.items():
    said = became(ask)
    ran = "hostile" in sys.modules or Path(left).exists()
    sys.modules.pop("hostile", None)
    if Path(left).is_dir():
        Path(left).rmdir()
    Path(left).unlink(missing_ok=True)
    result[what] = [ran, said]
honest = {what: [str(ask()), wanted] for what, (ask, wanted) in HONEST.items()}
sys.stdout.write(json.dumps({"hostile": result, "honest": honest}) + "\n")
