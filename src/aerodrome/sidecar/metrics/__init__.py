"""Airflow's metrics: taken from the units over a socket, summed up by the minute, published as the execution role.

`statsd` reads packets and `aggregation` sums up (pure), `listening` takes packets, `publishing` sends minutes to
CloudWatch. DAG code sends too, and is hostile: packets a second, series and what waits are bounded, and what is beyond
is dropped and counted. The names are `airflow.published_metrics`'. Does not belong here: what Airflow does not say of
itself.
"""
