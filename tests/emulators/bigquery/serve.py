"""Serves local-bigquery on a free loopback port until standard input closes.

Prints one NAME=VALUE line per variable that the tests need, then `ready`.
What it changes in local-bigquery 0.4.0, and why, is in the README beside it.
"""

import collections
import functools
import gc
import gzip
import itertools
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading

import duckdb
import sqlglot
import uvicorn
from sqlglot import exp

from local_bigquery.api import uploads
from local_bigquery.catalog import ddl, metadata, names, tables
from local_bigquery.engine import database, types
from local_bigquery.errors import BigQueryError, not_found
from local_bigquery.jobs import query, runner, store
from local_bigquery.models import Table
from local_bigquery.settings import settings
from local_bigquery.sql import native
from local_bigquery.sql.dialect import DuckDBDialect
from local_bigquery.sql.rules import partitions, typing
from local_bigquery.sql.translate import translate

PROJECT = "test-project"
GZIP_MAGIC = b"\x1f\x8b"


# Plain DuckDB in memory: the DuckLake and spatial extensions would have to be downloaded, and nothing is kept anyway.


def attach(connection, project):
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {database.quote(project)}")
    database._attached.add(project)


# JSON has no numbers that a float does not hold, as in BigQuery.

ROUND = "WHEN 'round' THEN CASE"
TOO_LARGE = """
    WHEN regexp_matches(s, '[0-9][eE][+]?[1-9][0-9]{3}')
        THEN _raise('Invalid input to PARSE_JSON: number cannot be rounded')"""


@functools.cache
def connect():
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("ATTACH ':memory:' AS emulator")
    connection.execute(database.EMULATOR_SCHEMA)
    connection.execute("ATTACH ':memory:' AS bq")
    native.register(connection)
    for path in database.FUNCTIONS:
        if path.name != "geography.sql":
            text = path.read_text().replace(ROUND, ROUND + TOO_LARGE)
            connection.execute(database.MACRO.sub(r"CREATE MACRO bq.main.\1", text))
    attach(connection, settings.default_project_id)
    schema = database.quote(settings.default_project_id, settings.default_dataset_id)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return connection


# What is known of tables and jobs stands in dictionaries. As shipped it is JSON in a table that every call reads and
# writes several times.


class Resources:
    def __init__(self):
        self.kept = collections.defaultdict(dict)
        self.saved = itertools.count(1)

    def list(self, model, *keys):
        kept = self.kept[model]
        if keys in kept:
            return [kept[keys]]
        return [resource for key, resource in list(kept.items()) if key[: len(keys)] == keys]

    def load(self, model, *keys):
        return self.kept[model].get(keys) or next(iter(self.list(model, *keys)), None)

    def save(self, resource, *keys):
        resource = resource.replace(etag=str(next(self.saved)))
        self.kept[type(resource)][keys] = resource
        return resource

    def delete(self, model, *keys):
        kept = self.kept[model]
        for key in [key for key in list(kept) if key[: len(keys)] == keys]:
            kept.pop(key, None)


class Jobs:
    def __init__(self):
        self.kept = {}

    def save(self, job):
        self.kept[job.jobReference.projectId, job.jobReference.jobId] = job
        return job

    def load(self, project, job):
        return self.kept.get((project, job))


# Tables are looked up by their names. As shipped each look scans the catalogue, and every query leaves a table with
# its result there, so that the second hundred tests would take ten times as long as the first.


def known(project, dataset, table):
    """The columns with their types and whether they are required; none if there is no such table or view."""
    name = database.quote(project, dataset, table).replace("'", "''")
    try:
        return database.fetch(f"SELECT name, type, \"notnull\" FROM pragma_table_info('{name}')")
    except duckdb.CatalogException:
        return None


def look_up(objects):
    def looked_up(project, dataset, table=None):
        if table is None:
            return objects(project, dataset)
        if known(project, dataset, table) is None:
            return []
        stored = metadata.load(Table, project, dataset, table)
        return [(table, "VIEW" if stored and stored.view else "TABLE", 0)]

    return looked_up


def look_again(lookup):
    """A table that was made between two looks is not one without columns."""

    def looked_up(*name):
        found = lookup(*name)
        return lookup(*name) if found and found[0] == "EMPTY" else found

    return looked_up


kind_of = functools.cache(duckdb.type)


def columns(project, dataset, table):
    found = known(*tables.physical(project, dataset, table))
    if found is None:
        raise not_found("Table", names.label(project, dataset, table))
    return [types.field(name, kind_of(kind), required) for name, kind, required in found]


# BIGNUMERIC holds 38 digits before the point, as ours do, instead of 20 before and 18 behind it: the engine has
# room for 38 in all.

WHOLE = "DECIMAL(38,0)"


def name_whole_numbers(scalar):
    def named(duckdb_type):
        return ("BIGNUMERIC", WHOLE) if str(duckdb_type) == WHOLE else scalar(duckdb_type)

    return named


# Columns are added all at once, and keep the length of their type as those of a new table do. As shipped each of them
# copies the statement and reads the table's shape anew, which takes minutes for some thousands.


def added_columns(tree):
    """The columns of an ALTER that only adds some, if they are not there."""
    actions = tree.args.get("actions") or [] if isinstance(tree, exp.Alter) else []
    added = all(isinstance(action, exp.ColumnDef) and action.args.get("exists") for action in actions)
    return actions if added else []


