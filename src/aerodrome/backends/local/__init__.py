"""The runtime of cells on this machine.

`runtime.LocalRuntime` is the door. What a machine needs besides (folders, ports, processes that a crash left) is done
here and shows nowhere else.
"""
