"""What a change reports of its release: only what is new."""

from pathlib import Path

import pytest

from aerodrome.backends.releases import building
from aerodrome.backends.releases.trials import Candidate
from aerodrome.model.release import Deployed
from aerodrome.release.built_releases import Built


class Spec:
    """The part of a configuration that options come from."""

    def __init__(self, *options):
        self.airflow_configuration_options = dict.fromkeys(options, "1")


def deployed(content=None):
    return Deployed(identifier="r", version="3.3.1", lock="l", content=content)


BUILT = Built("c", Path("/releases/c"), "3.3.1", (), (), ("a module is left out",))


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, ["core.no_such", "core.neither", "left out"]),
        ((Spec("core.no_such"), deployed("c")), ["core.neither"]),
        ((Spec("core.no_such", "core.neither"), deployed("c")), []),
        ((Spec("core.no_such", "core.neither"), deployed("other")), ["left out"]),
    ],
)
def test_notes_are_told_when_they_are_new(before, expected):
    if before is not None:
        before = (Candidate(spec=before[0], installation=None), before[1])
    told = building._news(deployed("c"), Spec("core.no_such", "core.neither"), BUILT, before)
    assert len(told) == len(expected)
    assert all(word in sentence for word, sentence in zip(expected, told, strict=True))
