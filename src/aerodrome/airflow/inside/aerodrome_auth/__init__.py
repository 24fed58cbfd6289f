"""What Airflow's web servers believe: the gateway's tokens, and nothing else."""
