"""Terraform with its AWS provider, as it is, takes an environment through its life."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "terraform" / "main.tf"
PROVIDERS = "AERODROME_TEST_TERRAFORM_PROVIDERS"
NAME = "by-terraform"

Terraform = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def terraform(product, tmp_path) -> Iterator[Terraform]:
    program, providers = shutil.which("terraform"), os.environ.get(PROVIDERS)
    if program is None or providers is None:
        pytest.skip(
            f"needs terraform on PATH, and in {PROVIDERS} a folder that `terraform providers mirror` has filled"
        )
    shutil.copy(EXAMPLE, tmp_path)
    rc = tmp_path / "rc"
    rc.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{providers}" }}\n}}\n')
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1"}
    address = product.exports["AWS_ENDPOINT_URL"]

    def run(command: str, *words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
        where = [] if command == "init" else ["-var", f"aerodrome={address}"]
        done = subprocess.run(
            [program, command, "-no-color", "-input=false", *where, *words],
            cwd=tmp_path,
            env={**product.exports, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done

    run("init")
    yield run
    run("destroy", "-auto-approve")


@pytest.mark.timeout(900)  # the provider's own pauses alone take two minutes
def test_an_environment_lives_by_terraform(product, terraform: Terraform) -> None:
    terraform("apply", "-auto-approve")
    made = product.get(NAME)
    assert (made["Status"], made["Tags"]) == ("AVAILABLE", {"team": "data"})
    terraform("plan", "-detailed-exitcode")

    terraform("apply", "-auto-approve", "-var", "retries=3")
    assert product.get(NAME)["AirflowConfigurationOptions"] == {"core.default_task_retries": "3"}
    terraform("plan", "-detailed-exitcode", expected=2)  # it would go back to what the file says

    terraform("destroy", "-auto-approve")
    assert NAME not in product.mwaa.list_environments()["Environments"]
