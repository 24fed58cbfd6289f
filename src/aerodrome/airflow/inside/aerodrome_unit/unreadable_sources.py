"""Have the DAG processor report a DAG file whose source it cannot read.

Python runs a file with a comment that is not UTF-8. Airflow keeps the source beside the DAG and fails to read it as
text. Airflow 2 says so only in its log. Airflow 3 has an import error, which disappears when it parses the file again,
because by then the DAG in the database is the same. With this module it is an import error for as long as the file is
so.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
from typing import Any

FIX = "Save the file as UTF-8."


def report_unreadable() -> None:
    """Have DAGs of unreadable files reported as import errors, in this process and in what it forks."""
    processor: Any = importlib.import_module("airflow.dag_processing.processor")
    if hasattr(processor, "DagFileProcessor"):
        _report_where_they_are_saved(processor.DagFileProcessor)
    else:
        _report_where_they_are_serialized(getattr(processor, "DagSerialization", None) or processor.SerializedDAG)


def _report_where_they_are_serialized(serialization: Any) -> None:
    """Airflow 3: an error that is raised there becomes the file's import error."""
    to_dict = serialization.to_dict

    def to_dict_of_readable(dag: Any, *args: Any, **kwargs: Any) -> Any:
        sentence = unreadable(dag.fileloc)
        if sentence is not None:
            raise ValueError(sentence)
        return to_dict(dag, *args, **kwargs)

    serialization.to_dict = staticmethod(to_dict_of_readable)


def _report_where_they_are_saved(processor: Any) -> None:
    """Airflow 2."""
    save = processor.save_dag_to_db

    def save_readable(dags: dict[str, Any], *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        found = {file: unreadable(file) for file in {dag.fileloc for dag in dags.values()}}
        readable = {name: dag for name, dag in dags.items() if found[dag.fileloc] is None}
        errors = [(file, sentence) for file, sentence in found.items() if sentence is not None]
        return [*dict(save(readable, *args, **kwargs)).items(), *errors]

    processor.save_dag_to_db = staticmethod(save_readable)


def unreadable(file: str) -> str | None:
    """Why the source of a DAG file, which may be in an archive, is no text; None = it is text, or is gone by now."""
    from airflow.utils.file import open_maybe_zipped

    try:
        with open_maybe_zipped(file, "r") as source:
            source.read()
    except UnicodeDecodeError as error:
        return f"{file}\nUnicodeDecodeError: {error}. {FIX}"
    except OSError:
        return None
    return None
