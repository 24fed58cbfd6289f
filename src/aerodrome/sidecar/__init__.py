"""One helper process an environment: DAGs from the bucket to disk, the role's credentials to units, logs to CloudWatch.

Here belong: reading the bucket, deciding what the disk lacks (`object_keys`, `diff`: pure), writing it (`dags_folder`),
telling Airflow (`parsing`), keeping the role's credentials fresh and handing them out on loopback (`credentials`,
`endpoint`), shipping logs (`logs/`), taking spans for a collector (`traces`), and the status file. Not here: the
ledger, the control plane's settings, anything that another environment owns. The process is started by the cell,
outlives the control plane, and is kept small: no module here imports boto3, aiohttp, pydantic or SQLAlchemy.
"""
