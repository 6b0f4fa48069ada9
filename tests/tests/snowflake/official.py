"""Reads a schema with Snowflake's own connector: each table's rows as JSON, one object for each table.

Usage: official.py HOST PORT DATABASE SCHEMA TABLE…
"""

import datetime
import json
import sys

import snowflake.connector

host, port, database, schema, *tables = sys.argv[1:]
connection = snowflake.connector.connect(
    user="TABLECAST",
    password="Tablecast-1",
    account="TABLECAST",
    host=host,
    port=int(port),
    protocol="http",
    database=database,
    schema=schema,
    warehouse="TABLECAST",
)


def text(value):
    """A value as the tables' own canonical form has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return repr(value) if isinstance(value, float) else str(value)


for name in tables:
    # An analyst needs no quotes.
    cursor = connection.cursor(snowflake.connector.DictCursor).execute(f"SELECT * FROM {schema}.{name}")
    rows = [{key: text(value) for key, value in row.items() if value is not None} for row in cursor]
    print(json.dumps({"table": name, "rows": rows, "columns": [column.name for column in cursor.description]}))
