"""The command line: a client of the operator's socket and of the public API.

Only `up`, `down`, `purge`, `doctor` and `check` work on the machine itself.
"""
