"""Drives the emulator's Data API and S3 with boto3, a client that the project did not write."""

import gzip
import json
import os
import time
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

data = urlsplit(os.environ["TABLECAST_REDSHIFT_DATA"])
options = {name: values[0] for name, values in parse_qs(data.query).items()}
control = os.environ["TABLECAST_REDSHIFT_CONTROL"]
schema = f"boto_{os.getpid()}"
where = {"WorkgroupName": data.netloc, "Database": data.path.strip("/")}


def client(service, endpoint, key, secret, **more):
    config = Config(retries={"total_max_attempts": 1}, proxies={}, **more)
    return boto3.client(service, endpoint_url=endpoint, region_name=options["region"], aws_access_key_id=key,
                        aws_secret_access_key=secret, config=config)


direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
api = client("redshift-data", options["endpoint"], options["access_key"], options["secret_key"])
s3 = client("s3", options["stage_endpoint"], options["stage_key"], options["stage_secret"], s3={"addressing_style": "path"})


def done(id):
    for _ in range(200):
        told = api.describe_statement(Id=id)
        if told["Status"] not in ("SUBMITTED", "PICKED", "STARTED"):
            return told
        time.sleep(0.05)
    raise AssertionError(f"{id} does not end")


def run(sql, **more):
    told = done(api.execute_statement(Sql=sql, **{**where, **more})["Id"])
    assert told["Status"] == "FINISHED", told
    return told


def batch(*sqls, **more):
    return done(api.batch_execute_statement(Sqls=list(sqls), **{**where, **more})["Id"])


def count(table):
    return api.get_statement_result(Id=run(f"SELECT COUNT(*) FROM {schema}.{table}")["Id"])["Records"][0][0]["longValue"]


def fails(kind, part, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        said = error.response["Error"]
        assert said["Code"] == kind and part in said.get("Message", ""), said
    else:
        raise AssertionError(f"no {kind}")


def fault(**fault):
    request = urllib.request.Request(f"{control}/faults", json.dumps({"marker": schema, **fault}).encode(), method="POST")
    assert direct.open(request).status == 201


run(f"CREATE SCHEMA {schema}")
run(f"CREATE TABLE {schema}.t (id varchar(64), n bigint, x double precision, ok boolean, at timestamptz)")

# S3, signed; then COPY within a batch, which is one transaction
bucket, prefix = options["stage"].removeprefix("s3://").split("/", 1)
key = f"{prefix}/{schema}/rows.json.gz"
s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(b'{"id":"a","n":1,"x":0.1,"ok":true,"at":"2026-01-02T03:04:05Z"}\n{"id":"b"}\n'))
manifest = {"entries": [{"url": f"s3://{bucket}/{key}", "mandatory": True}]}
s3.put_object(Bucket=bucket, Key=f"{prefix}/{schema}/manifest", Body=json.dumps(manifest).encode())
assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{schema}/r")["Contents"]] == [key]
liar = client("s3", options["stage_endpoint"], options["stage_key"], "wrong", s3={"addressing_style": "path"})
fails("SignatureDoesNotMatch", "", liar.put_object, Bucket=bucket, Key="x", Body=b"")
fails("NoSuchBucket", "", s3.put_object, Bucket="nowhere", Key="x", Body=b"")
try:
    direct.open(f"{options['stage_endpoint']}/tablecast-far/x")
    raise AssertionError("not redirected")
except urllib.error.HTTPError as error:
    assert error.code == 301 and error.headers["x-amz-bucket-region"] == "eu-west-1" and b"PermanentRedirect" in error.read()
s3.put_object(Bucket="tablecast-far", Key="x", Body=b"")  # boto3 goes where it is sent
copy = (f"COPY {schema}.t FROM 's3://{bucket}/{prefix}/{schema}/manifest' IAM_ROLE '{options['iam_role']}' MANIFEST GZIP "
        "FORMAT AS JSON 'auto' TIMEFORMAT 'auto'")
told = batch(f"DELETE FROM {schema}.t", copy, f"SELECT id, n, x, ok, at FROM {schema}.t ORDER BY id")
assert told["Status"] == "FINISHED" and told["HasResultSet"], told
assert [sub["Status"] for sub in told["SubStatements"]] == ["FINISHED"] * 3
assert [sub["ResultRows"] for sub in told["SubStatements"]] == [0, 2, 2]
result = api.get_statement_result(Id=told["SubStatements"][2]["Id"])
assert result["Records"] == [
    [{"stringValue": "a"}, {"longValue": 1}, {"doubleValue": 0.1}, {"booleanValue": True}, {"stringValue": "2026-01-02 03:04:05+00"}],
    [{"stringValue": "b"}] + [{"isNull": True}] * 4,
], result["Records"]
assert [column["name"] for column in result["ColumnMetadata"]] == ["id", "n", "x", "ok", "at"]
assert result["TotalNumRows"] == 2

# pages
wide = " UNION ALL ".join(["SELECT id FROM t"] * 6)
many = run(f"WITH t AS (SELECT a.id FROM {schema}.t a, {schema}.t b, {schema}.t c, {schema}.t d, {schema}.t e, {schema}.t f, {schema}.t g, {schema}.t h) {wide}")
first = api.get_statement_result(Id=many["Id"])
assert first["TotalNumRows"] == many["ResultRows"] == 6 * 256 and len(first["Records"]) == 1000
assert len(api.get_statement_result(Id=many["Id"], NextToken=first["NextToken"])["Records"]) == 536

