"""Drives the emulator with Snowflake's own connector: what the launcher promises, seen from the outside.

Usage: drive.py HOST PORT PASSWORD KEY
"""

import os
import sys
import tempfile
import threading
import time
import uuid

import pyarrow
import pyarrow.parquet
import snowflake.connector
from snowflake.connector.errors import DatabaseError, ProgrammingError

host, port, password, key = sys.argv[1:]
DATABASE = f"DRIVEN_{uuid.uuid4().hex}".upper()


def connect(**given):
    settings = {
        "user": "TABLECAST",
        "account": "TABLECAST",
        "host": host,
        "port": int(port),
        "protocol": "http",
        "database": DATABASE,
        "warehouse": "TABLECAST",
        "login_timeout": 10,
        "network_timeout": 60,
        "session_parameters": {"QUERY_TAG": "tablecast"},
    }
    if not given.keys() & {"private_key_file", "authenticator", "token"}:
        settings["password"] = password
    return snowflake.connector.connect(**(settings | given))


def rows(connection, sql, *values):
    return connection.cursor().execute(sql, *values).fetchall()


def refused(code, work, kind=ProgrammingError):
    try:
        work()
    except kind as error:
        assert error.errno == code, f"{error.errno} instead of {code}: {error}"
        return
    raise AssertionError(f"nothing was refused, {code} was expected")


