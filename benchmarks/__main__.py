"""Measure Aerodrome against stock Airflow on this machine, both sides in one run, and print one table.

    python -m benchmarks                  everything (about half an hour on two cores)
    python -m benchmarks create updates   some of it
    python -m benchmarks --markdown       the table as docs/benchmarks.md has it

Both sides use the same installation: the version's lock, bytecode compiled. Some measures have no other side, and a few
no bar. Stop other work first; figures are ratios, but a busy machine blurs them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks import measures, table
from benchmarks.ours import Installation


def main() -> int:
    """Run what was asked for; exit code 1 when a figure misses its bar, or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*measures.ALL, []], help="which; all when none is named")
    parser.add_argument("--airflow-version", default="3.3.1")
    parser.add_argument("--versions", type=Path, help="a folder of installed Airflow versions; else one is installed")
    parser.add_argument("--markdown", action="store_true", help="print the table for docs/benchmarks.md")
    arguments = parser.parse_args()
    wanted = arguments.names or list(measures.ALL)
    console = Console(stderr=True)
    rows, failed = [], []
    with tempfile.TemporaryDirectory(prefix="aero-bench-") as folder:
        Path(folder).chmod(0o711)
        with Installation(Path(folder), arguments.airflow_version, console, versions=arguments.versions) as ours:
            for name in wanted:
                console.print(f"[bold]{name}[/bold] …")
                try:
                    rows += measures.ALL[name](ours, console)
                except Exception:  # noqa: BLE001 - the others took long too: they are still shown
                    console.print_exception()
                    failed.append(name)
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, Airflow {arguments.airflow_version}"
    table.show(rows, machine, markdown=arguments.markdown)
    if failed:
        console.print(f"[red]These could not be measured: {', '.join(failed)}.[/red]")
    return 0 if not failed and all(row.met for row in rows) else 1


raise SystemExit(main())
