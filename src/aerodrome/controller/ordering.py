"""The orders that follow from the ledger: what each cell and the services of an environment shall be now. Pure."""

from __future__ import annotations

from dataclasses import replace

from aerodrome.airflow import connections as airflow_connections
from aerodrome.airflow import sections, versions
from aerodrome.controller import scaling, web_scaling
from aerodrome.model import classes
from aerodrome.model.change import Change, Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import NO_CELL, Cell
from aerodrome.model.orders import AT_ONCE, CellOrder, Keep, ServicesOrder
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec

GRACEFUL_PATIENCE = 12 * 3600.0
"""Seconds that replaced workers have for their tasks: MWAA's twelve hours."""

FORCED_PATIENCE = 5.0
"""Seconds between the order to stop and SIGKILL, where tasks are not waited for; arbitrary."""

STOP_PATIENCE = 20.0
"""Seconds for units that end in order. The controller has its own limits, after which it ends them at once."""


def change_of(environment: Environment) -> Change | None:
    """The change that is being made; None = there is none, or it is being undone."""
    return None if environment.status is Status.ROLLING_BACK else environment.change


def version(environment: Environment) -> tuple[str, str]:
    """The Airflow version that must be installed now, and its lock; an empty lock is the version's present one."""
    change = change_of(environment)
    deployed = environment.deployed if change is None else change.deployed
    if deployed is not None:
        return deployed.version, deployed.lock
    return (environment.spec if change is None else change.spec).airflow_version, ""


def cell(environment: Environment, revision: int, deployed: Deployed, found: Cell = NO_CELL) -> CellOrder:
    """What the cell of a revision shall be, with all its units; it goes on with the workers and web servers `found`."""
    spec = spec_of(environment, revision)
    environment_class = classes.CLASSES[spec.environment_class]
    zones = spec.zones if deployed.spread else ()
    crew = scaling.standing(spec, _whole(found, zones))
    known = found.order if found.runs else None
    return CellOrder(
        revision=revision,
        deployed=deployed,
        options=spec.airflow_configuration_options,
        web_access=spec.webserver_access_mode,
        tasks_per_worker=environment_class.tasks_per_worker,
        most_workers=spec.max_workers,
        workers=crew.workers,
        draining=crew.draining,
        environment_class=spec.environment_class,
        schedulers=spec.running_schedulers,
        web_servers=web_scaling.standing(spec, found),
        zones=zones,
        lead=known.lead if isinstance(known, CellOrder) else 0,
    )


def _whole(found: Cell, zones: tuple[str, ...]) -> Cell:
    """The cell with all its zones."""
    if not isinstance(found.order, CellOrder):
        return found
    return replace(found, order=replace(found.order, zones=zones, without=()))


def slots(environment: Environment, revision: int) -> int:
    """How many tasks a worker of the revision runs at once.

    Raises:
        CallerError: the option that says so cannot be read.
    """
    spec = spec_of(environment, revision)
    return sections.slots(spec.airflow_configuration_options, classes.CLASSES[spec.environment_class].tasks_per_worker)


def spec_of(environment: Environment, revision: int) -> Spec:
    """The configuration that the cell of a revision follows."""
    change = change_of(environment)
    if change is None:
        return environment.spec
    is_of_the_change = revision == change.revision or (change.deployed is not None and revision == change.deployed.cell)
    return change.spec if is_of_the_change or environment.deployed is None else environment.spec


def connections(environment: Environment, workers: int = 0) -> int:
    """How many connections to its database the environment may have: while it changes, as before or as after it.

    It has so many `workers` now, unless MinWorkers are more.
    """
    change = environment.change
    specs = (environment.spec,) if change is None else (environment.spec, change.spec)
    return max(_connections(spec, max(spec.min_workers, workers)) for spec in specs)


def _connections(spec: Spec, workers: int) -> int:
    return airflow_connections.most(
        versions.line_of(spec.airflow_version),
        spec.airflow_configuration_options,
        tasks_per_worker=classes.CLASSES[spec.environment_class].tasks_per_worker,
        workers=workers,
        schedulers=spec.running_schedulers,
        web_servers=spec.most_running_webservers,
        zones=max(1, len(spec.zones)),
    )


def services(environment: Environment) -> ServicesOrder:
    """What the services shall be now. A change leaves them as they were, until its database is in place."""
    change = change_of(environment)
    if change is not None and (environment.deployed is None or change.swapped):
        return services_of(change.spec, change.deployed.database if change.deployed else change.revision)
    running = environment.deployed
    return services_of(environment.spec, running.database if running is not None else environment.revision)


def services_of(spec: Spec, database: int) -> ServicesOrder:
    """What the services shall be for a configuration, and the database of that number."""
    return ServicesOrder(
        bucket_arn=spec.source_bucket_arn,
        dag_s3_path=spec.dag_s3_path,
        execution_role_arn=spec.execution_role_arn,
        airflow_version=spec.airflow_version,
        queue=database,
        log_levels={
            category: chosen.get("LogLevel", "INFO")
            for category, chosen in spec.logging_configuration.items()
            if chosen.get("Enabled")
        },
    )


def patience(environment: Environment) -> float:
    """Seconds that workers which are replaced have for their tasks."""
    change = environment.change
    strategy = change.strategy if change is not None else environment.last_update.strategy
    return FORCED_PATIENCE if strategy is Strategy.FORCED else GRACEFUL_PATIENCE


def draining(environment: Environment, revision: int, found: Cell) -> CellOrder:
    """The order to end with the tasks that run. The web server of the cell that serves goes on."""
    order = _known(environment, revision, found)
    web_servers = max(1, order.web_servers) if revision == environment.serving else 0
    return replace(order, keep=Keep.TASKS, web_servers=web_servers, patience=patience(environment))


def stopping(environment: Environment, revision: int, found: Cell, *, late: bool = False) -> CellOrder:
    """The order to end: units in order, or at once when it is `late`."""
    order = _known(environment, revision, found)
    return replace(order, keep=Keep.NOTHING, patience=AT_ONCE if late else STOP_PATIENCE)


def stopping_services(environment: Environment, *, late: bool = False) -> ServicesOrder:
    """The same for the services."""
    return replace(services(environment), keep=Keep.NOTHING, patience=AT_ONCE if late else STOP_PATIENCE)


def _known(environment: Environment, revision: int, found: Cell) -> CellOrder:
    """The last order of the cell. When nobody knows it, one that has the right revision; ending needs no more."""
    if isinstance(found.order, CellOrder):
        return found.order
    number, lock = version(environment)
    unknown = Deployed(identifier="", version=number, lock=lock, cell=revision)
    return cell(environment, revision, environment.deployed or unknown, found)
