"""What a bucket holds, by botocore: for tests that do not ask our own client. Runs under Debian's Python (python3-botocore).

argv: "make" or "look"; stdin: JSON {url, bucket, access, secret}; stdout, of look: {"objects": {key: [bytes, sha256]}, "uploads": [[key, id]]}:
every byte of every object is fetched, every page turned.
"""
import hashlib
import json
import sys

import botocore.config
import botocore.session

want = json.load(sys.stdin)
s3 = botocore.session.get_session().create_client(
    "s3", endpoint_url=want["url"], region_name="us-east-1", aws_access_key_id=want["access"],
    aws_secret_access_key=want["secret"],
    config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}, read_timeout=60,
                                  retries={"max_attempts": 0}))
bucket = want["bucket"]


def fetched(key):
    sha, n = hashlib.sha256(), 0
    for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
        sha.update(piece)
        n += len(piece)
    return [n, sha.hexdigest()]


if sys.argv[1] == "make":
    s3.create_bucket(Bucket=bucket)
else:
    keys = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for o in page.get("Contents", ())]
    uploads = [[u["Key"], u["UploadId"]] for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
               for u in page.get("Uploads") or ()]
    json.dump({"objects": {k: fetched(k) for k in keys}, "uploads": uploads}, sys.stdout)
