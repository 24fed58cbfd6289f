"""The agent that keeps one environment's units alive.

Standard library only, Python 3.7 to 3.13; imports nothing of ours.
"""
