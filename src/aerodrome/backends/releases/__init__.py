"""Installed Airflow versions, and the releases that are built on them and tried.

`built.BuiltReleases` is the entry; the room `release` does the work. Effects only; the controller decides what is
wanted when.
"""
