"""Creations that cannot succeed, or are interrupted: a specific error, and nothing half made."""

from __future__ import annotations

import pytest

from acceptance.test_updates import LOOKING
from acceptance.test_upgrades import downgrade, make_history
from matrices import sampled
from product import BUCKET, LIMIT, PRIVATE, Product, wait_for

OF_PAUSED = "of-paused"
"""A rehearsal tries every DAG in the bucket; this has one."""


@pytest.fixture(scope="module")
def product(changing_product: Product) -> Product:
    """Not the one whose environments are shared."""
    return changing_product


@pytest.mark.parametrize("option", sampled("scheduler.max_tis_per_query", beside=("core.parallelism",)))
def test_a_creation_that_cannot_succeed_says_why_and_leaves_nothing_running(product, option):
    """One unit that does not start is enough; with the other option none does, and each imports Airflow five times."""
    product.create("doomed", AirflowConfigurationOptions={option: "plenty"})
    found = product.wait_until("doomed", "CREATE_FAILED")
    error = found["LastUpdate"]["Error"]
    assert found["LastUpdate"]["Status"] == "FAILED"
    assert error["ErrorCode"] == "UNIT_FAILED"
    assert "plenty" in error["ErrorMessage"]
    shown = product.environment("doomed")
    assert shown["units"] == []
    assert [process for process in product.processes() if shown["identifier"] in " ".join(process.cmdline())] == []
    product.delete("doomed")
    assert not (product.data / "environments" / "doomed").exists()


def test_deletion_during_creation(product):
    product.create("hasty")
    product.wait_until("hasty", "CREATING", "AVAILABLE")
    product.delete("hasty")
    assert not (product.data / "environments" / "hasty").exists()


def test_up_twice_is_up_once(product):
    pid = (product.data / "run" / "control-plane.pid").read_text()
    assert "is up already" in product.run("up").stdout
    assert (product.data / "run" / "control-plane.pid").read_text() == pid


@pytest.mark.timeout(4 * LIMIT)
def test_down_during_creation_and_up_again_and_a_downgrade_of_what_has_been_of_3_from_its_beginning(product):
    """2.11 finds no tables of roles there."""
    product.make_bucket(OF_PAUSED)
    product.put_dag("looking", LOOKING.format(dag="looking"), bucket=OF_PAUSED)
    product.create("paused", "3.3.1", bucket=OF_PAUSED)
    product.run("down")
    wait_for("everything has ended", lambda: product.processes() == [], limit=60)
    product.up()
    product.wait_until("paused", "AVAILABLE")
    make_history(product, "paused")
    downgrade(product, "paused")
    product.delete("paused")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SourceBucketArn": "arn:aws:s3:::no-such-bucket-anywhere"}, ["SourceBucketArn", "no-such-bucket-anywhere"]),
        ({"SourceBucketArn": "arn:aws:s3:::plain-bucket"}, ["plain-bucket", "ersioning"]),
        ({"SourceBucketArn": f"arn:aws:s3:::{BUCKET}/"}, ["sourceBucketArn"]),
        ({"DagS3Path": "nowhere"}, ["DagS3Path", "nowhere"]),
        ({"AirflowVersion": "9.9.9"}, ["AirflowVersion", "3.3.1", "2.11.2"]),
        ({"AirflowConfigurationOptions": {"core.x": "caf\u00e9"}}, ["airflowConfigurationOptions"]),
    ],
)
def test_what_is_refused_names_field_and_value_and_leaves_nothing(product, change, words):
    if "plain-bucket" in str(change):
        product.s3.create_bucket(Bucket="plain-bucket")
        product.s3.put_public_access_block(Bucket="plain-bucket", PublicAccessBlockConfiguration=PRIVATE)
    arguments = {
        "Name": "refused",
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": f"arn:aws:s3:::{BUCKET}",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
    }
    with pytest.raises(product.mwaa.exceptions.ValidationException) as refusal:
        product.mwaa.create_environment(**{**arguments, **change})
    message = str(refusal.value).lower()
    assert all(word.lower() in message for word in words), message
    assert "refused" not in product.mwaa.list_environments()["Environments"]
