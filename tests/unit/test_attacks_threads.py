"""Long commands of tenants do not use up the threads in which the API verifies signatures."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import anyio
from anyio import to_thread

from aerodrome.operations.commands import Commands

AT_ONCE = 40
"""Four in each of ten environments; and as many threads has the event loop's own pool."""


def test_the_api_has_threads_whatever_runs():
    running = threading.Semaphore(0)
    over = threading.Event()

    def run_command(*_):
        running.release()
        over.wait(30)

    commands = Commands(SimpleNamespace(run_command=run_command))
    environment = SimpleNamespace(spec=SimpleNamespace(airflow_version="3.3.1"), tenant=None, serving=1)

    async def main():
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(commands.run, environment, "version")
            try:
                with anyio.fail_after(20):
                    while running._value < AT_ONCE:  # noqa: ASYNC110 - threads set no event of anyio
                        await anyio.sleep(0.01)
                with anyio.fail_after(5):
                    assert await to_thread.run_sync(lambda: "verified") == "verified"
            finally:
                over.set()

    anyio.run(main)
