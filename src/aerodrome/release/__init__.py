"""What an environment runs: interpreters, locks and their installation, verified before use.

Here belong: the locks of the Airflow versions on offer, finding a Python for them, installing them through uv into
immutable folders, proving that an installed lock works, and the identity of a release. Not here: anything of an
environment, a unit or Airflow's configuration. The backends and the rooms above call it; it knows none of them.
"""
