"""`dags test` and `tasks test` of Airflow 3, without what makes them seconds slower.

They run tasks in their own process, which speaks to an execution API in that process. Airflow generates the routes of
every version that this API ever had, for tasks with an older SDK. Here there is one SDK, the newest. If Airflow or its
library Cadwyn are not as we know them, nothing is changed.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
from typing import Any

COMMANDS = {("dags", "test"), ("tasks", "test")}


def speak_newest_only() -> None:
    """Have the execution API of this process generate its newest version alone."""
    with contextlib.suppress(ImportError, AttributeError):
        from cadwyn import applications

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
