"""The embedded AWS: MiniStack behind our rules, and the Redshift Data API on PostgreSQL.

Belongs here: what is started and how it is reached (`launch`), the program itself (`python -m aerodrome.emulator`),
which requests it refuses, and what it adds to MiniStack. Does not belong here: clients of AWS services, whether
embedded or not (`aws`), starting a process (`services`; a higher room hands it what `launch` describes), and who may
send what: the emulator checks no signature.
"""
