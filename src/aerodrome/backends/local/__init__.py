"""The backend of one machine: cells beside the control plane, one for each environment.

Everything that this backend does to the machine goes out through `backend.LocalBackend.act`.
"""
