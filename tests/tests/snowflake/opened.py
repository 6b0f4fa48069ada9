"""Opens an uploaded file as the official driver does: decrypts it, checks the digest, reads the Parquet.

Usage: opened.py FILE with a JSON object on standard input: headers of the upload, and the key if there is one.
"""

import base64
import hashlib
import io
import json
import os
import sys

import pyarrow.parquet
from snowflake.connector.constants import EncryptionMetadata
from snowflake.connector.encryption_util import SnowflakeEncryptionUtil
from snowflake.connector.storage_client import SnowflakeFileEncryptionMaterial

with open(sys.argv[1], "rb") as file:
    body = file.read()
given = json.load(sys.stdin)
headers, material = given["headers"], given["material"]
# As the driver's clients for S3, Azure and GCS read them.
if "x-amz-meta-sfc-digest" in headers:
    digest = headers["x-amz-meta-sfc-digest"]
    metadata = material and EncryptionMetadata(
        headers["x-amz-meta-x-amz-key"], headers["x-amz-meta-x-amz-iv"], headers["x-amz-meta-x-amz-matdesc"]
    )
else:
    prefix = "x-ms-meta-" if "x-ms-meta-sfcdigest" in headers else "x-goog-meta-"
    digest = headers.get(prefix + "sfcdigest") or headers[prefix + "sfc-digest"]
    data = material and json.loads(headers[prefix + "encryptiondata"])
    metadata = material and EncryptionMetadata(
        data["WrappedContentKey"]["EncryptedKey"], data["ContentEncryptionIV"], headers[prefix + "matdesc"]
    )
plain = body
if material:
    key = SnowflakeFileEncryptionMaterial(material["queryStageMasterKey"], material["queryId"], material["smkId"])
    out = io.BytesIO()
    SnowflakeEncryptionUtil.decrypt_stream(metadata, key, io.BytesIO(body), out)
    plain = out.getvalue()
    described = json.loads(metadata.matdesc)
    size = str(8 * len(base64.b64decode(material["queryStageMasterKey"])))
    assert described == {"queryId": material["queryId"], "smkId": str(material["smkId"]), "keySize": size}, described
assert digest == base64.b64encode(hashlib.sha256(plain).digest()).decode(), "another digest"
table = pyarrow.parquet.ParquetFile(io.BytesIO(plain)).read(use_threads=False)
print(json.dumps({"columns": table.column_names, "rows": table.to_pylist()}, default=str), flush=True)
# The library's threads may break down when the interpreter is taken down around them.
os._exit(0)
