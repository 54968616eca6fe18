"""Signs requests by botocore, for s3.py. Runs under Debian's Python, which has it (python3-botocore).

stdin: a JSON list of {method, url, headers, access, secret, token, region, payload, time};
stdout: a list of [Authorization, query of the presigned URL], by botocore's S3SigV4Auth and S3SigV4QueryAuth.
"""
import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

real = datetime.datetime


def at(seconds):
    """botocore asks the module for the time; both classes read it in add_auth()."""
    class Fixed(real):
        @classmethod
        def utcnow(cls):
            return real.utcfromtimestamp(seconds)

    botocore.auth.datetime.datetime = Fixed


class Header(botocore.auth.S3SigV4Auth):
    def __init__(self, *args, payload):
        super().__init__(*args)
        self.fixed = payload

    def payload(self, request):
        return self.fixed


out = []
for c in json.load(sys.stdin):
    at(c["time"])
    keys = Credentials(c["access"], c["secret"], c["token"])
    header = AWSRequest(method=c["method"], url=c["url"], headers=dict(c["headers"]))
    header.context["client_config"] = None
    Header(keys, "s3", c["region"], payload=c["payload"]).add_auth(header)
    query = AWSRequest(method=c["method"], url=c["url"], headers=dict(c["headers"]))
    botocore.auth.S3SigV4QueryAuth(keys, "s3", c["region"], expires=3600).add_auth(query)
    out.append([header.headers["Authorization"], query.url.partition("?")[2], header.headers.items()])
json.dump(out, sys.stdout)
