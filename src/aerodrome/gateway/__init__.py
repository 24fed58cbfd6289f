"""The one way in to Airflow's web servers: TLS, host names, web login, sessions, the CLI endpoint, the proxy.

It speaks HTTP to people's browsers and clients and to Airflow's unix sockets. It mints no identity that `identity` did
not grant, and knows nothing of Airflow beyond its web addresses.
"""
