"""Forced options of Airflow: no option and no variable of the startup script changes them, under any name."""

from __future__ import annotations

import json
from configparser import ConfigParser
from itertools import product
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerodrome.airflow import cfg, options, sections, startup_variables

FORMER = {
    "api.auth_backends": "api.auth_backend",
    "celery.broker_url": "celery.celery_broker_url",
    "celery.result_backend": "celery.celery_result_backend",
    "core.execution_api_server_url": "workers.execution_api_server_url",
}
"""Names that Airflow itself still reads and that we do not rename."""

MERGED = "celery.extra_celery_config"
"""The one option that is forced in part; test_configuration has it."""

VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def forced(version, context):
    """File → section → key → value of what comes after the user's options."""

    def last_layers(context, *, line_defaults, line_forced, own):
        del line_defaults
        renames = options.renames(context.version)
        layers = (sections.forced(context), line_forced, own)
        return json.dumps(cfg.merge(cfg.rename(layer, renames) for layer in layers))

    with mock.patch.object(sections, "file", last_layers):
        files = version.adapter.configuration(context)
    return {path: json.loads(text) for path, text in files.items() if path.suffix == ".cfg"}


def names(files):
    """Every name by which a line of Airflow knows a forced option."""
    found = {f"{section}.{key}" for layer in files.values() for section, keys in layer.items() for key in keys}
    same = {name for group in options.SAME if found & set(group) for name in group}
    return sorted(found | same | {FORMER[name] for name in found & set(FORMER)})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # they are values
@given(st.data())
def test_no_option_changes_what_is_forced(version, make_context, data):
    context = make_context(version.number, key_prefix="env-1:")
    files = forced(version, context)
    spelled = [name + suffix for name, suffix in product(names(files), ("", *cfg.INDIRECT)) if name + suffix != MERGED]
    chosen = data.draw(st.dictionaries(st.sampled_from(spelled), VALUES, min_size=1))
    written = version.adapter.configuration(make_context(version.number, key_prefix="env-1:", options=chosen))
    for path, layer in files.items():
        parser = ConfigParser()
        parser.read_string(written[path])
        for section, keys in layer.items():
            assert {key: parser[section].get(key) for key in keys} == keys
            assert not {key + suffix for key, suffix in product(keys, cfg.INDIRECT)} & {*parser[section]}


def test_no_variable_of_a_startup_script_does(version, make_context):
    known = names(forced(version, make_context(version.number, key_prefix="env-1:")))
    plain = ["AIRFLOW__" + name.replace(".", "__").upper() for name in known]
    variables = {name + suffix.upper(): "x" for name, suffix in product(plain, ("", *cfg.INDIRECT))}
    kept, refused = startup_variables.exported({}, {**variables, "COLOUR": "blue"})
    assert (kept, refused) == ({"COLOUR": "blue"}, tuple(sorted(variables)))
