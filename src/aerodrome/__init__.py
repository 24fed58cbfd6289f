"""Aerodrome: managed Apache Airflow that you run yourself, behind the Amazon MWAA API.

Rooms and their order are in docs/architecture.md; import-linter holds them. This file carries no code.
"""
