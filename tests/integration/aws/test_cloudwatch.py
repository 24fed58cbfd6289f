"""CloudWatch in each protocol of its model: SDKs differ in which they speak."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from botocore.loaders import Loader

PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")


class OneProtocol(Loader):
    """Shows a service as if it had this protocol alone."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self._protocol = protocol

    def load_service_model(self, service_name, type_name, api_version=None):
        found = copy.deepcopy(super().load_service_model(service_name, type_name, api_version))
        if type_name == "service-2":
            found["metadata"] |= {"protocol": self._protocol, "protocols": [self._protocol]}
        return found


def cloudwatch(service, protocol: str):
    session = botocore.session.Session()
    session.register_component("data_loader", OneProtocol(protocol))
    made = session.create_client(
        "cloudwatch",
        region_name=service.endpoint.region,
        endpoint_url=service.endpoint.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    assert made.meta.service_model.resolved_protocol == protocol
    return made


@pytest.mark.parametrize("reading", PROTOCOLS)
@pytest.mark.parametrize("writing", PROTOCOLS)
def test_what_one_protocol_writes_every_protocol_reads(service, writing, reading):
    namespace, now = f"n{uuid.uuid4().hex}", datetime.now(UTC)
    writer, reader = cloudwatch(service, writing), cloudwatch(service, reading)
    data = [
        {
            "MetricName": "m",
            "Dimensions": [{"Name": "d", "Value": "ü"}],
            "Timestamp": now,
            "Value": value,
            "Unit": "Count",
        }
        for value in (1.5, 2.0)
    ]
    writer.put_metric_data(Namespace=namespace, MetricData=data)

    listed = reader.list_metrics(Namespace=namespace)["Metrics"]
    assert [(each["MetricName"], each["Dimensions"]) for each in listed] == [("m", [{"Name": "d", "Value": "ü"}])]
    points = reader.get_metric_statistics(
        Namespace=namespace,
        MetricName="m",
        Dimensions=data[0]["Dimensions"],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert sum(each["Sum"] for each in points) == 3.5
    assert sum(each["SampleCount"] for each in points) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_refusal_is_read_in_the_protocol_it_was_asked_in(service, protocol):
    client = cloudwatch(service, protocol)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.get_dashboard(DashboardName="none")
    assert caught.value.response["Error"]["Code"] in {"ResourceNotFound", "DashboardNotFoundError"}
