"""Have Airflow 3 call nothing that a stored DAG names, unless it is Airflow's own or a plugin's.

The DAG processor stores what DAG code hands to it, and tasks send more of the kind: exceptions, triggers, timetables,
by the name of their class. Airflow 3.0 and 3.2 import and call whatever is named, in the scheduler and the web server,
which hold the environment's secrets. Airflow 3.3 calls only what is named here too.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

TIMETABLES = "airflow.timetables."

BUILT_IN = {"builtins.KeyError": KeyError, "builtins.AttributeError": AttributeError}

PARAM = "airflow.sdk.definitions.param.Param"


def call_what_airflow_knows() -> None:
    """Restrict what is called in this process, and in what it forks. Does nothing where Airflow itself does so."""
    if importlib.util.find_spec("airflow.sdk") is None:
        return
    serialization: Any = importlib.import_module("airflow.serialization.serialized_objects")
    if hasattr(serialization, "import_string"):
        exceptions: Any = importlib.import_module("airflow.exceptions")
        serialization.import_string = _known_to(serialization.import_string, exceptions.AirflowException)
        base = serialization.BaseSerialization
        base._deserialize_param = classmethod(_plain(base._deserialize_param.__func__))  # noqa: SLF001 - no other place
    _restrict_deadlines()


def _known_to(import_string: Callable[[str], Any], exception: type) -> Callable[[str], Any]:
    """`import_string`, for the classes that a stored DAG may name."""

    def import_known(name: str) -> Any:
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name == PARAM:
            return import_string(name)
        if name.startswith(TIMETABLES):
            timetable: Any = importlib.import_module("airflow.timetables.base")
            found, wanted = import_string(name), timetable.Timetable
        else:
            found, wanted = loaded(name), exception
        if not (isinstance(found, type) and wanted in found.__mro__):  # a Protocol cannot be asked
            raise refusal(name)
        return found

    return import_known


def _plain(deserialize: Callable[..., Any]) -> Callable[..., Any]:
    """`_deserialize_param`, which makes a Param of Airflow's own whatever class is named: it stores no other."""

    def deserialize_param(cls: Any, document: Mapping[str, Any]) -> Any:
        return deserialize(cls, {**document, "__class": PARAM})

    return deserialize_param


def _restrict_deadlines() -> None:
    """Airflow 3.2: a deadline's own reference must come from a module that a plugin has loaded."""
    try:
        definitions: Any = importlib.import_module("airflow.serialization.definitions.deadline")
    except ImportError:
        return
    helpers: Any = importlib.import_module("airflow.serialization.helpers")
    if hasattr(helpers, "find_registered_custom_deadline_reference"):
        return

    def deserialize_reference(cls: Any, document: dict[str, Any]) -> Any:
        plugins: Any = importlib.import_module("airflow.plugins_manager")
        plugins.ensure_plugins_loaded()
        found = loaded(document["__class_path"])
        if not (isinstance(found, type) and hasattr(found, "deserialize_reference")):
            raise refusal(document["__class_path"])
        return cls(found.deserialize_reference(document))

    reference = definitions.SerializedReferenceModels.SerializedCustomReference
    reference.deserialize_reference = classmethod(deserialize_reference)


def loaded(name: str) -> Any:
    """What has that name in a module that this process has imported; None = there is no such thing.

    Not by getattr: a module may import for whoever asks.
    """
    module, _, attribute = name.rpartition(".")
    return vars(sys.modules[module]).get(attribute) if module in sys.modules else None


def refusal(name: str) -> ValueError:
    """The error for whoever reads such a DAG."""
    return ValueError(f"a stored DAG names {name!r}, which is neither Airflow's own nor a plugin's: it is not called")
