"""The quickstart: a real pipeline on a real environment, driven from outside as any client would.

Here belong the example's DAG, the archive it works on, and the script that shows both off. The script is a client of
the public API and of the `aerodrome` command; nothing in this package imports Aerodrome's own modules.
"""
