"""What can be asked of an environment, each once: its validation, its warnings, its IAM action, and what it does.

`api` and `operator` are doors to this room: they turn bytes into values and answers into bytes, and say who asks. An
operation judges, writes into the ledger, and never acts on an environment: `controller` does, when the ledger tells it.
No HTTP here. Errors are those of `aerodrome.errors`, which a door translates; `rest.RestApiError` carries Airflow's
own answer.
"""
