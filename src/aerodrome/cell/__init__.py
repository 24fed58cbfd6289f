"""The agent that keeps the units of one revision alive, or an environment's services, and the warm process behind it.

Here belong: forking and executing units, restarting them with back-off, letting them end in peace, rotating their logs,
and the control socket. Not here: what a unit is (the airflow room writes the specifications), when an environment
changes (the controller decides), and the client of the control socket (the local backend).

Standard library only, Python 3.7 to 3.13, Linux. It imports nothing of ours. Airflow's own interpreter runs `warm.py`
by its path; `warm.py` loads this folder as the package `aerodrome_cell`, so that nothing of ours is ever on `sys.path`.

    warm ── fork ──> cell (agent) ── fork ──> forker ── fork, fork ──> unit

A unit is forked from the forker, which never saw a specification. So a unit's memory holds its own secrets and no
neighbour's.
"""
