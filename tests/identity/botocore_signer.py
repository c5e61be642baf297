"""Signs requests with botocore, which shares no code with the server.

Standard input is JSON: {"key_id", "secret", "time" (seconds since 1970), "requests": [{"form": "header" | "date" |
"query", "method", "url", "headers": [[name, value]], "body" (base64), "region", "service", "token" (or null),
"is_unsigned", "expires"}]}. Standard output is a list of what would be sent: {"url", "headers": [[name, value]]}.
"""

import base64
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def sign(request, key_id, secret):
    credentials = Credentials(key_id, secret, request["token"])
    aws_request = AWSRequest(
        method=request["method"], url=request["url"], data=base64.b64decode(request["body"])
    )
    for name, value in request["headers"]:
        # Adds to what is there of that name.
        aws_request.headers[name] = value
    aws_request.context["payload_signing_enabled"] = not request["is_unsigned"]
    service, region = request["service"], request["region"]
    if request["form"] == "query":
        signer = botocore.auth.SigV4QueryAuth(credentials, service, region, request["expires"])
        # Otherwise it would move the body into the query.
        body, aws_request.data = aws_request.data, b""
        signer._should_sha256_sign_payload = lambda _: True
        signer.payload = lambda _: botocore.auth.sha256(body).hexdigest()
    else:
        signer = botocore.auth.SigV4Auth(credentials, service, region)
        if request["form"] == "date":
            aws_request.headers["Date"] = "to be replaced"
    signer.add_auth(aws_request)
    return {"url": aws_request.url, "headers": [list(pair) for pair in aws_request.headers.items()]}


def main():
    work = json.load(sys.stdin)
    now = datetime.datetime.fromtimestamp(work["time"], datetime.timezone.utc).replace(tzinfo=None)
    botocore.auth.get_current_datetime = lambda *_, **__: now
    json.dump([sign(request, work["key_id"], work["secret"]) for request in work["requests"]], sys.stdout)


main()