# a batch is all or nothing, unless it is told otherwise
told = batch(f"INSERT INTO {schema}.t (id) VALUES ('c')", "SELECT 1/0", f"INSERT INTO {schema}.t (id) VALUES ('d')")
assert told["Status"] == "FAILED" and told["Error"] == "Query #2 failed with ERROR: division by zero", told
assert [sub["Status"] for sub in told["SubStatements"]] == ["FINISHED", "FAILED", "ABORTED"]
assert count("t") == 2
told = batch(f"INSERT INTO {schema}.t (id) VALUES ('c')", "SELECT 1/0", f"INSERT INTO {schema}.t (id) VALUES ('d')", ExecutionMode="AUTO_COMMIT")
assert [sub["Status"] for sub in told["SubStatements"]] == ["FINISHED", "FAILED", "FINISHED"]
assert count("t") == 4

# the same gate as the wire's
told = batch(f"ALTER TABLE {schema}.t ALTER COLUMN id TYPE varchar(128)")
assert "cannot run inside a transaction block" in told["Error"], told
run(f"ALTER TABLE {schema}.t ALTER COLUMN id TYPE varchar(128)")
told = done(api.execute_statement(Sql="SELECT now()", **where)["Id"])
assert told["Status"] == "FAILED" and told["Error"].startswith("ERROR: rsemu:"), told
fails("ResourceNotFoundException", "does not have result", api.get_statement_result, Id=told["Id"])

# limits
fails("ValidationException", "100 KB", api.execute_statement, Sql="SELECT '" + "x" * 102_400 + "'", **where)
assert run("SELECT '" + "x" * (102_400 - 9) + "'")["ResultRows"] == 1
assert batch(*["SELECT 1"] * 40)["Status"] == "FINISHED"
fails("ValidationException", "40", api.batch_execute_statement, Sqls=["SELECT 1"] * 41, **where)

# who asks, and of what
stranger = client("redshift-data", options["endpoint"], "AKIASTRANGER", "x")
fails("UnrecognizedClientException", "security token", stranger.execute_statement, Sql="SELECT 1", **where)
fails("ValidationException", "doesn't exist in this region", api.execute_statement, Sql="SELECT 1", WorkgroupName="other", Database="dev")
fails("ValidationException", "Either", api.execute_statement, Sql="SELECT 1", Database="dev")
fails("ResourceNotFoundException", "does not exist", api.describe_statement, Id="00000000-0000-4000-8000-000000000000")
run("SELECT 1", WorkgroupName=data.netloc, SecretArn="arn:aws:secretsmanager:us-east-1:123456789012:secret:tablecast")
provisioned = {"ClusterIdentifier": "cluster", "Database": "serializable"}
for more in ({"DbUser": "tablecast"}, {"SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:tablecast"}, {}):
    assert done(api.execute_statement(Sql="SELECT 1", **provisioned, **more)["Id"])["Status"] == "FINISHED"
told = done(api.execute_statement(Sql=f"CREATE SCHEMA {schema}_x", ClusterIdentifier="cluster", Database="dev", DbUser="reader")["Id"])
assert "permission denied for database dev" in told["Error"], told

# a client token names one request
token = f"{schema}-1"
insert = {"Sql": f"INSERT INTO {schema}.t (id) VALUES ('token')", "ClientToken": token, **where}
ids = {api.execute_statement(**insert)["Id"] for _ in range(3)}
assert len(ids) == 1 and done(ids.pop())["ResultRows"] == 1 and count("t") == 5
fails("ValidationException", "token", api.execute_statement, Sql="SELECT 1", ClientToken=token, **where)

# waiting on the server's side
fault(at="run", does="delay", delay_ms=600)
begun = time.monotonic()
told = api.execute_statement(Sql=f"SELECT COUNT(*) FROM {schema}.t", WaitTimeSeconds=10, **where)
assert told["Status"] == "FINISHED" and told["HasResultSet"] and 0.5 < time.monotonic() - begun < 9, told

# cancelling
fault(at="run", does="delay", delay_ms=800)
running = api.batch_execute_statement(Sqls=[f"DELETE FROM {schema}.t"], **where)["Id"]
assert api.cancel_statement(Id=running)["Status"] is True
assert done(running)["Status"] == "ABORTED" and count("t") == 5
fails("ValidationException", "Could not cancel", api.cancel_statement, Id=running)

# faults
fault(at="ExecuteStatement", does="throttle", times=2)
for _ in range(2):
    fails("ThrottlingException", "Rate exceeded", api.execute_statement, Sql=f"SELECT 1 FROM {schema}.t", **where)
run(f"SELECT 1 FROM {schema}.t")
fault(at="BatchExecuteStatement", does="busy")
fails("ActiveStatementsExceededException", "quota", api.batch_execute_statement, Sqls=[f"SELECT 1 FROM {schema}.t"], **where)
fault(at="run", does="abort")
assert batch(f"DELETE FROM {schema}.t")["Status"] == "ABORTED" and count("t") == 5
fault(at="run", does="refuse", message="1023", detail="Serializable isolation violation on table - 1")
told = batch(f"DELETE FROM {schema}.t")
assert told["Status"] == "FAILED" and "1023\n  Detail: Serializable isolation violation" in told["Error"] and count("t") == 5, told
lost = {"Sqls": [f"DELETE FROM {schema}.t WHERE id = 'token'"], "ClientToken": f"{schema}-2", **where}
fault(at="BatchExecuteStatement", does="drop_after")
try:
    api.batch_execute_statement(**lost)
    raise AssertionError("the answer is there")
except ConnectionClosedError:
    pass
same = api.batch_execute_statement(**lost)["Id"]
fault(at="DescribeStatement", does="drop_after")
try:
    api.describe_statement(Id=same)
    raise AssertionError("the answer is there")
except ConnectionClosedError:
    pass
told = done(same)
assert told["Status"] == "FINISHED" and told["SubStatements"][0]["ResultRows"] == 1 and count("t") == 4, told

run(f"DROP SCHEMA {schema} CASCADE")
