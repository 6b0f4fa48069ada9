"""Serves fakesnow on a free loopback port until standard input closes, as Snowflake's drivers speak to it.

Prints one NAME=VALUE line per variable that the tests need, then `ready`.
What it changes in fakesnow 0.12.1, and why, is in the README beside it.
"""

import argparse
import asyncio
import base64
import collections
import decimal
import gc
import gzip
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import uuid
import warnings
import weakref

import anyio.to_thread
import jwt
import pyarrow
import pyarrow.compute
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fakesnow.arrow import to_ipc, to_sf
from fakesnow.converter import from_binding
from fakesnow.statement_type import DML_TYPE_IDS
from fakesnow.transforms import SERVER_VERSION, stage
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import engine
import sessions
import stages
from engine import Refused
from sessions import ROLES, WAREHOUSES, Session

ACCOUNT, USER, PASSWORD = "TABLECAST", "TABLECAST", "Tablecast-1"
# One that may only read.
READER, READERS_PASSWORD = "READER", "Reader-1"
ACCESS_TOKEN, OAUTH_TOKEN = "pat-Tablecast-1", "oauth-Tablecast-1"
# Every other database is made by whoever logs in to it first.
NOWHERE = "NOWHERE"
# More rows than these come in pieces of their own.
INLINE_ROWS = 2_000
# So many answers of a session are kept for whoever asks again with the same request id.
ANSWERS = 32

numbers = itertools.count(1)
chunks = collections.OrderedDict()
masters = weakref.WeakValueDictionary()
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
options = argparse.Namespace(slow_after=45.0)


def fingerprint(public):
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def failed(code, message, state=None, query=None):
    data = {"errorCode": code, "sqlState": state, "queryId": query, "internalError": False, "age": 0}
    return {"data": data if state else None, "code": code, "message": message, "success": False, "headers": None}


def done(data):
    return {"data": data, "code": None, "message": None, "success": True}


async def read(request):
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return json.loads(body or b"{}")


# Logging in


def who(data):
    """The user that a login proves to be, or why it does not."""
    user = (data.get("LOGIN_NAME") or "").upper()
    kind = (data.get("AUTHENTICATOR") or "SNOWFLAKE").upper()
    token = data.get("TOKEN")
    if kind == "SNOWFLAKE_JWT":
        account = data["ACCOUNT_NAME"].split(".")[0].upper()
        try:
            claims = jwt.decode(token, key.public_key(), ["RS256"], options={"require": ["iss", "sub", "iat", "exp"]})
        except jwt.PyJWTError as error:
            raise Refused(390144, "08001", f"JWT token is invalid. [{type(error).__name__}]") from None
        subject = f"{account}.{user}"
        right = claims["sub"] == subject and claims["iss"] == f"{subject}.{fingerprint(key.public_key())}"
        if not right or user != USER:
            raise Refused(390144, "08001", "JWT token is invalid. [claims]")
        return user
    known = {
        ("SNOWFLAKE", USER): PASSWORD,
        ("SNOWFLAKE", READER): READERS_PASSWORD,
        ("PROGRAMMATIC_ACCESS_TOKEN", USER): ACCESS_TOKEN,
        ("OAUTH", USER): OAUTH_TOKEN,
    }
    given = token if kind in {"OAUTH", "PROGRAMMATIC_ACCESS_TOKEN"} else data.get("PASSWORD")
    if given is None or known.get((kind, user)) != given:
        code = {"OAUTH": 390303, "PROGRAMMATIC_ACCESS_TOKEN": 390400}.get(kind, 390100)
        words = {
            390303: "Invalid OAuth access token.",
            390400: "Programmatic access token is invalid.",
            390100: "Incorrect username or password was specified.",
        }
        raise Refused(code, "08001", words[code])
    return user


