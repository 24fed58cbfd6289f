"""The roles that a unit can take: each starts a process of Airflow by the shortest way and says when it serves."""
