"""What each MWAA operation means: a validated input and its dependencies in, an output out.

No HTTP here. Errors are those of `aerodrome.errors`, which the wire translates; `rest.RestApiError` carries Airflow's
own answer.
"""
