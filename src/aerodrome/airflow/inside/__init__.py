"""Code that runs under Airflow's own interpreter: the standard library and what Airflow ships, nothing of ours else.

`boot.py` starts a unit's role (`aerodrome_unit`); `aerodrome_auth` is what the web servers believe. In a unit this
folder is on PYTHONPATH, so both are top-level packages there. What all lines share keeps to the syntax of Python 3.7.
"""
