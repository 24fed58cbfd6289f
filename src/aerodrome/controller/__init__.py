"""Brings every environment to the state that the ledger asks for: observe, plan (pure), act.

Only this room gives orders to a backend.
"""
