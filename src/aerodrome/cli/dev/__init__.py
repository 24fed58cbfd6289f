"""`aerodrome dev`: from a folder to a running environment that follows it.

It is a client like any other, of the public API (MWAA, S3, IAM) and of the operator's socket. Pure modules decide what
a change of a file means, and which of Airflow's troubles are new (`steps`, `airflow_troubles`, `tracebacks`, `naming`).
`session` alone acts, through `aws_resources` (bucket, role, environment), `airflow_rest` and `airflow_cli`.
"""
