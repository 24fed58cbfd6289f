"""Statements as DescribeStatement and ListStatements show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aerodrome.emulator.redshift.statement import Course, Statement, StatementStatus, SubStatement

ECHOED = ("ClusterIdentifier", "WorkgroupName", "Database", "DbUser", "SecretArn")
"""What answers repeat of a submission."""


def described(statement: Statement, part: SubStatement | None, identifier: str) -> dict[str, Any]:
    """A statement, or one part of a batch, whichever `identifier` means."""
    found = _course(identifier, part.course if part else statement.course, [part] if part else statement.parts)
    found |= {name: statement.given.get(name) for name in ECHOED}
    found |= {
        "RedshiftPid": statement.pid,
        "QueryParameters": statement.given.get("Parameters"),
        "ResultFormat": "JSON",
    }
    if statement.is_batch and part is None:
        found["SubStatements"] = [
            _course(f"{statement.identifier}:{number}", each.course, [each])
            for number, each in enumerate(statement.parts, start=1)
        ]
    return found


def listed(statement: Statement) -> dict[str, Any]:
    """A row of ListStatements."""
    texts = [part.understood.shown for part in statement.parts]
    return {
        "Id": statement.identifier,
        "Status": str(statement.course.status),
        "CreatedAt": statement.course.created_at,
        "UpdatedAt": statement.course.updated_at,
        "StatementName": statement.given.get("StatementName"),
        "SecretArn": statement.given.get("SecretArn"),
        "QueryParameters": statement.given.get("Parameters"),
        "IsBatchStatement": statement.is_batch,
        "QueryStrings": texts if statement.is_batch else None,
        "QueryString": None if statement.is_batch else texts[0],
        "ResultFormat": "JSON",
    }


def is_wanted(statement: Statement, given: Mapping[str, Any]) -> bool:
    """Whether the request's filters choose it."""
    exact = all(
        given.get(name) in {None, statement.given.get(name)}
        for name in ("ClusterIdentifier", "WorkgroupName", "Database")
    )
    name = statement.given.get("StatementName") or ""
    is_so = given.get("Status", "ALL") in {"ALL", statement.course.status}
    return exact and is_so and name.startswith(given.get("StatementName", ""))


def _course(identifier: str, course: Course, parts: Sequence[SubStatement]) -> dict[str, Any]:
    [only, *others] = parts
    results = [part.result for part in parts if part.result]
    is_known = not others and course.status is StatementStatus.FINISHED
    return {
        "Id": identifier,
        "Status": str(course.status),
        "CreatedAt": course.created_at,
        "UpdatedAt": course.updated_at,
        "Duration": course.duration,
        "Error": course.error,
        "HasResultSet": bool(results),
        "QueryString": None if others else only.understood.shown,
        "ResultRows": only.course.rows if is_known else -1,
        "ResultSize": (results[0].size if results else 0) if is_known else -1,
        "RedshiftQueryId": 0,
    }
