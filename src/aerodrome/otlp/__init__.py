"""OTLP, the protocol of OpenTelemetry: metrics leave for a collector of the operator's, where that is set.

`collector` sends a request, `outbox` keeps what could not be sent yet, within bounds, and counts what was dropped.
`points` writes metrics (pure, by the messages of opentelemetry-proto, which is imported when there is something to
send). `export` is the control plane's thread. Does not belong here: what is measured.
"""
