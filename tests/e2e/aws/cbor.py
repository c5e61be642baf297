"""A client of boto3 that writes and reads CBOR 1.1 as the SDKs for Java do, by botocore's own CBOR."""

import types

from botocore import parsers, serialize
from botocore.utils import parse_timestamp, parse_to_aware_datetime

MEDIA_TYPE = "application/x-amz-cbor-1.1"


class Serializer(serialize.RpcV2CBORSerializer):
    def serialize_to_request(self, parameters, operation_model):
        request = super().serialize_to_request(parameters, operation_model)
        target = f"{operation_model.metadata['targetPrefix']}.{operation_model.name}"
        # An empty map where there are no members.
        request.update(url_path="/", body=request["body"] or b"\xa0")
        request["headers"] = {"X-Amz-Target": target, "Content-Type": MEDIA_TYPE}
        return request

    def _convert_timestamp_to_str(self, value, timestamp_format=None):
        return int(parse_to_aware_datetime(value).timestamp() * 1000)


def _of_milliseconds(value):
    return parse_timestamp(value / 1000)


def speak(client):
    """Has the client speak CBOR from now on, and check that it is answered in CBOR."""
    parser = parsers.RpcV2CBORParser(_of_milliseconds)
    client._serializer = Serializer()
    client._response_parser = parser
    client._endpoint._response_parser_factory = types.SimpleNamespace(create_parser=lambda protocol: parser)

    def answered(response_dict, **_):
        media_type = response_dict["headers"].get("Content-Type")
        assert media_type in [MEDIA_TYPE, "application/vnd.amazon.eventstream"], media_type

    client.meta.events.register("before-parse.kinesis", answered)
