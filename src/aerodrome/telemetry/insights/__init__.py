"""CloudWatch Logs Insights: queries in its language, carried out by DuckDB.

`grammar` reads a query into the dataclasses of `commands`, `functions` and `translation` make SQL of them (all pure:
no text of a query becomes SQL, values are parameters), and `search` carries it out in a worker. Which queries there are
and what became of them is `queries` of the room above. `discovery` finds the fields that events have.
"""
