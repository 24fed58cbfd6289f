"""The runtime of cells on this machine.

`runtime.LocalRuntime` is the entry. This package does the machine's own chores (folders, ports, processes that a crash
left) and shows them to nobody.
"""
