"""The store of logs and metrics, and CloudWatch's APIs on it, for installations with the embedded AWS services.

It runs as a process of its own (`python -m aerodrome.telemetry`) behind the AWS door, which has decided before who may
ask what; nothing here checks a signature. `logs_api` answers requests (`wire` has their shapes), `acceptance` and
`patterns` and `keeping` decide (pure), `catalogue` has groups, streams and the newest events in SQLite; `parts` writes
the older ones to Parquet files, `pages` and `insights` look through them, by DuckDB (`engine`) and always in a worker
process (`workers`). `store` puts these together. `insights_api` and `queries` have Insights, `live_tail` has who
listens. `metrics` has the metrics. Does not belong here: shipping logs (the sidecar), and anything about environments.
"""
