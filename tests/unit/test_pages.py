"""The pages of the documentation lead where they say, and each decision has a number of its own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md")) + sorted(ROOT.glob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

REPLACES = re.compile(r"replaces \[decision \d+\]\((?P<file>[^)]+)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path):
    found = [target.partition("#")[0] for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in found if target and not (page.parent / target).exists()] == []


def test_no_two_decisions_share_a_number():
    numbers = Counter(each.name[:4] for each in DECISIONS)
    assert [number for number, count in numbers.items() if count > 1] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda each: each.stem)
def test_a_decisions_title_bears_its_number(decision: Path):
    assert decision.read_text().startswith(f"# {int(decision.name[:4])}. ")


def test_a_decision_that_another_replaces_says_so_at_its_top():
    replaced = [(each, found["file"]) for each in DECISIONS for found in REPLACES.finditer(each.read_text())]
    assert replaced
    for later, earlier in replaced:
        top = (later.parent / earlier).read_text().splitlines()[2]
        assert top.startswith("*Replaced by [decision ")
        assert later.name in top
