"""The words of Aerodrome as frozen dataclasses, the lifecycle table, environment classes and ARNs.

Pure: no I/O, no clock, and no import of any other room.
"""
