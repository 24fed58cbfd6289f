"""Code that runs under Airflow's own interpreter, on the standard library and what Airflow ships.

It imports nothing of ours from outside. `boot.py` starts a unit's role (`aerodrome_unit`); web servers believe
`aerodrome_auth`. In a unit this folder is on Python's path (`release/interpreter_hook`), so both are top-level packages
there. What all lines share keeps to the syntax of Python 3.7.
"""
