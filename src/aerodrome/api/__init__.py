"""The front door: MWAA's wire protocol driven by botocore's own service model, and the passage to other AWS services.

It writes wishes into the ledger and never acts on them. `front` sorts requests, `wire` turns bytes into values and
back, `operations` means something by them, `upstream` passes the rest on. What a request needs from other rooms comes
through `dependencies`; only `airflow_rest` reaches further, to an environment's own REST API.
"""