def stage_and_copy(one, encryption):
    stage = f"STAGE_{uuid.uuid4().hex}"
    rows(one, f"CREATE STAGE IF NOT EXISTS S.{stage} {encryption}")
    table = pyarrow.table(
        {
            "K": ["a", "b", None],
            "C0": pyarrow.array([2**60, None, -1], pyarrow.decimal128(38, 0)),
            "C1": pyarrow.array([0, -62135596800000000, 253402300799999999], pyarrow.timestamp("us", "UTC")),
            "C2": [1.5, None, 1e300],
            "C3": [True, False, None],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "part.parquet")
        pyarrow.parquet.write_table(table, file, compression="zstd")
        rows(one, f"PUT file://{file} @S.{stage}/a/b AUTO_COMPRESS=FALSE OVERWRITE=TRUE")
    assert [row[0] for row in rows(one, f"LIST @S.{stage}/a")] == [f"{stage.lower()}/a/b/part.parquet"]
    assert rows(one, f"LIST @S.{stage}/c") == []
    rows(
        one, "CREATE OR REPLACE TRANSIENT TABLE S.T (K VARCHAR, C0 NUMBER(38,0), C1 TIMESTAMP_TZ, C2 FLOAT, C3 BOOLEAN)"
    )
    copy = f"COPY INTO S.T (K, C0, C1, C2, C3) FROM (SELECT $1:K::VARCHAR, $1:C0::NUMBER(38,0), $1:C1::TIMESTAMP_TZ, $1:C2::FLOAT, $1:C3::BOOLEAN FROM @S.{stage}/a/) FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) ON_ERROR = ABORT_STATEMENT"
    loaded = rows(one, copy)
    assert [row[1] for row in loaded] == ["LOADED"], loaded
    read = rows(one, "SELECT K, C0, C2, C3 FROM S.T ORDER BY K NULLS LAST")
    assert read == [("a", 2**60, 1.5, True), ("b", None, None, False), (None, -1, 1e300, None)], read
    assert rows(one, "SELECT COUNT(*) FROM S.T WHERE C1 < '1970-01-01T00:00:00Z'") == [(1,)]
    assert [row[1] for row in rows(one, copy)] == ["LOAD_SKIPPED"]
    assert rows(one, f"REMOVE @S.{stage}/a/") == [(f"{stage.lower()}/a/b/part.parquet", "removed")]
    assert rows(one, f"LIST @S.{stage}") == []
    rows(one, f"DROP STAGE S.{stage}")
    refused(2003, lambda: rows(one, f"LIST @S.{stage}"))


def transactions(one, two):
    rows(one, "CREATE TABLE S.L (V NUMBER(38,0), W VARCHAR)")
    rows(one, "INSERT INTO S.L VALUES (0, 'x')")
    # What failed is undone alone, and the transaction goes on.
    rows(one, "BEGIN")
    rows(one, "UPDATE S.L SET V = V + 1")
    refused(2003, lambda: rows(one, "INSERT INTO S.NOBODY VALUES (1)"))
    refused(100038, lambda: rows(one, "INSERT INTO S.L SELECT W, W FROM S.L"))
    assert rows(two, "SELECT V FROM S.L") == [(0,)]
    # Another change waits, and then sees what was written.
    waited = []

    def change():
        rows(two, "BEGIN TRANSACTION")
        waited.append(two.cursor().execute("UPDATE S.L SET V = V + 10 WHERE V = 1").rowcount)
        rows(two, "COMMIT")

    other = threading.Thread(target=change)
    other.start()
    time.sleep(0.5)
    assert waited == []
    rows(one, "COMMIT")
    other.join()
    assert waited == [1]
    assert rows(one, "SELECT V FROM S.L") == [(11,)]
    # As long as LOCK_TIMEOUT says.
    rows(one, "BEGIN")
    rows(one, "UPDATE S.L SET V = 1")
    rows(two, "ALTER SESSION SET LOCK_TIMEOUT = 1")
    refused(625, lambda: rows(two, "DELETE FROM S.L"))
    rows(two, "ALTER SESSION UNSET LOCK_TIMEOUT")
    # A change of the schema commits what was open.
    rows(one, "CREATE TABLE S.M (A NUMBER)")
    rows(one, "ROLLBACK")
    assert rows(two, "SELECT V FROM S.L") == [(1,)]
    # Rolled back is rolled back; MERGE is a statement like others.
    rows(one, "BEGIN")
    merge = "MERGE INTO S.L USING (SELECT 1 AS V, 'm' AS W UNION ALL SELECT 2, 'n') s ON S.L.V = s.V WHEN MATCHED THEN UPDATE SET W = s.W WHEN NOT MATCHED THEN INSERT (V, W) VALUES (s.V, s.W)"
    assert rows(one, merge) == [(1, 1)]
    rows(one, "INSERT INTO S.M SELECT V FROM S.L")
    # Another's column does not disturb it.
    rows(two, "CREATE TABLE IF NOT EXISTS S.N (A NUMBER)")
    rows(two, "ALTER TABLE S.N ADD COLUMN IF NOT EXISTS X FLOAT")
    rows(one, "INSERT INTO S.N SELECT V, 1.5 FROM S.L")
    assert rows(one, "SELECT COUNT(*) FROM S.M") == [(2,)]
    rows(one, "ROLLBACK")
    assert rows(one, "SELECT COUNT(*) FROM S.M") == [(0,)]
    # Who left with a lock loses it.
    rows(one, "BEGIN")
    rows(one, "UPDATE S.L SET V = 100")
    rows(two, "UPDATE S.L SET V = 200")
    refused(90112, lambda: rows(one, "UPDATE S.L SET V = 300"), DatabaseError)
    rows(one, "ROLLBACK")
    assert rows(one, "SELECT V FROM S.L") == [(200,)]
    # Two insert side by side.
    rows(one, "BEGIN")
    rows(two, "BEGIN")
    rows(one, "INSERT INTO S.M VALUES (1)")
    rows(two, "INSERT INTO S.M VALUES (2)")
    rows(one, "COMMIT")
    rows(two, "COMMIT")
    assert rows(one, "SELECT COUNT(*) FROM S.M") == [(2,)]


def schema(one):
    rows(
        one,
        'CREATE TABLE IF NOT EXISTS S.NAMES (mixed NUMBER(38,0), other FLOAT, "select" VARCHAR, D NUMBER(29,0), T TIMESTAMP_TZ)',
    )
    rows(one, "ALTER TABLE S.NAMES ADD COLUMN IF NOT EXISTS ADDED NUMBER(38,0)")
    rows(one, "ALTER TABLE S.NAMES ADD COLUMN IF NOT EXISTS ADDED NUMBER(38,0)")
    refused(1430, lambda: rows(one, "ALTER TABLE S.NAMES ADD COLUMN ADDED FLOAT"))
    refused(2002, lambda: rows(one, "CREATE TABLE S.NAMES (A NUMBER)"))
    refused(904, lambda: rows(one, "SELECT NOBODY FROM S.NAMES"))
    refused(1003, lambda: rows(one, "SELEC 1 FROM"))
    refused(1003, lambda: rows(one, f"CREATE TABLE S.{'A' * 256} (A NUMBER)"))
    rows(one, f"CREATE TABLE S.{'A' * 255} (A NUMBER)")
    refused(1, lambda: rows(one, f"SELECT '{'x' * 1_000_000}'"))
    named = rows(
        one,
        "SELECT COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'S' AND TABLE_NAME = 'NAMES' ORDER BY ORDINAL_POSITION",
    )
    assert named == [
        ("MIXED", "NUMBER", 38, 0),
        ("OTHER", "FLOAT", None, None),
        ("select", "TEXT", None, None),
        ("D", "NUMBER", 29, 0),
        ("T", "TIMESTAMP_TZ", None, None),
        ("ADDED", "NUMBER", 38, 0),
    ], named
    big = 99999999999999999999999999999999999999
    rows(
        one,
        "INSERT INTO S.NAMES (MIXED, T) VALUES (99999999999999999999999999999999999999, '2026-01-01T00:00:00.000001Z')",
    )
    [(number, time_)] = rows(one, "SELECT MIXED, T FROM S.NAMES")
    assert number == big and time_.isoformat() == "2026-01-01T00:00:00.000001+00:00", (number, time_)
    for sql in ["RENAME COLUMN ADDED TO FORMER", "DROP COLUMN IF EXISTS FORMER", "DROP COLUMN IF EXISTS FORMER"]:
        rows(one, f"ALTER TABLE S.NAMES {sql}")
    rows(one, "DROP TABLE S.NAMES")


def who_may(one):
    refused(390100, lambda: connect(password="wrong"), DatabaseError)
    refused(390189, lambda: connect(role="NOBODY"), DatabaseError)
    connect(private_key_file=key, authenticator="SNOWFLAKE_JWT").close()
    connect(authenticator="PROGRAMMATIC_ACCESS_TOKEN", token="pat-Tablecast-1").close()
    connect(authenticator="oauth", token="oauth-Tablecast-1").close()
    with connect(warehouse="NOBODY") as idle:
        rows(idle, "SHOW TABLES IN SCHEMA S")
        refused(606, lambda: rows(idle, "INSERT INTO S.L VALUES (1)"))
    with connect(database="NOWHERE") as nowhere:
        refused(90105, lambda: rows(nowhere, "CREATE SCHEMA X"))
    with connect(user="READER", password="Reader-1") as reader:
        rows(reader, "SELECT COUNT(*) FROM S.L")
        refused(3001, lambda: rows(reader, "CREATE SCHEMA X"))
        refused(3001, lambda: rows(reader, "DELETE FROM S.L"))
    assert rows(one, "SELECT CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_USER()") == [
        ("TABLECAST", "TABLECAST", "TABLECAST")
    ]


def binds(one):
    read = rows(one, "SELECT %s, %s, %s", ("it's", 1, None))
    assert read == [("it's", 1, None)], read
    snowflake.connector.paramstyle = "qmark"
    with connect() as other:
        rows(other, "INSERT INTO S.L (V, W) SELECT ?, ?", (7, None))
        assert rows(other, "SELECT V FROM S.L WHERE V = ?", (7,)) == [(7,)]
    snowflake.connector.paramstyle = "pyformat"


one, two = connect(), connect()
rows(one, "CREATE SCHEMA IF NOT EXISTS S")
stage_and_copy(one, "")
stage_and_copy(one, "ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')")
transactions(one, two)
schema(one)
who_may(one)
binds(one)
one.close()
two.close()
