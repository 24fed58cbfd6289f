"""Observe, plan (pure), act: brings every environment to the state that the ledger asks for.

Only this room calls a backend.
"""
