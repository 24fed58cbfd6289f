"""One helper process an environment: the bucket's DAGs onto disk, the execution role's credentials to the units.

It never touches the ledger.
"""
