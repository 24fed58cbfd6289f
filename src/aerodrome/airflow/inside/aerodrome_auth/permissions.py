"""What each role may do in Airflow 3, as a table: the rights that Flask-AppBuilder's roles have in Airflow 2.

Pure, and without an import of Airflow, so that it can be read and tested by itself. What the table does not name is for
Admin alone.
"""

from __future__ import annotations

LEVELS = {"Public": 0, "Viewer": 1, "User": 2, "Op": 3, "Admin": 4}
"""Each role may do what the ones below it may."""

READ = "GET"

NEEDED = {
    # what: (role to read, role to change)
    "dag": ("Viewer", "User"),
    "dag.AUDIT_LOG": ("Admin", "Admin"),
    "dag.XCOM": ("Viewer", "Op"),
    "asset": ("Viewer", "Op"),
    "asset.create": ("Viewer", "User"),
    "asset_alias": ("Viewer", "Op"),
    "backfill": ("Viewer", "Op"),
    "pool": ("Viewer", "Op"),
    "configuration": ("Op", "Admin"),
    "connection": ("Op", "Op"),
    "variable": ("Op", "Op"),
    "view.CLUSTER_ACTIVITY": ("Viewer", "Admin"),
    "view.DOCS": ("Viewer", "Admin"),
    "view.IMPORT_ERRORS": ("Viewer", "Admin"),
    "view.JOBS": ("Viewer", "Admin"),
    "view.WEBSITE": ("Viewer", "Admin"),
    "view.PLUGINS": ("Op", "Admin"),
    "view.PROVIDERS": ("Op", "Admin"),
    "view.TRIGGERS": ("Admin", "Admin"),
}

MENU = {
    "ASSETS": "Viewer",
    "DAGS": "Viewer",
    "DEADLINES": "Viewer",
    "DOCS": "Viewer",
    "JOBS": "Viewer",
    "CONFIG": "Op",
    "CONNECTIONS": "Op",
    "PLUGINS": "Op",
    "POOLS": "Op",
    "PROVIDERS": "Op",
    "REQUIRED_ACTIONS": "Op",
    "VARIABLES": "Op",
    "XCOMS": "Op",
    "AUDIT_LOG": "Admin",
}


def allowed(role: str, what: str, method: str, detail: str | None = None) -> bool:
    """Whether `role` may use `method` on `what`; `detail` names a part of it that may have a rule of its own."""
    names = [what + "." + detail, what] if detail else [what]
    for name in names:
        if name in NEEDED:
            needed = NEEDED[name][0 if method == READ else 1]
            break
    else:
        needed = "Admin"
    return LEVELS.get(role, 0) >= LEVELS[needed]


def sees(role: str, menu_item: str) -> bool:
    """Whether the menu shows the item."""
    return LEVELS.get(role, 0) >= LEVELS[MENU.get(menu_item, "Admin")]
