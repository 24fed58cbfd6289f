"""Ships what Airflow says to CloudWatch Logs, under MWAA's names of groups and streams.

`sources` says which file belongs to which stream, and `events` makes events of lines (both pure). `folders` finds files
where hostile code may write, `tailing` reads on where it stopped, `positions` remembers that across crashes,
`cloudwatch` sends, and `shipping` is the rhythm: a thread of its own, so that a slow bucket does not hold logs up, nor
the other way round. The files themselves are the spool: what cannot be sent stays in them.
"""
