"""The only room that knows Airflow: its versions, configuration, units, health and REST.

What runs inside Airflow lies in inside/.
"""
