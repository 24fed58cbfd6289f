"""The embedded PostgreSQL's configuration as text. Pure; the files are ours, and each start writes them anew."""

from __future__ import annotations

from pathlib import Path

OWN_SCRAM_ITERATIONS = 1
"""Of our own roles' passwords. They make guesses slow, which all connections pay for: 3 ms of their client's processor.
Nobody guesses our passwords, which are 24 random bytes or more. Passwords that people use or set have PostgreSQL's
4096, less than which some clients refuse."""

INITDB = (
    "--auth-local=scram-sha-256",
    "--auth-host=reject",
    "--encoding=UTF8",
    # The built-in provider sorts the same on every machine, so an upgrade of libc breaks no index.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    f"--set=scram_iterations={OWN_SCRAM_ITERATIONS}",
)

FOR_EACH_ENVIRONMENT = 130
"""Connections that one with a worker of class mw1.small may have (`airflow/connections`)."""

FOR_OTHERS = 100
"""For people's own databases and those of the Redshift Data API."""

FOR_LEDGER = 24
"""Kept free for the ledger: SQLAlchemy's pool, and connections that listen."""

FOR_US = 24
"""Kept free for the administering role, whose connections last for a statement."""


LOCKS = 25_600
"""Places for locks that all connections share; an archive takes some hundreds. PostgreSQL's default of 64 for each
connection would cost 25 MB more in a server with many."""


def connections(environments: int) -> int:
    """How many connections a server of so many environments takes; a thousand cost 5 MB of memory."""
    return FOR_EACH_ENVIRONMENT * environments + FOR_OTHERS + FOR_LEDGER + FOR_US


def server(sockets: Path, *, shared: bool, environments: int) -> str:
    """postgresql.conf. `shared`: users of other environments reach the socket, and the password is the guard."""
    most = connections(environments)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0777" if shared else "0700",
        "password_encryption": "scram-sha-256",
        "max_connections": str(most),
        "max_locks_per_transaction": str(-(-LOCKS // most)),
        "max_pred_locks_per_transaction": str(-(-LOCKS // most)),
        "superuser_reserved_connections": str(FOR_US),
        "reserved_connections": str(FOR_LEDGER),
        "shared_buffers": "128MB",
        "effective_cache_size": "1GB",
        "max_wal_size": "1GB",
        # After a crash the log since the last checkpoint is replayed before anybody is let in.
        "checkpoint_timeout": "1min",
        # One call for the whole file system, instead of one for each of ten thousand files.
        "recovery_init_sync_method": "syncfs",
        "wal_level": "minimal",  # nobody replicates from here
        "max_wal_senders": "0",
        "max_parallel_workers_per_gather": "0",  # needs more of /dev/shm than a container has
        "jit": "off",  # Airflow sends many small queries, which compilation only delays
        "idle_in_transaction_session_timeout": "15min",  # a lost client must not stop vacuum for ever
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",  # seven files: a week, each overwritten
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_file_mode": "0600",
        "log_line_prefix": "%m [%p] %u@%d ",
        "log_statement": "none",
        "log_min_error_statement": "panic",  # a failed statement may carry a person's data
        "log_lock_waits": "on",
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in options.items()]
    head = "# Written by Aerodrome at each start. Put options of yours into local.conf beside this file."
    return "\n".join([head, *lines, "include_if_exists = 'local.conf'", ""])


def host_based_authentication() -> str:
    """pg_hba.conf: a password over the unix socket, and nothing else."""
    return "# Written by Aerodrome at each start.\nlocal all all scram-sha-256\n"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
