"""One helper process an environment: the bucket's DAGs onto disk, the execution role's credentials to the units.

Belongs here: reading the bucket, deciding what the disk lacks (`keys`, `diff`: pure), writing it (`tree`), telling
Airflow (`parsing`), keeping the role's credentials fresh and handing them out on loopback (`credentials`,
`endpoint`), and the status file. Does not belong here: the ledger, the control plane's settings, anything that
another environment owns. The process is started by the cell, outlives the control plane, and is kept small: no module
here imports boto3, aiohttp, pydantic or SQLAlchemy.
"""
