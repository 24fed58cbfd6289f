"""The store of metrics, and CloudWatch's API (`monitoring`) on it, in the same process as the store of logs.

`protocols` reads and writes the three wire protocols, `points`, `periods`, `math`, `searching` and `alarms` decide
(pure), `catalogue` keeps everything in one SQLite file, `store` works on it in a thread of its own, `api` answers
requests, and `evaluation` looks at alarms each minute. Who may ask what was decided before, by the AWS door. Does not
belong here: measuring anything, and anything about environments.
"""
