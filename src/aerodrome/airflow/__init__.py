"""The only room that knows Airflow: its versions, configuration, units, health and REST.

The code that runs inside Airflow's processes is in inside/.
"""
