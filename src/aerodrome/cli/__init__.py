"""The command line: a client of the public API, except for up, down and purge."""
