"""Which schema is the newest, without the library that knows it."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from aerodrome.ledger import migrate


def test_the_names_of_the_migrations_tell_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert migrate.newest() == ScriptDirectory.from_config(config).get_current_head()
