from __future__ import annotations

import contextlib
import os
import select
import stat
import subprocess
import threading

import psutil
import psycopg
import pytest

from aerodrome import errors
from aerodrome.services import clusters, databases, postgres, postgres_conf, processes
from aerodrome.settings import Paths
from product import wait_for


def server_processes(paths: Paths) -> list[psutil.Process]:
    return processes.working_in((paths.postgres / "18").resolve(), "postgres")


def kill_everything(paths: Paths) -> None:
    killed = server_processes(paths)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child goes with the server
            process.kill()
    psutil.wait_procs(killed, timeout=10)


def query(cluster: clusters.Cluster, text: str) -> object:
    with clusters.connect(cluster) as connection:
        row = connection.execute(text).fetchone()  # type: ignore[call-overload]
    return row[0] if row else None


def test_it_serves_on_its_socket_only_with_checksums_and_scram(paths):
    cluster = postgres.up(paths)
    assert query(cluster, "SHOW data_checksums") == "on"
    assert query(cluster, "SHOW listen_addresses") == ""
    assert query(cluster, "SHOW max_connections") == str(postgres_conf.connections(postgres.ENVIRONMENTS))
    assert query(cluster, "SELECT bool_and(auth_method = 'scram-sha-256') FROM pg_hba_file_rules") is True
    postmaster = psutil.Process(int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0]))
    assert postmaster.net_connections("inet") == []


def iterations(cluster: clusters.Cluster, name: str) -> int:
    """In how many the role's password is verified."""
    with clusters.connect(cluster) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,)).fetchone()
    assert row is not None
    return int(row[0].split("$")[1].split(":")[0])


def test_passwords_that_only_our_parts_use_are_verified_in_one_iteration(paths):
    cluster = postgres.up(paths)
    databases.ensure_role(cluster, "env_a", "a password")
    assert (iterations(cluster, cluster.user), iterations(cluster, "env_a")) == (1, 1)


def test_passwords_that_people_use_or_set_are_as_strong_as_clients_demand(paths):
    cluster = postgres.up(paths)
    databases.ensure_own(cluster, "a_person", "a password", connection_limit=5)
    assert iterations(cluster, "a_person") == 4096
    databases.ensure_role(cluster, "env_a", "a password")
    databases.ensure_database(cluster, "env_a", "env_a")
    with psycopg.connect(cluster.dsn("env_a", "env_a", "a password"), autocommit=True) as owner:
        owner.execute("ALTER ROLE env_a PASSWORD 'short'")
    assert iterations(cluster, "env_a") == 4096


def test_the_password_is_in_one_private_file_and_in_no_command_line(paths):
    cluster = postgres.up(paths)
    key = paths.keys / "postgres"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.keys.stat().st_mode) == 0o700
    assert key.read_text() == cluster.password
    assert not (paths.postgres / "initial-password").exists()
    for process in server_processes(paths):
        with contextlib.suppress(psutil.NoSuchProcess):  # a helper that the server ends by itself
            assert cluster.password not in " ".join(process.cmdline())
            assert cluster.password not in str(process.environ())


def test_a_wrong_password_is_refused(paths):
    cluster = postgres.up(paths)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.dsn("postgres", "postgres", "wrong"))


def test_it_is_no_child_of_ours_and_a_second_start_adopts_it(paths):
    postgres.up(paths)
    first = {process.pid for process in server_processes(paths)}
    postmaster = int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0])
    assert psutil.Process(postmaster).ppid() != os.getpid()
    postgres.up(paths)
    assert int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0]) == postmaster
    assert postmaster in first


def test_what_was_committed_survives_a_stop_and_a_start(paths):
    cluster = postgres.up(paths)
    with clusters.connect(cluster) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    postgres.down(paths)
    assert server_processes(paths) == []
    assert postgres.cluster_if_up(paths) is None
    assert query(postgres.up(paths), "SELECT value FROM kept") == 7


def test_it_recovers_after_everything_was_killed_at_once(paths):
    cluster = postgres.up(paths)
    with clusters.connect(cluster) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    kill_everything(paths)
    assert (paths.run / "pg" / ".s.PGSQL.5432").exists()
    assert query(postgres.up(paths), "SELECT value FROM kept") == 7


def test_it_recovers_when_only_the_postmaster_was_killed(paths):
    cluster = postgres.up(paths)
    postmaster = psutil.Process(int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0]))
    configuration = paths.postgres / "18" / "postgresql.conf"
    written = configuration.stat().st_ino
    postmaster.kill()
    assert query(postgres.up(paths), "SELECT 1") == 1
    assert configuration.stat().st_ino == written
    assert postgres.cluster_if_up(paths) == cluster


def test_its_death_is_told_at_once(paths):
    assert postgres.watched(paths) is None
    postgres.up(paths)
    watched = postgres.watched(paths)
    assert watched is not None
    try:
        assert select.select([watched], [], [], 0)[0] == []
        psutil.Process(int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0])).kill()
        assert select.select([watched], [], [], 30)[0] == [watched]
    finally:
        os.close(watched)
    assert postgres.watched(paths) is None


def test_a_backend_that_computes_without_end_holds_up_no_restart(paths):
    """It looks for its postmaster only when it waits for something."""
    cluster = postgres.up(paths)
    with clusters.connect(cluster) as connection:
        pid = connection.info.backend_pid
        its_state = f"SELECT state FROM pg_stat_activity WHERE pid = {pid}"  # noqa: S608 - a number
        computing = threading.Thread(target=endless, args=(connection,))
        computing.start()
        wait_for("it computes", lambda: query(cluster, its_state) == "active")
        psutil.Process(int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0])).kill()
        postgres.up(paths)
        computing.join()
    assert processes.mark(pid) is None
    assert query(cluster, "SELECT 1") == 1


def endless(connection: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$")


def test_a_pid_file_that_names_another_living_process_does_not_stop_a_start(paths):
    postgres.up(paths)
    kill_everything(paths)
    for file in (paths.postgres / "18" / "postmaster.pid", paths.run / "pg" / ".s.PGSQL.5432.lock"):
        lines = file.read_text().split("\n")
        file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert query(postgres.up(paths), "SELECT 1") == 1


def test_whoever_looks_into_the_data_folder_is_left_alone(paths):
    postgres.up(paths)
    kill_everything(paths)
    with subprocess.Popen(["sleep", "60"], cwd=paths.postgres / "18") as visitor:  # noqa: S607 -- found on any PATH
        postgres.up(paths)
        assert visitor.poll() is None
        visitor.kill()


def test_a_lost_key_is_told_with_the_file_to_look_at(paths):
    postgres.up(paths)
    (paths.keys / "postgres").unlink()
    with pytest.raises(errors.BrokenError, match="keys/postgres"):
        postgres.up(paths)


def test_a_start_that_fails_carries_the_servers_own_words(paths):
    postgres.up(paths)
    postgres.down(paths)
    (paths.postgres / "18" / "local.conf").write_text("max_connections = 'many'\n")
    with pytest.raises(errors.BrokenError) as caught:
        postgres.up(paths)
    assert any("max_connections" in line for line in caught.value.tail)


def test_stopping_what_never_ran_is_nothing(paths):
    postgres.down(paths)
    assert postgres.cluster_if_up(paths) is None
