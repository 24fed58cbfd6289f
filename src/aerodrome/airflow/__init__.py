"""The only room that knows Airflow: its versions, configuration, units, health and REST.

Here is whatever writes or reads an option of Airflow: no other room names a variable `AIRFLOW__SECTION__KEY`, which a
test holds. The code that runs inside Airflow's processes is in inside/.
"""
