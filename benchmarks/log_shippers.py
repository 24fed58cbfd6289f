"""A process that logs lines, and what brings them to CloudWatch Logs: `python -m benchmarks.log_shippers WHICH …`.

Prints two figures, in seconds of CPU of this process: for shipping alone, and for everything. `ours` logs to a file, as
Airflow's tasks do, and ships it as the sidecar does; `watchtower` is the handler that most use for CloudWatch, in the
process that logs. Both send the same text, and sign, over HTTP, to the same endpoint.

Shipping begins with a line that has been logged, and ends when the service has taken it. For `ours` that is all that
the shipper does: look through the folders, read the file, make events, send them, note how far it came. Writing the
file is none of it, for Airflow writes it whoever ships. `watchtower` ships within the call that logs and in a thread,
so its figure is everything less what the same calls take with a handler that formats each line and does nothing else.

The group and the stream are there before. While watchtower makes a stream, it drops what is logged meanwhile.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

FORMAT = "[%(asctime)s.%(msecs)03d+0000] {%(filename)s:%(lineno)d} %(levelname)s - %(message)s"
DATES = "%Y-%m-%dT%H:%M:%S"
STREAM = "dag_id=bench/run_id=r/task_id=t/attempt=1.log"


def said(handler: logging.Handler, lines: int) -> None:
    """Log so many lines."""
    formatter = logging.Formatter(FORMAT, DATES)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    for number in range(lines):
        logger.info("processed batch %d of customers in region eu-central-1, 250 rows, 0 rejected", number)


class _Formatting(logging.Handler):
    """Formats each line, and does nothing with it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


def ours(folder: Path, url: str, key: tuple[str, str], environment: str, lines: int) -> tuple[float, float]:
    """Through a file and the sidecar's shipper."""
    from aerodrome.sidecar.config import AccessKeys, LogsConfig  # noqa: PLC0415 - each side imports its own alone
    from aerodrome.sidecar.logs.cloudwatch import CloudWatch  # noqa: PLC0415
    from aerodrome.sidecar.logs.positions import Positions  # noqa: PLC0415
    from aerodrome.sidecar.logs.shipping import Shipper  # noqa: PLC0415
    from aerodrome.sidecar.signed_http import AwsEndpoint  # noqa: PLC0415

    endpoint = AwsEndpoint(url, region="us-east-1", service="logs")
    config = LogsConfig({"TaskLogs": 20}, folder / "units", folder / "tasks", folder / "positions")
    shipper = Shipper(
        environment=environment,
        config=config,
        cloudwatch=CloudWatch(endpoint, lambda: AccessKeys(*key), lambda: None),
        positions=Positions.load(config.positions, now=0),
        clock=lambda: datetime.now(UTC),
    )
    path = config.tasks / STREAM
    path.parent.mkdir(parents=True)
    began = time.process_time()
    handler = logging.FileHandler(path)
    said(handler, lines)
    handler.close()
    logged = time.process_time()
    while shipper.status.shipped < lines:
        shipper.once()
        assert shipper.status.error is None, shipper.status.error
    ended = time.process_time()
    return ended - logged, ended - began


def watchtower(_folder: Path, url: str, key: tuple[str, str], environment: str, lines: int) -> tuple[float, float]:
    """By a handler that sends."""
    import boto3  # noqa: PLC0415 - as above
    import watchtower as other  # noqa: PLC0415

    client = boto3.client(
        "logs", region_name="us-east-1", endpoint_url=url, aws_access_key_id=key[0], aws_secret_access_key=key[1]
    )
    began = time.process_time()
    handler = other.CloudWatchLogHandler(
        log_group_name=f"airflow-{environment}-Task", log_stream_name=STREAM, boto3_client=client
    )
    said(handler, lines)
    handler.close()  # type: ignore[no-untyped-call]  # watchtower has half its types
    shipped = time.process_time()
    said(_Formatting(), lines)
    formatting = time.process_time() - shipped
    return shipped - began - formatting, shipped - began


if __name__ == "__main__":
    which, folder, url, key_id, secret, environment, lines = sys.argv[1:]
    side = {"ours": ours, "watchtower": watchtower}[which]
    print(*side(Path(folder), url, (key_id, secret), environment, int(lines)))  # what `benchmarks.logs` reads
