"""What `down` and `purge` do: they stop the control plane and all else, and ask it nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from aerodrome.backends import purging
from aerodrome.backends.local import groups, shutdown
from aerodrome.backends.purging import Found
from aerodrome.cli.starting import control_plane
from aerodrome.errors import RetryError
from aerodrome.keeper import Keeper
from aerodrome.services import daemon, uid_register
from aerodrome.settings import EMBEDDED, Settings


def down(settings: Settings, *, report: Callable[[str], None] = lambda _: None) -> None:
    """Stop the control plane, every environment, then the services, whoever started them."""
    uid_register.discard_copied_run(settings.paths)
    report("Stopping the control plane …")
    daemon.stop(control_plane(settings))
    shutdown.stop_all(settings.paths, report=report)
    report("Stopping the services …")
    Keeper(settings).stop()
    groups.remove_all(settings.paths)


def purge(settings: Settings, *, keep_external: bool = False, report: Callable[[str], None] = lambda _: None) -> Found:
    """Stop everything and remove the data folder and the run folder, and what is on external servers.

    Returns what there was on those servers: it is gone, or with `keep_external` still there.

    Raises:
        RetryError: an external server does not answer; then nothing was removed.
    """
    uid_register.discard_copied_run(settings.paths)
    report("Stopping the control plane …")
    daemon.stop(control_plane(settings))
    shutdown.stop_all(settings.paths, report=report)
    found = Found()
    if purging.is_external(settings) and settings.paths.keys.exists():
        found = _on_external_servers(settings, keep=keep_external, report=report)
    report("Stopping the services …")
    Keeper(settings).stop()
    groups.remove_all(settings.paths)
    for folder in (settings.paths.run, settings.paths.data):
        if folder.exists():
            shutil.rmtree(folder)
    uid_register.sweep()
    return found


def what_else(settings: Settings) -> str:
    """What a purge removes besides the data folder, as the rest of a sentence."""
    servers = {"PostgreSQL": settings.database_url, "Redis": settings.redis_url}
    named = [name for name, url in servers.items() if url != EMBEDDED]
    return f", and what is Aerodrome's in your {' and your '.join(named)}" if named else ""


def _on_external_servers(settings: Settings, *, keep: bool, report: Callable[[str], None]) -> Found:
    try:
        cluster = Keeper(settings).cluster()
        found = purging.look(settings, cluster)
        if not keep:
            report("Removing what lies on external servers …")
            purging.remove(cluster, found)
    except RetryError as error:
        if keep:
            return purging.UNSEEN
        raise RetryError(
            f"{error}. The data folder is kept. Purge again when it answers, or leave what lies there: "
            "aerodrome purge --keep-external"
        ) from error
    return found
