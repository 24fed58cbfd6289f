"""CloudWatch Logs as the shipper needs it: put events, and make the group and the stream where they are missing."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from json.encoder import encode_basestring_ascii
from operator import itemgetter

from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.logs.events import ShippedEvent
from aerodrome.sidecar.signed_http import AwayError, AwsEndpoint, AwsRequest, RefusalError

BATCH_EVENTS = 10_000
BATCH_BYTES = 1_048_576
OVERHEAD = 26
"""Bytes that AWS counts for each event beside its message."""

SPAN = 24 * 3_600_000 - 1
"""Milliseconds between the first and the last event of a batch."""

ANSWER_LIMIT = 64 * 1024

THROTTLED = frozenset({"ThrottlingException", "LimitExceededException", "OperationAbortedException"})

EXPIRED = frozenset({"ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"})


class CloudWatch:
    """The service, for one environment; for one thread."""

    def __init__(self, endpoint: AwsEndpoint, keys: Callable[[], AccessKeys], reject: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._reject = reject

    def ensure_group(self, group: str) -> None:
        """Make the group unless it is there.

        Raises:
            AwayError: it may work later. RefusalError: it is not allowed.
        """
        self._make("CreateLogGroup", {"logGroupName": group})

    def put(self, group: str, stream: str, events: Sequence[ShippedEvent]) -> int:
        """Send one batch; how many events the service did not take, for they are too old.

        Raises:
            AwayError: it may work later. RefusalError: it never will, or is not allowed.
        """
        document = body(group, stream, events)
        try:
            answer = self._ask("PutLogEvents", document)
        except RefusalError as error:
            if _word(error) != "ResourceNotFoundException":
                raise
            self.ensure_group(group)
            self._make("CreateLogStream", {"logGroupName": group, "logStreamName": stream})
            answer = self._ask("PutLogEvents", document)
        return _rejected(answer.get("rejectedLogEventsInfo"), len(events))

    def _make(self, operation: str, body: Mapping[str, object]) -> None:
        try:
            self._ask(operation, json.dumps(body))
        except RefusalError as error:
            if _word(error) != "ResourceAlreadyExistsException":
                raise

    def _ask(self, operation: str, body: str) -> dict[str, object]:
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"Logs_20140328.{operation}"}
        request = AwsRequest(method="POST", headers=headers, body=body.encode())
        try:
            response = self._endpoint.send(request, self._keys())
            found = json.loads(response.read(ANSWER_LIMIT) or b"{}")
        except RefusalError as error:
            if _word(error) in EXPIRED:
                self._reject()
            if _word(error) in THROTTLED | EXPIRED:
                raise AwayError(str(error)) from error
            raise
        except (OSError, ValueError) as error:
            self._endpoint.close()
            raise self._endpoint.away(error) from error
        return found if isinstance(found, dict) else {}


def batches(events: Sequence[ShippedEvent]) -> Iterator[Sequence[ShippedEvent]]:
    """Events in their order, in pieces that one request may have. Pure."""
    sizes = [OVERHEAD + (len(text) if text.isascii() else len(text.encode())) for _, text in events]
    before = [0, *accumulate(sizes)]
    """Bytes of all events before each."""
    start = 0
    while start < len(events):
        most = min(start + BATCH_EVENTS, bisect_right(before, before[start] + BATCH_BYTES) - 1)
        end = bisect_right(events, events[start][0] + SPAN, start, most, key=itemgetter(0))
        end = max(end, start + 1)
        yield events[start:end]
        start = end


def body(group: str, stream: str, events: Sequence[ShippedEvent]) -> str:
    """Of PutLogEvents. Pure. A dictionary for each event would take three times as long."""
    each = [f'{{"timestamp":{moment},"message":{encode_basestring_ascii(text)}}}' for moment, text in events]
    where = f'"logGroupName":{json.dumps(group)},"logStreamName":{json.dumps(stream)}'
    return f'{{{where},"logEvents":[{",".join(each)}]}}'


def _word(error: RefusalError) -> str:
    """The service's word, which may come with a namespace."""
    return error.code.rpartition("#")[2]


def _rejected(info: object, count: int) -> int:
    if not isinstance(info, dict):
        return 0
    first = max(int(info.get("tooOldLogEventEndIndex", 0)), int(info.get("expiredLogEventEndIndex", 0)))
    return first + count - int(info.get("tooNewLogEventStartIndex", count))
