"""Clients for the AWS services that an environment uses, and the embedded emulator behind them."""
