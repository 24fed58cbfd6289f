"""Where units, their databases and their releases are: the contract, its fakes in memory, and the real ones.

`contract` says what a runtime, databases and releases do; `local/` is the runtime of cells on this machine. Effects
only; decisions are the controller's.
"""
