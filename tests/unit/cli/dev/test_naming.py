"""Names of a folder's environment, bucket and role: always valid, and never another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cli.dev import naming
from aerodrome.errors import CallerError

BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
ENVIRONMENT = re.compile(r"[a-zA-Z][0-9a-zA-Z\-_]{0,79}")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/home/ada/shop", "shop"),
        ("/home/ada/My Shop (new)", "My-Shop-new"),
        ("/home/ada/2024_sales", "env-2024_sales"),
        ("/home/ada/-x-", "x"),
        ("/home/ada/" + "a" * 100, "a" * 40),
    ],
)
def test_an_environment_is_called_as_its_folder(folder, name):
    assert naming.environment(Path(folder)) == name


def test_a_folder_without_usable_letters_has_a_name_all_the_same():
    assert naming.environment(Path("/")) == naming.environment(Path("/"))
    assert naming.environment(Path("/日本")) != naming.environment(Path("/中国"))


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_whatever_the_folder_is_called_every_name_is_valid(name):
    environment = naming.environment(Path("/home") / name)
    assert ENVIRONMENT.fullmatch(environment)
    assert BUCKET.fullmatch(naming.bucket(environment))
    assert ROLE.fullmatch(naming.role(environment))


names = st.from_regex(ENVIRONMENT, fullmatch=True)


@given(names, names)
def test_two_environments_share_neither_bucket_nor_role(one, other):
    assert (naming.bucket(one) == naming.bucket(other)) == (one == other)
    assert (naming.role(one) == naming.role(other)) == (one == other)


@given(names)
def test_a_given_name_is_valid_for_all_of_them(name):
    assert naming.checked(name) == name
    assert BUCKET.fullmatch(naming.bucket(name))
    assert ROLE.fullmatch(naming.role(name))


def test_names_that_differ_by_case_alone_are_apart():
    assert len({naming.bucket(each) for each in ("shop_a", "shop-a", "Shop-a", "shop-a-")}) == 4


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 81, "ä"])
def test_what_mwaa_would_refuse_is_refused(name):
    with pytest.raises(CallerError, match="--name"):
        naming.checked(name)
