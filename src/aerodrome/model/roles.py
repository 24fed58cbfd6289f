"""Airflow's roles, which IAM grants in each environment. Pure."""

from __future__ import annotations

from enum import StrEnum


class AirflowRole(StrEnum):
    """From the most to the least."""

    ADMIN = "Admin"
    OP = "Op"
    USER = "User"
    VIEWER = "Viewer"
    PUBLIC = "Public"
