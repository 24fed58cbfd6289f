"""Everything that can be asked of an environment, once: its validation, its warnings, its IAM action, its effect.

`api` and `operator` are doors to this room: they turn bytes into values and answers into bytes, and say who asks. An
operation judges a request and writes it into the ledger. It never acts on an environment; the controller does, when it
reads the ledger. No HTTP here: a door translates the errors, which are those of `aerodrome.errors`, and
`rest.RestApiError` with Airflow's own answer.
"""
