"""What each MWAA operation means: a validated input and the doors in, an output out.

No HTTP here. Errors are those of `aerodrome.errors`, which the wire translates; only InvokeRestApi, whose errors carry
Airflow's answer, raises the wire's own.
"""
