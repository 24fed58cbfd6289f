"""The front door: MWAA's wire protocol driven by botocore's own service model, and the passage to other AWS services.

It never acts on an environment, and says what is asked of one to the room `operations` alone. `front` sorts requests,
`wire` turns bytes into values and back, `upstream` passes the rest on. What a request needs from other rooms comes
through `dependencies`; only `airflow_rest` reaches further, to an environment's own REST API.
"""
