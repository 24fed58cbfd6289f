"""What GetEnvironment tells of a failure, tokens of ListEnvironments, and the rules of CreateEnvironment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import java_patterns
from aerodrome.api.wire import service
from aerodrome.errors import CallerError
from aerodrome.model import classes, defaults
from aerodrome.model.environment import Failure
from aerodrome.operations import describe, listing, validation

LEAST: dict[str, Any] = {
    "Name": "demo",
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
    "SourceBucketArn": "arn:aws:s3:::demo",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
}


def refusals(**members: Any) -> list[str]:
    return validation.creation_refusals("demo", LEAST | members, offered=("3.3.1", "2.11.2", "1.10.12"), latest="3.3.1")


@given(message=st.text(), tail=st.lists(st.text(max_size=600), max_size=8))
def test_an_error_message_always_fits_the_model(message: str, tail: list[str]) -> None:
    text = describe.error_message(Failure(code="X", message=message, tail=tuple(tail)))
    shape = service.model().shape_for("ErrorMessage")

    assert 1 <= len(text) <= shape.metadata["max"]
    assert java_patterns.compiled(shape.metadata["pattern"]).fullmatch(text)


def test_the_last_lines_are_kept_first() -> None:
    tail = tuple(f"line {n} " + "x" * 200 for n in range(10))
    text = describe.error_message(Failure(code="X", message="It broke.", tail=tail))

    assert text.startswith("It broke. | line 6 ")
    assert text.endswith(tail[-1])


def test_a_long_sentence_leaves_room_for_lines() -> None:
    text = describe.error_message(Failure(code="X", message="y" * 5000, tail=("the reason",)))

    assert text.endswith("… | the reason")


@given(name=st.from_regex(r"[a-zA-Z][0-9a-zA-Z_-]{0,79}", fullmatch=True))
def test_tokens_come_back(name: str) -> None:
    assert listing.unpacked(listing.packed(name)) == name


@given(token=st.text())
def test_any_other_token_is_refused(token: str) -> None:
    try:
        name = listing.unpacked(token)
    except CallerError:
        return
    assert listing.packed(name) == token


def test_the_page_is_the_models_most() -> None:
    assert service.model().shape_for("ListEnvironmentsInputMaxResultsInteger").metadata["max"] == listing.PAGE


def test_the_least_request_is_not_refused() -> None:
    assert refusals() == []


@pytest.mark.parametrize("name", classes.CLASSES)
def test_every_class_accepts_its_own_defaults(name: str) -> None:
    assert refusals(EnvironmentClass=name) == []


@given(
    chosen=st.sampled_from([*classes.CLASSES, "other"]),
    counts=st.dictionaries(
        st.sampled_from(["MinWorkers", "MaxWorkers", "Schedulers", "MinWebservers", "MaxWebservers"]),
        st.integers(-3, 30),
    ),
)
def test_what_is_accepted_is_within_the_bounds(chosen: str, counts: dict[str, int]) -> None:
    if refusals(EnvironmentClass=chosen, **counts):
        return
    spec = defaults.complete("demo", LEAST | counts | {"EnvironmentClass": chosen}, latest_version="3.3.1")
    limits = classes.CLASSES[chosen]

    assert 1 <= spec.min_workers <= spec.max_workers <= limits.most_workers
    assert limits.fewest_schedulers <= spec.schedulers <= limits.most_schedulers
    assert limits.fewest_webservers <= spec.min_webservers <= spec.max_webservers <= limits.most_webservers


@pytest.mark.parametrize("name", classes.CLASSES)
@pytest.mark.parametrize("schedulers", [None, 1, 0, 2, 5])
def test_airflow_1_10_takes_one_scheduler_and_no_other_number(name: str, schedulers: int | None) -> None:
    given = {} if schedulers is None else {"Schedulers": schedulers}
    found = refusals(EnvironmentClass=name, AirflowVersion="1.10.12", **given)
    if schedulers in {None, 1}:
        assert found == []
        return
    [sentence] = found
    assert f"Schedulers is {schedulers}, but Airflow 1.10.12 can have only 1: leave Schedulers out" in sentence


@pytest.mark.parametrize("path", ["dags", "dags/", "team/dags", "a b/ü", ".hidden", "a..b"])
def test_folders_that_are_accepted(path: str) -> None:
    assert refusals(DagS3Path=path) == []


@given(path=st.text(max_size=30))
def test_an_accepted_folder_stays_within_the_bucket(path: str) -> None:
    if refusals(DagS3Path=path):
        return
    parts = path.removesuffix("/").split("/")

    assert all(part not in {"", ".", ".."} for part in parts)
    assert path.isprintable()


@given(
    path=st.text(max_size=10),
    options=st.dictionaries(st.text(max_size=10), st.text(max_size=5), max_size=3),
    tags=st.dictionaries(st.text(max_size=10), st.text(max_size=5), max_size=3),
    version=st.text(max_size=5),
)
def test_no_values_break_the_rules(path: str, options: Any, tags: Any, version: str) -> None:
    members = {"DagS3Path": path, "AirflowConfigurationOptions": options, "Tags": tags, "AirflowVersion": version}

    assert all(isinstance(sentence, str) for sentence in refusals(**members, WebserverAccessMode="PUBLIC_AND_PRIVATE"))
