"""The Redshift Data API inside the embedded AWS emulator: statements of DAG code, run on PostgreSQL.

Belongs here: the service's wire, what is understood of SQL (COPY from S3, parameters), running statements within
bounds, what is remembered of them, and which databases there are. Does not belong here: making databases and roles
(`services.databases`, by the keeper), and any boundary that PostgreSQL's own rights draw: a statement runs as a role
that owns its database and nothing else. Imported when the first request comes, for it takes most of a second.
"""
