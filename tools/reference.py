"""Write docs/reference/ from the code: `python -m tools.reference`. A test fails when a file is out of date.

People write error-codes.md, because no code says what a person must do; a check holds that the page has every code.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import botocore
import botocore.session
from botocore import xform_name

from aerodrome.airflow import published_metrics, versions
from aerodrome.api.iam import permissions as iam_permissions
from aerodrome.operations import permissions as table_of_permissions
from aerodrome.operations import table, unoffered
from aerodrome.release import locks
from aerodrome.settings import Settings
from aerodrome.sidecar.metrics import measuring
from tools import error_codes

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def api() -> str:
    """Every operation of the service model, and whether it is offered."""
    model = botocore.session.get_session().get_service_model("mwaa")
    lines = ["# MWAA operations", "", "| operation | request | offered |", "|---|---|---|"]
    for name in table.OPERATIONS:
        request = model.operation_model(name).http
        offered = "not yet" if hasattr(unoffered, xform_name(name)) else "yes"
        lines.append(f"| {name} | {request['method']} `{request['requestUri']}` | {offered} |")
    lines += ["", "# Airflow versions", "", "| Airflow | Python | REST prefix | |", "|---|---|---|---|"]
    for number, version in versions.OFFERED.items():
        remark = "default" if number == versions.DEFAULT else ""
        if version.number != number:
            remark = f"answered by {version.number}"
        prefix = f"`{version.adapter.REST_PREFIX}`" if version.adapter.REST_PREFIX else "none"
        lines.append(f"| {number} | {locks.of(number).python} | {prefix} | {remark} |")
    return _page(lines)


def aws_operations() -> str:
    """What operations of the embedded AWS services need: the cases of the test that sees each allowed and refused."""
    sys.path.insert(0, str(FOLDER.parents[1] / "tests"))
    from protocol.aws.cases import CASES  # noqa: PLC0415 - tests are no package of ours

    lines = ["# Operations of the embedded AWS services", ""]
    lines += [
        "A test sees each of these allowed by the actions that stand here, and refused when one is missing. Others are"
    ]
    lines += ["decided in the same way, by the action of their name.", ""]
    lines += ["| service | operation | needs | on |", "|---|---|---|---|"]
    for case in CASES:
        actions, resources = zip(*case.needs, strict=True)
        shown = ["<br>".join(f"`{each}`" for each in column) for column in (actions, resources)]
        lines.append(f"| {case.service} | {case.operation} | {shown[0]} | {shown[1]} |")
    return _page(lines)


def permissions() -> str:
    """What IAM must allow for each operation."""
    lines = ["# Permissions", "", "What IAM must allow for each operation of the MWAA API: action, resource, and the"]
    lines += ["condition keys beside the [global ones](../who-may-do-what.md#conditions).", ""]
    lines += ["| action | resource | condition keys | needs as well |", "|---|---|---|---|"]
    for operation, permission in table_of_permissions.TABLE.items():
        anything = permission.scope is table_of_permissions.Scope.ANYTHING
        resource = "*" if anything else f"arn:aws:airflow:${{Region}}:${{Account}}:{permission.scope}"
        keys = ", ".join(f"`{key}`" for key in permission.keys)
        also = [f"`{table_of_permissions.PASS_ROLE}` on the execution role, when it is named"] * permission.passes_role
        tagging = table_of_permissions.action(table_of_permissions.TAG_RESOURCE)
        also += [f"`{tagging}` on the same, when tags are given"] * permission.tags
        lines.append(f"| `{table_of_permissions.action(operation)}` | `{resource}` | {keys} | {'; '.join(also)} |")
    lines += [
        "",
        "IAM's own operations need the action of the same name. With tags they need another on the same resource:",
    ]
    lines += ["", "| action | needs as well, when tags are given |", "|---|---|"]
    lines += [f"| `iam:{operation}` | `{needed}` |" for operation, needed in iam_permissions.TAGGING.items()]
    lines += ["| `sts:AssumeRole`, `sts:AssumeRoleWithWebIdentity` | `sts:TagSession`, by the role's trust policy |"]
    return _page(lines)


def settings() -> str:
    """Every `AERODROME_*` variable."""
    lines = ["# Settings", "", "| variable | default | meaning |", "|---|---|---|"]
    meanings = _docstrings(Settings)
    for name, field in Settings.model_fields.items():
        default = "the platform's user data folder" if field.default_factory else f"`{field.default}`"
        meaning = " ".join(meanings[name].split())
        lines.append(f"| `AERODROME_{name.upper()}` | {default if default != '``' else ''} | {meaning} |")
    return _page(lines)


def _docstrings(described: type) -> dict[str, str]:
    """The docstring behind each attribute of a class. Pydantic could take them too, at every start of a command."""
    whole = ast.parse(inspect.getsource(described))
    found = {}
    for attribute, docstring in itertools.pairwise(ast.iter_child_nodes(whole.body[0])):
        match attribute, docstring:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found


def metrics() -> str:
    """Every metric of an environment, and where it comes from."""
    lines = [
        "# Metrics",
        "",
        f"In the namespace `{published_metrics.NAMESPACE}`, what Airflow says of itself. Each has the",
    ]
    lines += ["dimension `Environment` too; braces stand for what differs.", ""]
    lines += ["| metric | dimensions | unit | Airflow's name |", "|---|---|---|---|"]
    for each in published_metrics.METRICS:
        named = ", ".join(f"{name}={value}" for name, value in each.dimensions)
        lines.append(f"| {each.name} | {named} | {each.unit} | {', '.join(f'`{stat}`' for stat in each.stats)} |")
    lines += ["", f"In the namespace `{measuring.NAMESPACE}`, what is measured once a minute:", ""]
    lines += ["| metric | dimension | unit |", "|---|---|---|"]
    lines += [f"| {name} | {dimension} | {unit} |" for name, dimension, unit in measuring.METRICS]
    return _page(lines)


def commands() -> str:
    """The command line's own help, as Markdown."""
    command = [sys.executable, "-m", "typer", "aerodrome.cli.main", "utils", "docs", "--name", "aerodrome"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _page([line.rstrip() for line in text.strip().splitlines()])


PAGES = {
    "api.md": api,
    "aws-operations.md": aws_operations,
    "permissions.md": permissions,
    "settings.md": settings,
    "metrics.md": metrics,
    "commands.md": commands,
}


def _page(lines: list[str]) -> str:
    return "\n".join(["<!-- Written by tools/reference.py; change the code instead. -->", "", *lines, ""])


def main() -> None:
    """Write every page, and say what error-codes.md lacks."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())
    sys.exit("\n".join(error_codes.differences()))


if __name__ == "__main__":
    main()
