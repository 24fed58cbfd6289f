"""Corrections to MiniStack's Athena: where results lie, what a whole number in a text file is, and who reads what.

MiniStack 1.5.33 reports `<OutputLocation><id>.csv` and writes `<OutputLocation><id>.csv/<id>.csv`, and it joins a
location without a slash at its end to the id. It rounds a fraction in a column of whole numbers, where Hive's reader
cuts it off: 4.5 is 4. It reads every table for everybody, where AWS reads with the rights of who asks. `__main__`
applies them once; the tests hold what AWS does, so a MiniStack that does it too lets this module go.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from aerodrome.emulator import reach

Document = MutableMapping[str, Any]

LAZY = "LazySimpleSerDe"

WHOLE = re.compile(r'TRY_CAST\(("c\d+") AS (TINYINT|SMALLINT|INTEGER|BIGINT)\)')
"""How MiniStack reads a field of a text file as a whole number."""

CUT = r"TRY_CAST(regexp_replace(\1, '^([+-]?\\d+)\\.\\d*$', '\\1') AS \2)"
"""The same without the fraction; any other text is left to the cast."""


def correct(athena: Any) -> None:
    """Put the corrected functions into MiniStack's module."""
    athena._start_query_execution = started_in_a_folder(athena._start_query_execution)  # noqa: SLF001 -- pinned version
    athena._save_query_results = saved_where_reported(athena._save_query_results, athena._executions)  # noqa: SLF001
    athena._materialize_table_files = read_within_reach(athena._materialize_table_files)  # noqa: SLF001
    athena._table_relation = whole_numbers_cut(athena._table_relation)  # noqa: SLF001


def started_in_a_folder(start: Callable[[Document], Any]) -> Callable[[Document], Any]:
    """StartQueryExecution for which the output location is a folder, with or without its slash."""

    def corrected(request: Document) -> Any:
        location = (request.get("ResultConfiguration") or {}).get("OutputLocation")
        if location and not location.endswith("/"):
            configuration = {**request["ResultConfiguration"], "OutputLocation": f"{location}/"}
            return start({**request, "ResultConfiguration": configuration})
        return start(request)

    return corrected


def read_within_reach(copy: Callable[[str, list[str]], list[str]]) -> Callable[[str, list[str]], list[str]]:
    """Copying a table's objects for a query, if who asks may read their bucket."""

    def corrected(location: str, folders: list[str]) -> list[str]:
        within = reach.current()
        if within is None:
            return copy(location, folders)
        within.check(urlsplit(location).netloc)
        before = len(folders)
        files = copy(location, folders)
        within.folders.extend(folders[before:])
        return files

    return corrected


def saved_where_reported(
    save: Callable[[str], Awaitable[None]], executions: MutableMapping[str, Document]
) -> Callable[[str], Awaitable[None]]:
    """Saving for which the location is the folder of the reported file; it never yields, so nobody sees that."""

    async def corrected(query_id: str) -> None:
        configuration = executions[query_id]["ResultConfiguration"]
        reported = configuration["OutputLocation"]
        configuration["OutputLocation"] = f"{reported.rpartition('/')[0]}/"
        try:
            await save(query_id)
        finally:
            configuration["OutputLocation"] = reported

    return corrected


def whole_numbers_cut(relation: Callable[[Document, list[str]], str]) -> Callable[[Document, list[str]], str]:
    """The SQL that reads a table's files, for which a whole number ends at its point."""

    def corrected(table: Document, files: list[str]) -> str:
        serde = (table.get("StorageDescriptor") or {}).get("SerdeInfo") or {}
        sql = relation(table, files)
        return WHOLE.sub(CUT, sql) if LAZY in (serde.get("SerializationLibrary") or "") else sql

    return corrected
