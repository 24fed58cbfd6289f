"""Installed Airflow versions and the releases that are built on them and tried.

`built.BuiltReleases` is the door; `release` does the work. Effects only; what is wanted when is the controller's
decision.
"""
