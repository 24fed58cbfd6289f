"""The operator's socket: what the machine's owner may ask of the control plane beyond the MWAA API."""
