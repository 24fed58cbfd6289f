"""Observe, plan (pure), act: brings every environment to what the ledger wishes.

Only this room calls a backend.
"""