def add_columns(run):
    def added(cursor, tree, context, destination, config, dry_run, isolated):
        columns = added_columns(tree)
        if not columns or dry_run:
            return run(cursor, tree, context, destination, config, dry_run, isolated)
        target = tree.find(exp.Table)
        reference = names.reference(target, context.project_id, context.dataset_id)
        wanted = exp.Schema(this=target.copy(), expressions=[column.copy() for column in columns])
        for column in wanted.expressions:
            column.set("exists", None)
        translated = translate(exp.Create(this=wanted, kind="TABLE"), context)[0]
        for column in sqlglot.parse_one(translated, dialect=DuckDBDialect).this.expressions:
            definition = column.sql(dialect=DuckDBDialect)
            cursor.execute(f"ALTER TABLE {tables.name(*reference)} ADD COLUMN IF NOT EXISTS {definition}")
        lengths = {column.name.casefold(): ddl._parameters(column.args.get("kind")) for column in columns}
        stored = tables.load(*reference)
        fields = [field.replace(**lengths.get(field.name.casefold(), {})) for field in tables.fields(stored)]
        tables.record(*reference, stored.replace(schema={"fields": [field.dump() for field in fields]}))
        return query._ddl(tree, context).replace(statementType=query.statement_type(tree))

    return added


# As strict as BigQuery: no DDL in a transaction, and a job id is taken by the first who asks for it.


def in_transaction(cursor):
    # Outside of a transaction every statement has an id of its own.
    ids = [cursor.execute("SELECT txid_current()").fetchone() for _ in range(2)]
    return ids[0] == ids[1]


def refuse_ddl_in_transactions(run):
    def checked(cursor, tree, context, *rest):
        if isinstance(tree, query.DDL) and in_transaction(cursor):
            raise BigQueryError("invalidQuery", "DDL statements are not supported in a transaction")
        return run(cursor, tree, context, *rest)

    return checked


LONGEST_QUERY = 1024 * 1024


def one_at_a_time(submit):
    lock = threading.Lock()

    def locked(project, job_id, configuration, *given):
        if configuration.query and len(configuration.query.query) > LONGEST_QUERY:
            raise BigQueryError("invalid", "The query is too large. The maximum query length is 1024.00K characters.")
        with lock:
            return submit(project, job_id, configuration, *given)

    return locked


# Uploads may be gzip, as BigQuery takes them.


def gunzip(start):
    def started(project, body, upload):
        with open(upload, "rb") as file:
            data = file.read()
        if data.startswith(GZIP_MAGIC):
            with open(upload, "wb") as file:
                file.write(gzip.decompress(data))
        return start(project, body, upload)

    return started


# A dry run says how much would be read: eight bytes for each cell of the tables that a statement names.


def cells(table):
    name = database.quote(*tables.physical(table.projectId, table.datasetId, table.tableId))
    [(rows,)] = database.fetch(f"SELECT COUNT(*) FROM {name}")
    return rows * len(tables.columns(table.projectId, table.datasetId, table.tableId))


def tell_bytes(dry_run):
    def told(project, configuration):
        job = dry_run(project, configuration)
        read = 8 * sum(map(cells, job.statistics.query.referencedTables or []))
        return job.replace(statistics=job.statistics.replace(totalBytesProcessed=str(read)))

    return told


def patch():
    database._attach, database._connect = attach, connect
    resources, jobs = Resources(), Jobs()
    metadata.list_, metadata.load = resources.list, resources.load
    metadata.save, metadata.delete = resources.save, resources.delete
    store.save, store.load = jobs.save, jobs.load
    database.projects = lambda: sorted(database._attached)
    database.objects = look_up(database.objects)
    tables._lookup = look_again(tables._lookup)
    tables.columns = columns
    partitions._hidden = lambda table: False
    types.TO_DUCKDB["BIGNUMERIC"] = WHOLE
    typing.DECIMALS[exp.DataType.Type.BIGDECIMAL] = WHOLE
    types._scalar = name_whole_numbers(types._scalar)
    query._run = refuse_ddl_in_transactions(add_columns(query._run))
    runner.submit = one_at_a_time(runner.submit)
    runner._dry_run = tell_bytes(runner._dry_run)
    uploads._start = gunzip(uploads._start)


class Announced(uvicorn.Server):
    """Says where it listens as soon as it does."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        port = sockets[0].getsockname()[1]
        print(f"TABLECAST_BIGQUERY=bigquery://{PROJECT}?endpoint=http://127.0.0.1:{port}")
        print(f"TABLECAST_BIGQUERY_PYTHON={sys.executable}")
        print("ready", flush=True)


def main():
    data = tempfile.mkdtemp(prefix="tablecast-bigquery-")
    settings.data_dir = type(settings.data_dir)(data)
    settings.default_project_id = PROJECT
    settings.default_dataset_id = "unused"
    # Trees of syntax come and go; looking for cycles among them all the time takes a tenth of it.
    gc.set_threshold(100_000, 50, 50)
    # Partitions and clusters mean nothing to DuckDB, which is said for each table.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    patch()
    database.connection()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Announced(uvicorn.Config("local_bigquery:app", log_level="warning", access_log=False))

    def until_closed():
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=until_closed, daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        shutil.rmtree(data, ignore_errors=True)
        # Jobs that still run must not keep the process.
        os._exit(0)


main()
