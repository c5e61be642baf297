"""Which operations a script has called and had answered well."""

import os

import cbor

_called = set()


def note(client):
    """Notes what this client of boto3 calls. It speaks CBOR where the environment says so."""
    if os.environ.get("FOREBAY_TEST_ENCODING") == "cbor":
        cbor.speak(client)
    service = client.meta.service_model.service_name

    def answered(http_response, model, **_):
        if http_response.status_code == 200:
            _called.add(f"{service}:{model.name}")

    client.meta.events.register(f"after-call.{service}", answered)


def report():
    """Says so. The last line that a script prints."""
    print("called", *sorted(_called))
