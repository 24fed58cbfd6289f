"""The roles that a unit can take: each starts a process of Airflow in the shortest way and says when it serves."""
