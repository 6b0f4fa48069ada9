"""Stages: PUT with and without the client's encryption, LIST, REMOVE, and the uploads themselves."""

import base64
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
import uuid
from urllib.parse import quote, unquote

from fakesnow.transforms import stage
from snowflake.connector.constants import EncryptionMetadata
from snowflake.connector.encryption_util import SnowflakeEncryptionUtil
from snowflake.connector.storage_client import SnowflakeFileEncryptionMaterial

from engine import ABSENT, Refused

NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
PLACE = rf"@(?P<name>{NAME}(?:\.{NAME}){{0,2}})(?P<path>/[^\s']*)?"
QUOTED = rf"(?:'{PLACE}'|{PLACE.replace('<name>', '<name2>').replace('<path>', '<path2>')})"
PUT = re.compile(
    rf"\s*PUT\s+(?:'(?P<file>(?:[^']|'')*)'|(?P<file2>\S+))\s+{QUOTED}\s*(?P<options>.*?);?\s*", re.I | re.S
)
LIST = re.compile(rf"\s*(?:LIST|LS)\s+{QUOTED}(?:\s+PATTERN\s*=\s*'(?P<pattern>(?:[^']|'')*)')?\s*;?\s*", re.I)
REMOVE = re.compile(rf"\s*(?:REMOVE|RM)\s+{QUOTED}(?:\s+PATTERN\s*=\s*'(?P<pattern>(?:[^']|'')*)')?\s*;?\s*", re.I)
DROP = re.compile(rf"\s*DROP\s+STAGE\s+(?P<exists>IF\s+EXISTS\s+)?(?P<name>{NAME}(?:\.{NAME}){{0,2}})\s*;?\s*", re.I)
SERVER_SIDE = re.compile(r"ENCRYPTION\s*=\s*\(\s*TYPE\s*=\s*'SNOWFLAKE_SSE'\s*\)", re.I)
LONGEST_PATH = 1024
STAGES = "FROM _fs_global._fs_information_schema._fs_stages WHERE database_name = ? AND schema_name = ? AND name = ?"

# More than fits a float.
SMK_ID = 2**53 + 1
# What has to be uploaded yet, by the path of its URL: the key to decrypt it, if there is one.
expected = {}


def parts(name, conn):
    """Database, schema and name of a stage or a table."""
    found = [part[1:-1].replace('""', '"') if part[0] == '"' else part.upper() for part in re.findall(NAME, name)]
    found = [conn.database, conn.schema][: 3 - len(found)] + found
    if None in found:
        raise Refused(
            90106, "22000", "This session does not have a current schema. Call 'USE SCHEMA', or use a qualified name."
        )
    return found


def place(match, conn):
    groups = match.groupdict()
    name = groups.get("name") or groups.get("name2")
    path = groups.get("path") or groups.get("path2") or ""
    found = parts(name, conn)
    if not conn._duck_conn.cursor().execute(f"SELECT 1 {STAGES}", found).fetchone():
        raise Refused(2003, "02000", f"SQL compilation error: Stage '{'.'.join(found)}' {ABSENT}")
    return found, path.removeprefix("/")


def put(match, session, netloc):
    """Where to upload a file, as GCS presigned URLs: the only ones that need no cloud."""
    found, path = place(match, session.conn)
    options = dict(re.findall(r"(\w+)\s*=\s*(\w+)", match["options"].upper()))
    name = os.path.basename((match["file"] or match["file2"]).removeprefix("file://"))
    if options.get("AUTO_COMPRESS", "TRUE") == "TRUE" and not name.endswith(".gz"):
        name += ".gz"
    target = "/".join([*found, *filter(None, [path.rstrip("/")]), name])
    if len(target) > LONGEST_PATH or ".." in target.split("/"):
        raise Refused(1044, "42601", "SQL compilation error: the path of the file is not allowed")
    query = str(uuid.uuid4())
    key = session.database.keys.get(tuple(found[1:]))
    material = key and {"queryStageMasterKey": key, "queryId": query, "smkId": SMK_ID}
    # The official driver asks for the address again, with the name that the file has in the end.
    asked = session.database.asked
    asked.add(query)
    nonce = secrets.token_hex(8)
    expected[nonce] = (target, material, asked)
    return {
        "command": "UPLOAD",
        "src_locations": ["/" + (match["file"] or match["file2"]).removeprefix("file://").lstrip("/")],
        "parallel": int(options.get("PARALLEL", 4)),
        "threshold": 209715200,
        "autoCompress": options.get("AUTO_COMPRESS", "TRUE") == "TRUE",
        "sourceCompression": options.get("SOURCE_COMPRESSION", "auto_detect").lower(),
        "overwrite": options.get("OVERWRITE", "FALSE") == "TRUE",
        "clientShowEncryptionParameter": True,
        "queryId": query,
        "encryptionMaterial": material,
        "stageInfo": {
            "locationType": "GCS",
            "location": "/".join([*found, path.rstrip("/")]).rstrip("/") + "/",
            "path": f"{path.rstrip('/')}/" if path else "",
            "region": "LOCAL",
            "storageAccount": None,
            "endPoint": None,
            "creds": {},
            "presignedUrl": f"http://{netloc}/stage/{nonce}/{quote(target)}",
            "isClientSideEncrypted": key is not None,
        },
    }


