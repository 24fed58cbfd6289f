"""Carries out orders for units, databases and releases: the contract, its fakes in memory, and the real parts.

`contract` says what a runtime, databases and releases do; `local/` is the runtime of cells on this machine. Effects
only; the controller decides.
"""
