"""The service's operations: a request and its caller in, an answer out.

Who calls is known by the access key id that a request is signed with. The emulator checks no signature, so that keeps
nobody out; it says whose statements ListStatements lists, for whoever knows a statement's id may have its result.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import psycopg

from aerodrome.emulator.redshift import requests, running, shown, sql, warehouses, wire
from aerodrome.emulator.redshift.requests import Document
from aerodrome.emulator.redshift.running import Surroundings
from aerodrome.emulator.redshift.sql import ParameterError, Query, Understood
from aerodrome.emulator.redshift.statement import ENDED, Statement, StatementStatus, SubStatement
from aerodrome.emulator.redshift.statements import Statements
from aerodrome.emulator.redshift.wire import ServiceError

MOST_LISTED = 100
"""Statements on one page."""

MOST_WAITING = 50
"""Requests that wait for the end of a statement."""

MOST_TOKENS = 1000
"""ClientTokens that are remembered."""

THREADS = 8
"""Of our own, for what blocks beside the statements themselves: the emulator's other services share its pool."""

P = ParamSpec("P")
T = TypeVar("T")

READING_TIMEOUT = 10.0
"""Seconds for a question about schemas and tables."""

SCHEMAS = r"SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 AND nspname NOT LIKE 'pg\_t%' ORDER BY nspname"

TABLES = r"""
    SELECT nspname, relname, CASE
        WHEN nspname IN ('pg_catalog', 'information_schema') THEN 'SYSTEM ' ELSE '' END || CASE
        WHEN relkind IN ('v', 'm') THEN 'VIEW' ELSE 'TABLE' END
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname LIKE $1 AND relname LIKE $2 AND nspname NOT LIKE 'pg\_t%'
    ORDER BY nspname, relname
"""


@dataclass(frozen=True, slots=True)
class _Submitted:
    fingerprint: str
    identifier: str


