"""Equal releases have equal identifiers, others have others; what cannot be built yet is refused by name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release.identity import Release, unsupported

words = st.none() | st.text(max_size=8)
releases = st.builds(
    Release,
    version=st.text(max_size=6),
    lock=st.text(max_size=6),
    options=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4).map(lambda d: tuple(d.items())),
    requirements=words,
    plugins=words,
    startup=words,
)


@given(releases, releases)
def test_identifiers_are_equal_exactly_for_equal_releases(one, other):
    same = replace(one, options=()) == replace(other, options=()) and dict(one.options) == dict(other.options)
    assert (one.identifier == other.identifier) == same


@given(releases)
def test_the_order_of_options_means_nothing(release):
    assert replace(release, options=release.options[::-1]).identifier == release.identifier


def test_an_identifier_stays_the_same_over_time():
    # It is recorded in the ledger: a change here would make every environment look changed.
    release = Release(version="3.3.1", lock="ab", options=(("core.parallelism", "8"),))
    assert release.identifier == "5e6697c711e83765afc0831ead58474621a5f9438db8a8fed7d6cb77a27a14e2"


def test_fields_that_every_environment_has_are_no_obstacle():
    assert unsupported({"Name", "DagS3Path", "AirflowVersion"}) is None


@pytest.mark.parametrize(
    ("field", "word"),
    [("PluginsS3Path", "plugins"), ("RequirementsS3Path", "requirements"), ("StartupScriptS3Path", "startup scripts")],
)
def test_what_cannot_be_built_yet_is_refused_by_its_field(field, word):
    refusal = unsupported({"Name", field})
    assert refusal is not None
    assert str(refusal).startswith(f"{field}: ")
    assert word in str(refusal)


def test_one_refusal_names_all_fields_and_each_thing_once():
    refusal = str(unsupported(["RequirementsS3Path", "RequirementsS3ObjectVersion", "PluginsS3Path"]))
    assert "PluginsS3Path, RequirementsS3Path, RequirementsS3ObjectVersion: " in refusal
    assert "does not build plugins and Python requirements into" in refusal
