"""The only way to Airflow's web servers: TLS, host names, web login, sessions, the CLI endpoint, the proxy.

It speaks HTTP to people's browsers and clients, and to Airflow's unix sockets. It issues no identity that `identity`
did not grant, and of Airflow it knows only the web addresses.
"""
