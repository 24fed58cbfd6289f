"""The front door: MWAA's wire protocol driven by botocore's own service model, and the passage to other AWS services.

It writes wishes into the ledger and never acts on them.
"""
