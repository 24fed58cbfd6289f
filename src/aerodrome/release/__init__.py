"""What an environment runs: Airflow versions and the releases built on them, verified before use.

Here belong: the locks of the Airflow versions on offer, finding a Python for them, installing them through uv into
immutable folders, proving that an installed lock works; the identity of a release, and building one of a user's
requirements, plugins and startup script, trying it, and removing it when nobody uses it. Not here: anything of an
environment or a unit, and no option of Airflow, which `airflow` knows. The backends and the rooms above call it; it
knows none of them.
"""
