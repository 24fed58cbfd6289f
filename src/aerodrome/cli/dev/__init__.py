"""`aerodrome dev`: from a folder to a running environment that follows it.

A client like any other: of the public API (MWAA, S3, IAM) and of the operator's socket. What a change of a file means,
and what of Airflow's troubles is news, is decided purely (`steps`, `airflow_troubles`, `tracebacks`, `naming`).
`session` alone acts, through `aws_resources` (bucket, role, environment), `airflow_rest` and `airflow_cli`.
"""
