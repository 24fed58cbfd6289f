from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.cell import harness

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=harness.VERSIONS)
def cell(request) -> Iterator[harness.Cell]:
    """A cell under each Python that Airflow's lines run on."""
    with harness.cells(request.param) as one:
        yield one


@pytest.fixture
def one_cell() -> Iterator[harness.Cell]:
    """A cell under the Python of the Airflow lines offered now; for what does not depend on the interpreter."""
    with harness.cells("3.12") as one:
        yield one