@dataclass
class Service:
    """The Redshift Data API of one emulator; lives in its event loop."""

    around: Surroundings
    statements: Statements = field(init=False)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "redshift"))
    _tokens: dict[tuple[str, str], _Submitted] = field(default_factory=dict)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self.statements = Statements(self.around, self._threads)

    async def answer(self, target: str, body: bytes, caller: str) -> tuple[int, bytes]:
        """Status and body for a request to the operation that `target` names."""
        try:
            wanted = wire.operation(target)
            output = await _operation(wanted.name)(self, wire.read(wanted, body), caller)
        except ServiceError as error:
            return wire.status(error), wire.failure(error)
        return 200, wire.success(wanted, output)

    async def close(self) -> None:
        """End every statement."""
        await self.statements.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def execute(self, given: Document, caller: str) -> Document:
        parameters = {each["name"]: each["value"] for each in given.get("Parameters", ())}
        if len(parameters) != len(given.get("Parameters", ())):
            raise ServiceError(wire.VALIDATION, "Parameters: a name is given twice.")
        return await self._submit(given, [given["Sql"]], parameters, caller)

    async def execute_batch(self, given: Document, caller: str) -> Document:
        if given.get("Parameters"):
            raise ServiceError(wire.VALIDATION, "Parameters are taken by ExecuteStatement only.")
        return await self._submit(given, given["Sqls"], {}, caller)

    async def describe(self, given: Document, _caller: str) -> Document:
        statement, part = self._found(given["Id"])
        await self._wait(given, statement)
        return shown.described(statement, part, given["Id"])

    async def result(self, given: Document, _caller: str) -> Document:
        statement, part = self._found(given["Id"])
        await self._wait(given, statement)
        chosen = statement.parts[0] if part is None and not statement.is_batch else part
        has_ended = chosen is not None and chosen.course.status is StatementStatus.FINISHED
        result = chosen.result if chosen and has_ended and statement.course.status in ENDED else None
        if result is None:
            sentence = "Query does not have result. Please check query status with DescribeStatement."
            raise ServiceError(wire.NOT_FOUND, sentence, ResourceId=given["Id"])
        number = requests.number(given.get("NextToken"), len(result.pages) - 1)
        return {
            "Records": json.loads(result.pages[number]),
            "ColumnMetadata": result.columns,
            "TotalNumRows": result.rows,
            "NextToken": str(number + 1) if number + 1 < len(result.pages) else None,
        }

    async def cancel(self, given: Document, _caller: str) -> Document:
        statement, part = self._found(given["Id"])
        if part is not None:
            raise ServiceError(wire.VALIDATION, "A statement of a batch cannot be cancelled by itself.")
        if statement.course.status in ENDED:
            raise ServiceError(
                wire.VALIDATION,
                f"Could not cancel a query that is already in {statement.course.status} state with ID: {given['Id']}",
            )
        await self.statements.cancel(statement)
        return {"Status": True}

    async def list_statements(self, given: Document, caller: str) -> Document:
        own = (each for each in self.statements.newest_first() if each.caller == caller)
        page, token = requests.page([each for each in own if shown.is_wanted(each, given)], given, most=MOST_LISTED)
        return {"Statements": [shown.listed(each) for each in page], "NextToken": token}

    async def list_databases(self, given: Document, _caller: str) -> Document:
        endpoint = requests.endpoint(given)
        known = [access.warehouse for access in await self._in_thread(warehouses.known, self.around.folder)]
        page, token = requests.page(sorted(each.database for each in known if each.endpoint == endpoint), given)
        return {"Databases": page, "NextToken": token}

    async def list_schemas(self, given: Document, _caller: str) -> Document:
        rows = await self._read(given, Query(SCHEMAS, (given.get("SchemaPattern") or "%",)))
        page, token = requests.page([row[0] for row in rows], given)
        return {"Schemas": page, "NextToken": token}

    async def list_tables(self, given: Document, _caller: str) -> Document:
        patterns = (given.get("SchemaPattern") or "%", given.get("TablePattern") or "%")
        page, token = requests.page(await self._read(given, Query(TABLES, patterns)), given)
        tables = [{"schema": schema, "name": name, "type": kind} for schema, name, kind in page]
        return {"Tables": tables, "NextToken": token}

    async def _submit(
        self, given: Document, texts: Sequence[str], parameters: Mapping[str, str], caller: str
    ) -> Document:
        requests.check(given, [*texts, *parameters, *parameters.values()])
        warehouse = requests.warehouse(given)
        identifier = self._earlier(given, caller)
        if identifier is None:
            self.statements.require_room()
            identifier = str(uuid.uuid4())
            token = self._remember_token(given, caller, identifier)
            try:
                understood = await self._in_thread(_understood, texts, parameters)
            except ServiceError:
                self._tokens.pop(token, None)
                raise
            is_batch = "Sqls" in given
            self.statements.add(
                Statement(
                    identifier=identifier,
                    warehouse=warehouse,
                    caller=caller,
                    given={name: value for name, value in given.items() if name not in {"Sql", "Sqls"}},
                    parts=tuple(SubStatement(understood=each) for each in understood),
                    is_batch=is_batch,
                    is_transaction=is_batch and given.get("ExecutionMode") != "AUTO_COMMIT",
                )
            )
        statement, _ = self._found(identifier)
        await self._wait(given, statement)
        answer = {name: given.get(name) for name in shown.ECHOED}
        answer |= {"Id": identifier, "CreatedAt": statement.course.created_at}
        if "WaitTimeSeconds" in given:
            has_result = any(part.result for part in statement.parts)
            answer |= {"Status": str(statement.course.status), "HasResultSet": has_result}
        return answer

    def _earlier(self, given: Document, caller: str) -> str | None:
        """The statement that the same ClientToken asked for before: a client that heard no answer asks again."""
        known = self._tokens.get((caller, given.get("ClientToken", "")))
        if known is None:
            return None
        if known.fingerprint != requests.fingerprint(given):
            raise ServiceError(wire.VALIDATION, "ClientToken: it was used for another request before.")
        return known.identifier

    def _remember_token(self, given: Document, caller: str, identifier: str) -> tuple[str, str]:
        key = (caller, given.get("ClientToken", ""))
        if key[1]:
            self._tokens[key] = _Submitted(requests.fingerprint(given), identifier)
        while len(self._tokens) > MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return key

    def _found(self, identifier: str) -> tuple[Statement, SubStatement | None]:
        """The statement, and which of its parts is meant, if one is."""
        whole, _, number = identifier.partition(":")
        statement = self.statements.find(whole)
        parts = statement.parts if statement and statement.is_batch else ()
        is_part = number.isdecimal() and 1 <= int(number) <= len(parts)
        if statement is None or (":" in identifier and not is_part):
            raise ServiceError(wire.NOT_FOUND, "Query does not exist.", ResourceId=identifier)
        return statement, parts[int(number) - 1] if is_part else None

    async def _wait(self, given: Document, statement: Statement) -> None:
        seconds = given.get("WaitTimeSeconds")
        if not seconds:
            return
        if self._waiting >= MOST_WAITING:
            raise ServiceError(wire.TOO_MANY_WAITING, f"{MOST_WAITING} requests wait already; ask without waiting.")
        self._waiting += 1
        try:
            await self.statements.ended(statement.identifier, seconds)
        finally:
            self._waiting -= 1

    async def _in_thread(self, work: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *given, **more))

    async def _read(self, given: Document, query: Query) -> list[list[str]]:
        requests.check(given, query.values)
        warehouse = requests.warehouse(given)
        if given.get("ConnectedDatabase", warehouse.database) != warehouse.database:
            raise ServiceError(wire.VALIDATION, "ConnectedDatabase: a database is looked at from itself only.")
        deadline = time.monotonic() + READING_TIMEOUT

        def check() -> None:
            if time.monotonic() > deadline:
                raise TimeoutError

        try:
            return await self._in_thread(running.read, self.around, warehouse, query, check)
        except TimeoutError:
            raise ServiceError(wire.TIMEOUT, "The database gave no answer in time.") from None
        except psycopg.Error:
            raise ServiceError(wire.NO_CONNECTION, "The database cannot be reached.") from None


Operation = Callable[[Service, Document, str], Awaitable[Document]]

OPERATIONS: Mapping[str, Operation] = {
    "ExecuteStatement": Service.execute,
    "BatchExecuteStatement": Service.execute_batch,
    "DescribeStatement": Service.describe,
    "GetStatementResult": Service.result,
    "CancelStatement": Service.cancel,
    "ListStatements": Service.list_statements,
    "ListDatabases": Service.list_databases,
    "ListSchemas": Service.list_schemas,
    "ListTables": Service.list_tables,
}


def _operation(name: str) -> Operation:
    if name not in OPERATIONS:
        raise ServiceError(wire.VALIDATION, f"{name} is not offered by the embedded emulator.")
    return OPERATIONS[name]


def _understood(texts: Sequence[str], parameters: Mapping[str, str]) -> list[Understood]:
    try:
        return [sql.understand(text, parameters) for text in texts]
    except ParameterError as error:
        raise ServiceError(wire.VALIDATION, f"Parameters: {error}") from None
