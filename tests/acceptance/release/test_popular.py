"""Popular packages in requirements.txt: each installs and loads on both main lines, or is refused as on MWAA.

Hundreds of packages come from the real index, so only `make lines` runs it, through AERODROME_TEST_LINES.
"""

import os
import textwrap

import pytest

import lines
from aerodrome.release import building, install, verification
from aerodrome.release.building import BuildContext
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles
from aerodrome.unix_users import UnixUser

pytestmark = [
    pytest.mark.skipif("AERODROME_TEST_LINES" not in os.environ, reason="make lines runs it"),
    pytest.mark.timeout(1800),
]

PROVIDERS = ("snowflake", "slack", "databricks", "cncf-kubernetes", "openlineage", "dbt-cloud")

INSTALL = {
    "dags": "astronomer-cosmos\ndag-factory\n",
    "data": "awswrangler\npandas\npyarrow\npolars\ngreat-expectations\n",
    "soda": "soda-core-postgres\n",
    "providers": "".join(f"apache-airflow-providers-{name}\n" for name in PROVIDERS),
    "clouds": "apache-airflow-providers-google\napache-airflow-providers-microsoft-azure\n",
}

YAML = """
made_of_yaml:
  default_args: {owner: me, start_date: 2024-01-01}
  schedule: null
  tasks:
    - task_id: first
      operator: airflow.providers.standard.operators.bash.BashOperator
      bash_command: "true"
"""

DAGS = {
    "cosmos_imports.py": """
        from airflow import DAG
        from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig
        made = DAG("with_cosmos", schedule=None)
        """,
    "factory.py": """
        import os  # Airflow looks only at files that say airflow and dag
        from dagfactory import load_yaml_dags
        load_yaml_dags(globals_dict=globals(), config_filepath=os.path.join(os.path.dirname(__file__), "made.yml"))
        """,
}


@pytest.fixture(params=lines.MAIN, scope="module")
def context(request, versions, short_folder):
    """A context with the real index."""
    folder = short_folder / f"popular-{request.param}"
    folder.mkdir()
    folder.chmod(0o755)  # whatever our umask is
    return BuildContext(
        installation=install.install(request.param, versions, environ=os.environ),
        releases=folder / "releases", environ=os.environ,
        user=UnixUser(61234, 61234) if os.geteuid() == 0 else None,
    )  # fmt: skip


@pytest.mark.parametrize("name", INSTALL)
def test_popular_packages_install_and_load(context, name):
    built = building.build(UserFiles(requirements=INSTALL[name].encode()), context)
    installed = dict(built.packages)
    assert set(INSTALL[name].split()) <= set(installed)
    assert not built.private
    if name == "dags":
        folder = context.releases.parent / "dags"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        (folder / "made.yml").write_text(
            YAML if context.installation.version.startswith("3") else YAML.replace("providers.standard.", "")
        )
        for file, text in DAGS.items():
            (folder / file).write_text(textwrap.dedent(text))
        trial = building.trial(built, context, scratch=folder.parent, variables={})
        parsed = verification.parse_dags(trial, folder)
        assert [failure.sentence for failure in parsed.failures] == []
        assert set(parsed.dags) == {"with_cosmos", "made_of_yaml"}


DBT = b"""python3 -m venv ${AIRFLOW_HOME}/dbt_venv
source ${AIRFLOW_HOME}/dbt_venv/bin/activate
pip install --quiet "dbt-core==1.10.*" "dbt-postgres==1.9.*"
deactivate
"""
"""As Cosmos's guide for MWAA has it: dbt's own pins do not go with Airflow's. Later ones need more than an index."""


def test_dbt_lives_in_a_virtual_environment_that_the_startup_script_makes(context):
    built = building.build(UserFiles(startup=DBT), context)
    assert built.home is not None
    assert "postgres" in {path.name for path in built.home.glob("dbt_venv/lib/python3*/site-packages/dbt/adapters/*")}
    assert (built.home / "dbt_venv" / "bin" / "dbt").exists()
    assert list(built.notes) == []


def test_what_conflicts_with_airflows_constraints_is_refused_with_the_line(context):
    with pytest.raises(ReleaseError, match=r"requirements\.txt, line 2: ") as caught:
        building.build(UserFiles(requirements=b"# too old\npandas==1.0.0\n"), context)
    assert (caught.value.code, caught.value.package) == ("REQUIREMENTS_CONFLICT", "pandas")
