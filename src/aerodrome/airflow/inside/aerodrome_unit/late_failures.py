"""Keeps Airflow 2 from failing a task for what its earlier attempt, or a run that has ended, has died of.

The scheduler of Airflow 2 does not fail a task whose heartbeat is old. It asks the DAG processor to do that, again at
each of its looks until it is done, and the DAG processor does what it was asked for as often as it was asked. Where it
was busy, or away during an update, requests wait for half a minute and more: the second one then fails a task that has
succeeded meanwhile, and it runs once more. Asking again must stay, for a DAG processor that dies takes requests along.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

RUNNING = "running"
OF_THE_USER = frozenset({"success", "failed"})
"""Requests that only call the user's functions, and change no task."""


def is_late(told: Any, found: Any) -> bool:
    """Whether a task is not any more what it was when the request was sent: `told` is of then, `found` of now."""
    if found.try_number != told.try_number:
        return True
    return bool(told.state == RUNNING and found.state != RUNNING)


def refuse(processor: Any, instances: Any) -> None:
    """Have the class `processor` (Airflow's `DagFileProcessor`) drop late requests.

    `instances` is Airflow's `TaskInstance`.
    """
    execute = processor._execute_task_callbacks  # noqa: SLF001 - it has no public name

    def execute_in_time(cls: Any, dagbag: Any, request: Any, unit_test_mode: Any, session: Any) -> None:
        told = request.simple_task_instance
        if request.task_callback_type not in OF_THE_USER:
            found = instances.get_task_instance(
                dag_id=told.dag_id,
                run_id=told.run_id,
                task_id=told.task_id,
                map_index=told.map_index,
                session=session,
            )
            if found is None:
                return
            # Locked, so that a task which is writing how it ended is awaited.
            found.refresh_from_db(session=session, lock_for_update=True)
            if is_late(told, found):
                session.commit()
                cls.logger().info("Not failed again, it is %s by now: %s", found.state, request)
                return
        execute(dagbag, request, unit_test_mode, session=session)

    processor._execute_task_callbacks = classmethod(execute_in_time)  # noqa: SLF001
