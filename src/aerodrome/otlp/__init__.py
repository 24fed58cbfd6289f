"""OTLP, the protocol of OpenTelemetry: metrics and traces leave for a collector of the operator's, where that is set.

`collector` sends a request, `outbox` keeps what could not be sent yet, within bounds, and counts what was dropped.
`points` writes metrics and `spans` names the environment of traces (both pure, by the messages of opentelemetry-proto,
which is imported when there is something to send). `export` is the control plane's thread for metrics; the traces of an
environment leave from its sidecar. Does not belong here: what is measured, and who may send.
"""
