"""Who is asking: keys and tokens.

It knows nothing of HTTP or of Airflow's inside.
"""
