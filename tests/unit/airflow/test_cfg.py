"""Sections of an airflow.cfg."""

from __future__ import annotations

from configparser import ConfigParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import cfg
from aerodrome.errors import CallerError

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(lambda name: name != "default")
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip)
SECTIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)


@given(SECTIONS)
def test_what_is_rendered_is_read_back(sections):
    parser = ConfigParser()
    parser.read_string(cfg.render(sections))
    assert {name: dict(parser[name]) for name in parser.sections()} == sections


@given(SECTIONS, SECTIONS)
def test_the_last_layer_wins(first, second):
    merged = cfg.merge((first, second))
    for section, options in second.items():
        for key, value in options.items():
            assert merged[section][key] == value


@given(SECTIONS, SECTIONS)
def test_merging_changes_no_layer(first, second):
    before = cfg.render(first)
    cfg.merge((first, second))
    assert cfg.render(first) == before


def test_a_command_of_the_user_does_not_stand_beside_a_forced_value():
    user = {"database": {"sql_alchemy_conn_cmd": "cat /etc/passwd", "sql_alchemy_conn_secret": "x"}}
    merged = cfg.merge((user, {"database": {"sql_alchemy_conn": "ours"}}))
    assert merged == {"database": {"sql_alchemy_conn": "ours"}}


def test_options_become_sections():
    assert cfg.split({"core.parallelism": "4", "a.b.c": "x"}) == {"core": {"parallelism": "4"}, "a": {"b.c": "x"}}


@pytest.mark.parametrize("name", ["parallelism", ".x", "core.", "core.x.", ""])
def test_a_name_without_section_or_key_is_the_callers_error(name):
    with pytest.raises(CallerError, match=r"AirflowConfigurationOptions.*section\.key"):
        cfg.split({name: "1"})


def test_a_value_of_two_lines_is_the_callers_error():
    with pytest.raises(CallerError, match="one line"):
        cfg.split({"core.x": "1\n[core]\nfernet_key = mine"})


def test_a_new_name_wins_over_its_old_one():
    renames = {("webserver", "base_url"): ("api", "base_url")}
    assert cfg.rename({"webserver": {"base_url": "old"}}, renames) == {"api": {"base_url": "old"}}
    both = {"webserver": {"base_url": "old"}, "api": {"base_url": "new"}}
    assert cfg.rename(both, renames) == {"api": {"base_url": "new"}}
