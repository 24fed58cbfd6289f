"""Print the names of all options that this Airflow and its providers know, `section.key`, sorted.

Run by `aerodrome.airflow.options` under a version's interpreter.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import os
import sys
import tempfile


def main() -> None:
    """Print the list, and nothing that Airflow says while it is imported."""
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        names = collect()
    sys.stdout.write("\n".join(sorted({name.lower() for name in names})) + "\n")


def collect() -> set[str]:
    """The names; also of the options that have no default."""
    from airflow import configuration

    with contextlib.suppress(ImportError, AttributeError):
        from airflow.providers_manager import ProvidersManager

        ProvidersManager().initialize_providers_configuration()
    if hasattr(configuration.conf, "configuration_description"):
        described = configuration.conf.configuration_description
        return {section + "." + key for section in described for key in described[section]["options"]}
    described = {section["name"]: section["options"] for section in configuration.default_config_yaml()}
    names = {section + "." + option["name"] for section in described for option in described[section]}
    defaults = configuration.conf.airflow_defaults
    return names | {section + "." + key for section in defaults.sections() for key in defaults.options(section)}


if __name__ == "__main__":
    main()
