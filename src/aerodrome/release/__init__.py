"""What an environment runs: interpreters, locks and their installation, verified before use.

It knows nothing of environments.
"""
