"""Where units live.

The contract, and local/: cells on this machine. Effects only; decisions are the controller's.
"""