def decrypted(body, headers, material, asked):
    """What the client encrypted, by the official driver's own code."""
    data = json.loads(headers["x-goog-meta-encryptiondata"])
    metadata = EncryptionMetadata(
        data["WrappedContentKey"]["EncryptedKey"],
        data["ContentEncryptionIV"],
        headers["x-goog-meta-matdesc"],
    )
    description = json.loads(metadata.matdesc)
    if description["queryId"] not in asked or description["smkId"] != str(SMK_ID):
        raise ValueError("another key's description")
    given = SnowflakeFileEncryptionMaterial(material["queryStageMasterKey"], material["queryId"], material["smkId"])
    plain = io.BytesIO()
    SnowflakeEncryptionUtil.decrypt_stream(metadata, given, io.BytesIO(body), plain)
    return plain.getvalue()


def upload(nonce, path, headers, body):
    """Takes a file; the HTTP status."""
    target, material, asked = expected.get(nonce, (None, None, None))
    if target is None or target != unquote(path):
        return 403
    if headers.get("content-encoding") == "gzip":
        return 400
    plain = body
    if material:
        try:
            plain = decrypted(body, headers, material, asked)
        except (KeyError, ValueError) as error:
            print(f"an upload that cannot be decrypted: {error!r}", file=sys.stderr)
            return 400
    elif "x-goog-meta-encryptiondata" in headers:
        return 400
    digest = headers.get("x-goog-meta-sfc-digest")
    if digest and digest != base64.b64encode(hashlib.sha256(plain).digest()).decode():
        return 400
    file = os.path.join(stage.LOCAL_BUCKET_PATH, target)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    # Whoever reads meanwhile has the old file or the new one.
    with tempfile.NamedTemporaryFile(dir=stage.LOCAL_BUCKET_PATH, delete=False) as whole:
        whole.write(plain)
    os.replace(whole.name, file)
    return 200


def files(match, conn):
    """Files below a place: names as they are listed, and where they are."""
    found, path = place(match, conn)
    root = os.path.join(stage.LOCAL_BUCKET_PATH, *found)
    pattern = match["pattern"] and re.compile(match["pattern"].replace("''", "'"))
    for folder, _, names in os.walk(root):
        for name in names:
            file = os.path.join(folder, name)
            inside = os.path.relpath(file, root)
            listed = f"{found[2].lower()}/{inside}"
            if inside.startswith(path) and (not pattern or pattern.fullmatch(listed)):
                yield listed, file


def listing(match, conn):
    rows = []
    for listed, file in sorted(files(match, conn)):
        stat = os.stat(file)
        with open(file, "rb") as whole:
            digest = hashlib.md5(whole.read()).hexdigest()
        modified = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(stat.st_mtime))
        rows.append([listed, str(stat.st_size), digest, modified])
    return ["name", "size", "md5", "last_modified"], rows


def remove(match, conn):
    rows = []
    for listed, file in sorted(files(match, conn)):
        os.remove(file)
        rows.append([listed, "removed"])
    return ["name", "result"], rows


def drop(match, session):
    found = parts(match["name"], session.conn)
    (count,) = session.conn._duck_conn.execute(f"DELETE {STAGES}", found).fetchone()
    if not count and not match["exists"]:
        raise Refused(2003, "02000", f"SQL compilation error: Stage '{'.'.join(found)}' {ABSENT}")
    session.database.keys.pop(tuple(found[1:]), None)
    shutil.rmtree(os.path.join(stage.LOCAL_BUCKET_PATH, *found), ignore_errors=True)
    return ["status"], [[f"{found[2]} successfully dropped."]]


def created(text, tree, session):
    """A new stage has a key, unless its files are encrypted by the server."""
    given = [tree.this.args.get("db"), tree.this.this]
    schema, name = [part and (part.this if part.quoted else part.this.upper()) for part in given]
    place = (schema or session.conn.schema, name)
    if SERVER_SIDE.search(text):
        session.database.keys.setdefault(place, None)
    else:
        session.database.keys.setdefault(place, base64.b64encode(secrets.token_bytes(16)).decode())
