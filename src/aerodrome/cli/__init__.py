"""The command line: a client of the public API, save for up, down and purge."""
