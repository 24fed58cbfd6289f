"""Who is asking, and what they may do: signatures, policies, tokens and keys.

It knows nothing of HTTP or of Airflow's inside.
"""
