"""Equal releases have equal identifiers, others have others."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import release
from aerodrome.model.release import Release

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
def test_the_order_of_options_means_nothing(one):
    assert replace(one, options=one.options[::-1]).identifier == one.identifier


def test_an_identifier_stays_the_same_over_time():
    # It is recorded in the ledger: a change here would make every environment look changed.
    one = Release(version="3.3.1", lock="ab", options=(("core.parallelism", "8"),))
    assert one.identifier == "5e6697c711e83765afc0831ead58474621a5f9438db8a8fed7d6cb77a27a14e2"


def test_a_release_is_of_what_the_spec_names(spec):
    named = replace(
        spec,
        airflow_version="1.10.12",
        airflow_configuration_options={"b.c": "2", "a.b": "1"},
        plugins_s3_path="plugins.zip",
        plugins_s3_object_version="p1",
    )
    made = release.of(named, version="1.10.15", lock="ab")
    assert made == Release(version="1.10.15", lock="ab", options=(("a.b", "1"), ("b.c", "2")), plugins="p1")
    assert release.of(replace(named, plugins_s3_path="elsewhere.zip"), version="1.10.15", lock="ab") == made