def log_in(query, data):
    user = who(data)
    role = (query.get("roleName") or user).upper()
    if role not in ROLES or role == READER != user:
        raise Refused(
            390189,
            "08001",
            f"Role '{role}' specified in the connect string does not exist or not authorized. "
            "Contact your local system administrator, or attempt to login with another role, e.g. PUBLIC.",
        )
    # A warehouse or a database that is not there is no reason to refuse: the session is without it.
    warehouse = (query.get("warehouse") or "").upper()
    name = (query.get("databaseName") or "").strip('"').upper()
    name = None if name == NOWHERE else name
    if str((data.get("SESSION_PARAMETERS") or {}).get("CLIENT_VALIDATE_DEFAULT_PARAMETERS")).upper() == "TRUE":
        missing = "database" if name is None else "warehouse" if warehouse not in WAREHOUSES else None
        if missing and query.get("databaseName" if name is None else "warehouse"):
            raise Refused(390201, "08001", f"The requested {missing} does not exist or not authorized.")
    arrow = "python" in str(data.get("CLIENT_APP_ID")).lower()
    session = Session(next(numbers), user, name, role, warehouse if warehouse in WAREHOUSES else None, arrow)
    for parameter, value in (data.get("SESSION_PARAMETERS") or {}).items():
        session.set_parameter(parameter.upper(), str(value))
    return tokens(session) | {
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14400,
        "displayUserName": user,
        "serverVersion": SERVER_VERSION,
        "firstLogin": False,
        "remMeToken": None,
        "healthCheckInterval": 45,
        "sessionId": session.number,
        "parameters": [
            {"name": "AUTOCOMMIT", "value": True},
            {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
            {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},
        ],
        "sessionInfo": {
            "databaseName": name,
            "schemaName": None,
            "warehouseName": session.warehouse,
            "roleName": session.role,
        },
        "idToken": None,
    }


def tokens(session):
    token, master = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    sessions.sessions[token], masters[master] = session, session
    return {"token": token, "masterToken": master}


def token_of(request):
    given = re.fullmatch(r'Snowflake Token="([^"]*)"', request.headers.get("authorization", ""))
    return given[1] if given else ""


async def login(request):
    body = await read(request)
    account = str(body["data"].get("ACCOUNT_NAME")).split(".")[0].upper()
    if account != ACCOUNT:
        # There is no such address.
        return Response("<html><body>404 Not Found</body></html>", status_code=404, media_type="text/html")
    try:
        return JSONResponse(done(await anyio.to_thread.run_sync(log_in, dict(request.query_params), body["data"])))
    except Refused as error:
        return JSONResponse(failed(error.code, error.message))


def of(request):
    """The session of a request, or the answer that there is none."""
    session = sessions.sessions.get(token_of(request))
    gone = failed("390104", "User must login again to access the service.")
    return session, None if session else JSONResponse(gone)


async def renew(request):
    # Whoever did not hear the answer asks again by the same token.
    session = masters.get(token_of(request))
    if session is None or session not in sessions.sessions.values():
        return JSONResponse(failed("390114", "Authentication token has expired.  The user must authenticate again."))
    for token in [token for token, other in sessions.sessions.items() if other is session]:
        del sessions.sessions[token]
    new = tokens(session)
    return JSONResponse(
        done(
            {
                "sessionToken": new["token"],
                "validityInSecondsST": 3600,
                "masterToken": new["masterToken"],
                "validityInSecondsMT": 14400,
                "sessionId": session.number,
            }
        )
    )


async def session_itself(request):
    session, gone = of(request)
    if gone:
        return gone
    if request.query_params.get("delete"):
        sessions.sessions.pop(token_of(request), None)
        await anyio.to_thread.run_sync(session.close)
    return JSONResponse(done(None))


# Queries


def bound(bindings):
    """The values of `?`: one row of them, or several."""
    if not bindings:
        return None, None

    def value(kind, text):
        if text is None:
            return None
        if kind == "FIXED":
            return decimal.Decimal(text) if "." in text else int(text)
        return from_binding({"type": kind, "value": text})

    order = [bindings[str(at)] for at in range(1, len(bindings) + 1)]
    if any(isinstance(one["value"], list) for one in order):
        return None, list(zip(*[[value(one["type"], text) for text in one["value"]] for one in order], strict=True))
    return [value(one["type"], one["value"]) for one in order], None


def cells(column, kind):
    """A column as the text of a JSON result."""
    if pyarrow.types.is_timestamp(column.type):
        micros = column.cast(pyarrow.timestamp("us", column.type.tz)).cast(pyarrow.int64()).to_pylist()
        zone = " 1440" if column.type.tz else ""

        def text(value):
            sign, value = "-" if value < 0 else "", abs(value)
            return f"{sign}{value // 10**6}.{value % 10**6:06d}000{zone}"

    elif kind == "date":
        micros = column.cast(pyarrow.int32()).to_pylist()
        text = str
    elif kind == "time":
        micros = column.cast(pyarrow.int64()).to_pylist()

        def text(value):
            return f"{value // 10**6}.{value % 10**6:06d}000"

    else:
        micros = column.to_pylist()

        def text(value):
            if isinstance(value, bool):
                return "1" if value else "0"
            if isinstance(value, bytes):
                return value.hex().upper()
            if isinstance(value, decimal.Decimal):
                return format(value, "f")
            return str(value)

    return [None if value is None else text(value) for value in micros]


def rows_of(answer):
    if answer.table is None:
        return answer.rows
    columns = [cells(column, kind["type"]) for column, kind in zip(answer.table.columns, answer.rowtype, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def result(session, answer, netloc):
    if answer.put:
        return answer.put
    data = {
        "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
        "rowtype": answer.rowtype,
        "queryId": answer.query,
        "sqlState": "00000",
        "statementTypeId": answer.kind,
        "version": 1,
        "finalDatabaseName": session.conn.database,
        "finalSchemaName": session.conn.schema,
        "finalWarehouseName": session.warehouse,
        "finalRoleName": session.role,
        "numberOfBinds": 0,
        "arrayBindSupported": False,
    }
    if session.arrow and answer.table is not None and answer.kind not in DML_TYPE_IDS:
        count = answer.table.num_rows
        encoded = base64.b64encode(to_ipc(to_sf(answer.table, answer.rowtype))).decode() if count else ""
        return data | {"queryResultFormat": "arrow", "rowsetBase64": encoded, "total": count, "returned": count}
    rows = rows_of(answer)
    data |= {"queryResultFormat": "json", "total": len(rows), "returned": len(rows)}
    if len(rows) <= INLINE_ROWS:
        return data | {"rowset": rows}
    pieces = []
    for start in range(INLINE_ROWS, len(rows), 4 * INLINE_ROWS):
        piece = rows[start : start + 4 * INLINE_ROWS]
        # A piece has no brackets around it.
        text = json.dumps(piece)[1:-1].encode()
        packed = gzip.compress(text, 1)
        name = secrets.token_hex(8)
        chunks[name] = packed
        while len(chunks) > 100:
            chunks.popitem(last=False)
        pieces.append(
            {
                "url": f"http://{netloc}/chunk/{name}",
                "rowCount": len(piece),
                "uncompressedSize": len(text),
                "compressedSize": len(packed),
            }
        )
    return data | {"rowset": rows[:INLINE_ROWS], "chunks": pieces, "chunkHeaders": {"x-tablecast-chunk": "1"}}


def run(session, body, netloc):
    query = str(uuid.uuid4())
    try:
        params, batch = bound(body.get("bindings"))
        text = body["sqlText"]
        if batch is None:
            return done(result(session, session.run(text, params, netloc), netloc))
        for row in batch:
            answer = session.run(text, list(row), netloc)
        answer.table, answer.rows = None, [[str(len(batch))]]
        return done(result(session, answer, netloc))
    except Refused as error:
        return failed(error.code, error.message, error.state, query)


async def wait(session, name):
    """The answer of a statement; or, after a while, where to ask for it again."""
    task = session.running.get(name)
    if task is None:
        return JSONResponse(failed("000709", "Statement not found", "02000", name))
    finished, _ = await asyncio.wait([task], timeout=options.slow_after)
    if finished:
        return JSONResponse(task.result())
    data = {"queryId": name, "getResultUrl": f"/queries/{name}/result", "queryAbortsAfterSecs": 300}
    words = "Query execution in progress."
    return JSONResponse({"data": data, "code": "333334", "message": words, "success": True})


async def query(request):
    session, gone = of(request)
    if gone:
        return gone
    body = await read(request)
    # A statement that is asked for again by the same id is not run again.
    asked = request.query_params.get("requestId") or str(uuid.uuid4())
    name = session.answers.get(asked)
    if name is None:
        name = session.answers[asked] = str(uuid.uuid4())
        job = anyio.to_thread.run_sync(run, session, body, request.url.netloc, abandon_on_cancel=False)
        session.running[name] = asyncio.ensure_future(job)
        while len(session.answers) > ANSWERS:
            session.running.pop(session.answers.popitem(last=False)[1], None)
    return await wait(session, name)


async def poll(request):
    session, gone = of(request)
    return gone or await wait(session, request.path_params["query"])


async def abort(request):
    session, gone = of(request)
    if gone:
        return gone
    body = await read(request)
    name = session.answers.get(body.get("requestId"))
    task = name and session.running.get(name)
    if task is None or task.done():
        return JSONResponse(failed("000605", "Identified SQL statement is not currently executing.", "02000", name))
    session.cancel()
    return JSONResponse(done(None))


async def upload(request):
    body = await request.body()
    path = request.scope["raw_path"].decode().split("/", 3)[3]
    headers = dict(request.headers)
    status = await anyio.to_thread.run_sync(stages.upload, request.path_params["nonce"], path, headers, body)
    return Response(status_code=status)


async def chunk(request):
    packed = chunks.get(request.path_params["name"])
    if packed is None or request.headers.get("x-tablecast-chunk") != "1":
        return Response(status_code=403)
    return Response(packed, headers={"content-encoding": "gzip"}, media_type="application/json")


async def monitored(request):
    session, gone = of(request)
    task = session and session.running.get(request.path_params["query"])
    states = [{"status": "SUCCESS" if task.done() else "RUNNING"}] if task else []
    return gone or JSONResponse(done({"queries": states}))


async def nothing(request):
    return JSONResponse(done(None))


routes = [
    Route("/session/v1/login-request", login, methods=["POST"]),
    Route("/session/token-request", renew, methods=["POST"]),
    Route("//session/token-request", renew, methods=["POST"]),
    Route("/session", session_itself, methods=["POST"]),
    Route("/session/heartbeat", session_itself, methods=["POST"]),
    Route("/queries/v1/query-request", query, methods=["POST"]),
    Route("/queries/v1/abort-request", abort, methods=["POST"]),
    Route("/queries/{query}/result", poll, methods=["GET"]),
    Route("/monitoring/queries/{query}", monitored, methods=["GET"]),
    Route("/stage/{nonce}/{path:path}", upload, methods=["PUT"]),
    Route("/chunk/{name}", chunk, methods=["GET"]),
    Route("/telemetry/send", nothing, methods=["POST"]),
]


class Announced(uvicorn.Server):
    """Says where it listens as soon as it does."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        # A statement that waits for a lock waits in a thread.
        anyio.to_thread.current_default_thread_limiter().total_tokens = 200
        port = sockets[0].getsockname()[1]
        here = f"warehouse={USER}&host=127.0.0.1&port={port}&protocol=http"
        print(f"TABLECAST_SNOWFLAKE=snowflake://{USER}@{ACCOUNT}/TEST?{here}&password={PASSWORD}")
        print(f"TABLECAST_SNOWFLAKE_KEY={options.key}")
        print(f"TABLECAST_SNOWFLAKE_PYTHON={sys.executable}")
        print("ready", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument(
        "--slow-after", type=float, default=45.0, help="seconds until a statement is to be asked for again"
    )
    arguments.add_argument(
        "--idle-after", type=float, default=15.0, help="seconds until an idle transaction is ended that is in the way"
    )
    arguments.parse_args(namespace=options)
    sessions.patience["idle"] = options.idle_after
    data = tempfile.mkdtemp(prefix="tablecast-snowflake-")
    options.key = os.path.join(data, "key.p8")
    with open(options.key, "wb") as file:
        kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write(key.private_bytes(*kind))
    # Trees of syntax come and go; looking for cycles among them all the time takes a tenth of it.
    gc.set_threshold(100_000, 50, 50)
    engine.patch()
    # The engine has no transient tables; a result is copied once more than it need be.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    # With another protocol number every answer would wait for the one before to be acknowledged.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = Announced(uvicorn.Config(Starlette(routes=routes), log_level="warning", access_log=False))

    def until_closed():
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=until_closed, daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(stage.LOCAL_BUCKET_PATH, ignore_errors=True)
        # Statements that still wait must not keep the process.
        os._exit(0)


main()
