"""Carries a statement out, in the thread that calls, and ends one that is under way.

Each has a connection of its own, so that nothing which one leaves behind meets another.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
from psycopg import sql
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from aerodrome.emulator.redshift import access, objects, receiving, results
from aerodrome.emulator.redshift.copying import S3, CopyRefusedError, Load
from aerodrome.emulator.redshift.results import Result
from aerodrome.emulator.redshift.sql import Query
from aerodrome.emulator.redshift.statement import Statement, StatementStatus, Stop, StoppedError, SubStatement
from aerodrome.emulator.redshift.warehouses import Warehouse

LONGEST = 900.0
"""Seconds that a statement may take; the service's own limit is a day."""

RESULT_LIMIT = 16 * 2**20
"""Bytes of a result as JSON (the service: 500 MB, packed)."""

RECEIVED_LIMIT = 2 * RESULT_LIMIT
"""Bytes that PostgreSQL may send for it, one row of which is held at a time."""

GRACE = 3.0
"""Seconds that a statement under way may take to notice that it is to end."""

CANCEL_TIMEOUT = 5.0

_LINE = re.compile(r", line (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What statements need beside themselves."""

    folder: Path
    """Where the ways to the databases lie."""
    s3: Callable[[], Any]
    """Makes a client of the emulator's own S3."""


class FailedError(Exception):
    """What PostgreSQL said."""


def carry_out(statement: Statement, around: Surroundings) -> None:
    """Take it to its end; whatever goes wrong stands in it."""
    try:
        _connected(statement, around)
    except StoppedError:
        _end(statement, *_stopped(statement))
    except FailedError as error:
        _end(statement, StatementStatus.FAILED, str(error))
    except (access.UnavailableError, psycopg.Error) as error:
        _end(statement, *(_stopped(statement) if statement.stop else (StatementStatus.FAILED, _said(str(error)))))
    except BaseException as error:
        _end(
            statement, StatementStatus.FAILED, _said(f"the embedded Redshift Data API failed ({type(error).__name__})")
        )
        raise
    else:
        statement.course.end(StatementStatus.FINISHED)
    finally:
        statement.has_ended.set()


def end(statement: Statement, why: Stop, around: Surroundings) -> None:
    """Have a statement under way end soon; returns when it has."""
    statement.stop = statement.stop or why
    connection = statement.connection
    if connection is not None:
        with contextlib.suppress(psycopg.Error):
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
    if not statement.has_ended.wait(GRACE):
        _terminate(statement, around)
        statement.has_ended.wait(GRACE)


def abort(statement: Statement) -> None:
    """The end of a statement that has not begun."""
    _end(statement, StatementStatus.ABORTED, None)
    statement.has_ended.set()


def read(around: Surroundings, warehouse: Warehouse, query: Query, check: Callable[[], None]) -> list[list[str]]:
    """The rows of a short question about a database that exists; empty when it does not.

    Raises:
        psycopg.Error: it gives no answer.
    """
    known = access.known(around.folder, warehouse)
    if known is None:
        return []
    with contextlib.closing(access.connect(known)) as connection:
        return [
            [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]
            for result in receiving.results(connection, query.text, query.values, most=RECEIVED_LIMIT, check=check)
            if result.status == ExecStatus.SINGLE_TUPLE
        ]


def _connected(statement: Statement, around: Surroundings) -> None:
    statement.check()
    with contextlib.closing(access.connected(around.folder, statement.warehouse, statement.check)) as connection:
        statement.connection, statement.pid = connection, connection.info.backend_pid
        statement.course.begin()
        try:
            _all_parts(statement, connection, around)
        finally:
            # What is left in the midst of it, PostgreSQL would go on with; and a procedure may ignore a cancellation.
            if connection.info.transaction_status == TransactionStatus.ACTIVE:
                _terminate(statement, around)


def _all_parts(statement: Statement, connection: psycopg.Connection, around: Surroundings) -> None:
    if statement.is_transaction:
        _command(statement, connection, "BEGIN")
    for number, part in enumerate(statement.parts, start=1):
        statement.check()
        part.course.begin()
        try:
            _part(statement, part, connection, around)
        except (CopyRefusedError, FailedError) as error:
            said = _said(str(error)) if isinstance(error, CopyRefusedError) else str(error)
            statement.check()
            part.course.end(StatementStatus.FAILED, said)
            raise FailedError(f"Query #{number} failed with {said}" if statement.is_batch else said) from error
        except receiving.TooLargeError as error:
            said = _said(f"the result is larger than {RESULT_LIMIT} bytes, which is the most that is kept here")
            part.course.end(StatementStatus.FAILED, said)
            raise FailedError(said) from error
        else:
            part.course.end(StatementStatus.FINISHED)
    if statement.is_transaction:
        _command(statement, connection, "COMMIT")


def _part(statement: Statement, part: SubStatement, connection: psycopg.Connection, around: Surroundings) -> None:
    match part.understood.plan:
        case CopyRefusedError() as refusal:
            raise CopyRefusedError(str(refusal))
        case Load() as wanted:
            part.course.rows = _load(statement, wanted, connection, around)
        case Query() as query:
            part.result, part.course.rows = _ask(statement, query, connection)


def _ask(statement: Statement, query: Query, connection: psycopg.Connection) -> tuple[Result | None, int]:
    """The rows of a query, and how many it returned or changed."""
    found: Result | None = None
    rows = 0
    for result in receiving.results(connection, query.text, query.values, most=RECEIVED_LIMIT, check=statement.check):
        match result.status:
            case ExecStatus.SINGLE_TUPLE:
                found = found or Result(results.columns(result))
                found.add(results.record(result))
                if found.size > RESULT_LIMIT:
                    raise receiving.TooLargeError
            case ExecStatus.TUPLES_OK:
                found = found or Result(results.columns(result))
            case ExecStatus.COMMAND_OK:
                rows = result.command_tuples or 0
            case ExecStatus.EMPTY_QUERY:
                pass
            case _:
                _fail(result)
    if found is not None:
        found.close()
        rows = found.rows
    return found, rows


def _command(statement: Statement, connection: psycopg.Connection, text: str) -> None:
    _ask(statement, Query(text), connection)


def _load(statement: Statement, wanted: Load, connection: psycopg.Connection, around: Surroundings) -> int:
    """The rows that a COPY has put into its table."""
    if statement.reach is not None:
        try:
            statement.reach.check(wanted.bucket)
        except PermissionError as error:
            raise CopyRefusedError(str(error)) from None
    table = sql.Identifier(*wanted.table)
    begins: list[tuple[int, str]] = []
    try:
        types = _columns(connection, wanted, table)
        command = sql.SQL("COPY {} ({}) FROM STDIN").format(table, sql.SQL(", ").join(map(sql.Identifier, types)))
        with connection.cursor() as cursor:
            with cursor.copy(command) as copy:
                for number, row in enumerate(objects.rows(around.s3(), wanted, statement.check), start=1):
                    if not begins or begins[-1][1] != row.key:
                        begins.append((number, row.key))
                    copy.write_row(_values(wanted, types, row))
            return cursor.rowcount
    except psycopg.Error as error:
        raise CopyRefusedError(_load_error(wanted, error, begins)) from error


def _columns(connection: psycopg.Connection, wanted: Load, table: sql.Identifier) -> dict[str, bool]:
    """The columns to fill, and whether each holds text."""
    rows = connection.execute(
        """
        SELECT attname, typcategory = 'S' FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
        """,
        (table.as_string(connection),),
    ).fetchall()
    known = {str(name): bool(is_text) for name, is_text in rows}
    unknown = [name for name in wanted.columns if name not in known]
    if unknown:
        raise CopyRefusedError(f'column "{unknown[0]}" of relation "{wanted.table[-1]}" does not exist')
    return {name: known[name] for name in wanted.columns} if wanted.columns else known


def _values(wanted: Load, types: dict[str, bool], row: objects.Row) -> list[str | None]:
    if len(row.fields) != len(types):
        where = f"{S3}{wanted.bucket}/{row.key}, line {row.line}"
        raise CopyRefusedError(f"{where}: {len(row.fields)} fields, and {len(types)} columns to fill")
    return [
        None if field == wanted.null or (field == "" and (wanted.empty_is_null or not is_text)) else field
        for field, is_text in zip(row.fields, types.values(), strict=True)
    ]


def _load_error(wanted: Load, error: psycopg.Error, begins: list[tuple[int, str]]) -> str:
    """What PostgreSQL says, and of which object and row."""
    said, context = error.diag.message_primary or str(error), error.diag.context or ""
    match = _LINE.search(context)
    if match is None or not begins:
        return said
    number = int(match[1])
    first, key = begins[bisect_right(begins, number, key=lambda begin: begin[0]) - 1]
    rest = context[match.end() :].lstrip(",: ")
    return f"{said} ({S3}{wanted.bucket}/{key}, row {number - first + 1}{', ' + rest if rest else ''})"


def _fail(result: PGresult) -> NoReturn:
    if result.status in {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}:
        raise FailedError(_said("a COPY goes from S3 into a table, and no other way"))
    raise FailedError(_told(result))


def _told(result: PGresult) -> str:
    """An error as PostgreSQL tells it, with what helps to find its cause."""
    parts = {
        name: (result.error_field(code) or b"").decode(errors="replace")
        for name, code in (
            ("Detail", DiagnosticField.MESSAGE_DETAIL),
            ("Hint", DiagnosticField.MESSAGE_HINT),
            ("Position", DiagnosticField.STATEMENT_POSITION),
        )
    }
    message = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"the connection was lost"
    lines = [_said(message.decode(errors="replace")), *(f"  {name}: {text}" for name, text in parts.items() if text)]
    return "\n".join(lines)


def _said(sentence: str) -> str:
    return f"ERROR: {sentence}"


def _stopped(statement: Statement) -> tuple[StatementStatus, str | None]:
    if statement.stop is Stop.LATE:
        return StatementStatus.FAILED, _said(f"the statement was ended: it may take {LONGEST:.0f} seconds")
    return StatementStatus.ABORTED, None


def _end(statement: Statement, status: StatementStatus, error: str | None) -> None:
    """The end of a statement, and of the parts that have none yet."""
    for part in statement.parts:
        if part.course.status is StatementStatus.STARTED:
            part.course.end(status, error)
        elif part.course.status is StatementStatus.SUBMITTED:
            part.course.end(StatementStatus.ABORTED)
    statement.course.end(status, error)


def _terminate(statement: Statement, around: Surroundings) -> None:
    """End the statement's connection from PostgreSQL's side."""
    known = access.known(around.folder, statement.warehouse)
    if known is None or not statement.pid:
        return
    with contextlib.suppress(psycopg.Error), contextlib.closing(access.connect(known)) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (statement.pid,))
