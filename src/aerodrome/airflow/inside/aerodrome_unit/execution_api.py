"""Airflow 3's execution API in its newest version alone.

Airflow generates the routes of every version that this API ever had, for tasks with an older SDK. That takes seconds of
a processor and tens of megabytes, in the execution unit, and in every process that speaks to such an API of its own
(`dags test`, the DAG processor, the triggerer). In an environment there is one SDK, the newest: no requirements.txt
may replace it (`release/essential_packages`). If Airflow or its library Cadwyn are not as we know them, nothing is
changed.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
from typing import Any


def speak_newest_only() -> None:
    """Have the execution API of this process and its forks generate its newest version alone."""
    with contextlib.suppress(ImportError, AttributeError):
        from cadwyn import applications

        if not isinstance(applications.generate_versioned_routers, _Newest):
            applications.generate_versioned_routers = _Newest(applications.generate_versioned_routers)


class _Newest:
    """Cadwyn's function for one version."""

    def __init__(self, generate: Any) -> None:
        self._generate = generate

    def __call__(self, router: Any, *, versions: Any, **given: Any) -> Any:
        every = router.routes
        try:
            router.routes = [route for route in every if not _is_of_older_versions(route)]
            return self._generate(router, versions=_newest(versions), **given)
        except Exception:  # noqa: BLE001 - whatever it is, the long way is the way
            router.routes = every
            return self._generate(router, versions=versions, **given)


def _newest(versions: Any) -> Any:
    from cadwyn import HeadVersion, Version, VersionBundle

    # The variable says which version a request is of; the application sets it.
    return VersionBundle(HeadVersion(), Version(versions.versions[0].value), api_version_var=versions.api_version_var)


def _is_of_older_versions(route: Any) -> bool:
    """Whether the newest version no longer has the route."""
    from cadwyn.route_generation import _DELETED_ROUTE_TAG

    return _DELETED_ROUTE_TAG in getattr(route, "tags", ())
