"""What fakesnow does for one statement, made fit for these tests: fewer passes, Snowflake's errors and numbers.

It leans on private functions of exactly the locked version.
"""

import collections
import functools
import re
import shutil
import threading

import duckdb
import fakesnow.arrow as arrow
import fakesnow.copy_into as copying
import fakesnow.cursor as cursors
import fakesnow.transforms as transforms
import pyarrow
from fakesnow.instance import FakeSnow
from fakesnow.transforms import stage
from snowflake.connector.errors import DatabaseError, ProgrammingError
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError


class Refused(Exception):
    """A statement that fails, with Snowflake's code and SQLSTATE."""

    def __init__(self, code, state, message):
        super().__init__(message)
        self.code, self.state, self.message = f"{int(code):06d}", state, message


def parse(text):
    try:
        return parse_one(text, read="snowflake")
    except SqlglotError as error:
        line = str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
        raise Refused(1003, "42000", f"SQL compilation error: {line}") from None


# As shipped every statement is walked through some eighty times, which takes seconds for those that name some hundred
# columns. Each of these only looks at nodes of a few kinds, so they are looked up by kind.

SHOWS = (exp.Show, exp.Command)
PASSES = [
    (transforms.alter_session, (exp.Alter,)),
    (transforms.set_schema, (exp.Use,)),
    (transforms.extract_comment_on_table, (exp.Create,)),
    (transforms.extract_comment_on_columns, (exp.Alter,)),
    (transforms.information_schema_fs, (exp.Table,)),
    (transforms.information_schema_databases, (exp.Table,)),
    (transforms.drop_schema_cascade, (exp.Drop,)),
    (transforms.tag, (exp.Alter, exp.Command)),
    (transforms.semi_structured_types, (exp.DataType,)),
    (transforms.try_parse_json, (exp.Anonymous,)),
    (transforms.split, (exp.Split,)),
    (transforms.trim_cast_varchar, (exp.Trim,)),
    (transforms.indices_to_json_extract, (exp.Bracket,)),
    (transforms.json_extract_cast_as_varchar, (exp.Cast,)),
    (transforms.json_extract_cased_as_varchar, (exp.Upper, exp.Lower)),
    (transforms.json_extract_precedence, (exp.JSONExtract, exp.JSONExtractScalar)),
    (transforms.flatten_value_cast_as_varchar, (exp.Cast,)),
    (transforms.flatten, (exp.Lateral, exp.TableFromRows)),
    (transforms.values_columns, (exp.Values,)),
    (transforms.to_date, (exp.Anonymous,)),
    (transforms.timestamp_offsets, (exp.Cast,)),
    (transforms.to_decimal, (exp.ToNumber, exp.Anonymous)),
    (transforms.to_timestamp, (exp.UnixToTime, exp.Anonymous)),
    (transforms.to_variant, (exp.ToVariant,)),
    (transforms.object_construct, (exp.StarMap, exp.Struct, exp.Anonymous)),
    (transforms.timestamp_ntz, (exp.DataType,)),
    (transforms.float_to_double, (exp.DataType,)),
    (transforms.extract_text_length, (exp.Create, exp.Alter)),
    (transforms.array_size, (exp.ArraySize,)),
    (transforms.array_agg, (exp.ArrayAgg, exp.Window)),
    (transforms.dateadd_date_cast, (exp.DateAdd,)),
    (transforms.dateadd_string_literal_timestamp_cast, (exp.DateAdd,)),
    (transforms.datediff_string_literal_timestamp_cast, (exp.DateDiff,)),
    (transforms.show_databases, SHOWS),
    (transforms.show_parameters, SHOWS),
    (transforms.show_warehouses, SHOWS),
    (transforms.show_schemas, SHOWS),
    (transforms.show_tables_etc, SHOWS),
    (transforms.show_columns, SHOWS),
    (transforms.show_stages, SHOWS),
    (transforms.hex_string, (exp.HexString,)),
    (transforms.sha256, (exp.SHA2, exp.SHA2Digest, exp.Anonymous)),
    (transforms.create_clone, (exp.Create,)),
    (transforms.alias_in_join, (exp.Select,)),
    (transforms.alter_table_strip_cluster_by, (exp.Alter, exp.Command)),
    (transforms.create_stage, (exp.Create,)),
    (transforms.create_table_as, (exp.Create,)),
]


def by_kind(tree):
    found = collections.defaultdict(list)
    for node in tree.walk(bfs=False):
        found[type(node)].append(node)
    return found


def with_context(function, conn, duck):
    given = {
        transforms.set_schema: {"current_database": conn.database},
        transforms.information_schema_databases: {"current_schema": conn.schema},
        transforms.show_schemas: {"current_database": conn.database},
        transforms.show_tables_etc: {"current_database": conn.database, "current_schema": conn.schema},
        transforms.show_columns: {"current_database": conn.database, "current_schema": conn.schema},
        transforms.show_stages: {"current_database": conn.database, "current_schema": conn.schema},
        transforms.create_stage: {"current_database": conn.database, "current_schema": conn.schema},
        transforms.create_table_as: {"duck_conn": duck},
    }
    return functools.partial(function, **given.get(function, {}))


WHOLE = {exp.DataType.Type.INT, exp.DataType.Type.BIGINT, exp.DataType.Type.SMALLINT, exp.DataType.Type.TINYINT}


def number(kind):
    """Every whole number has 38 digits, as in Snowflake. As shipped it is a BIGINT."""
    if kind.this in WHOLE or kind.this == exp.DataType.Type.DECIMAL and not kind.expressions:
        return exp.DataType.build("DECIMAL(38, 0)")
    return kind


def plain_format(node):
    """Quotes around a format's plain letters are none of its letters."""
    if isinstance(node.args.get("format"), exp.Literal):
        node.args["format"].set("this", node.args["format"].this.replace('"', ""))
    return node


class Cursor(cursors.FakeSnowflakeCursor):
    """Runs one statement that is parsed already."""

    def run(self, tree, params):
        # What a COPY reads is a place, which is no table.
        target = tree.this.find(exp.Table) if isinstance(tree, exp.Copy) else None
        if not (target and target.db and self._conn.database):
            self.check_db_and_schema(tree)
        for part in self._transform_explode(tree):
            # Whoever waits for a lock must not have looked at the data before.
            done = self._transform(part, params)
            self._execute(done, params if done.find(exp.Placeholder) else None)
        return self

    def _transform(self, tree, params):
        found = by_kind(tree)
        for name in found[exp.Identifier]:
            if not name.quoted and isinstance(name.this, str):
                name.set("this", name.this.upper())
        for function, kinds in [*PASSES, (number, (exp.DataType,)), (plain_format, (exp.TimeToStr,))]:
            changed = False
            for kind in kinds:
                for node in found.get(kind, ()):
                    new = with_context(function, self._conn, self._duck_conn)(node)
                    if new is not node:
                        changed = True
                        if node is tree:
                            tree = new
                        else:
                            node.replace(new)
            if changed:
                found = by_kind(tree)
        return tree

    def _describe_last_sql(self):
        # As shipped the statement is parsed and translated once more for this.
        return self._duck_conn.execute(f"DESCRIBE {self._last_sql}", self._last_params).fetchall()

    def _execute(self, tree, params=None):
        if not isinstance(tree, exp.Merge):
            return super()._execute(tree, params)
        # As shipped a MERGE is several statements, which fail in a transaction. DuckDB has one of its own.
        counts = collections.Counter()
        wanted = []
        for when in tree.args["whens"].expressions:
            then = when.args.get("then")
            wanted.append({exp.Update: "UPDATE", exp.Insert: "INSERT"}.get(type(then), "DELETE"))
            for change in then.expressions if isinstance(then, exp.Update) else []:
                if isinstance(change, exp.EQ) and isinstance(change.this, exp.Column):
                    change.set("this", exp.Column(this=change.this.this))
        merged = f"{tree.sql(dialect='duckdb')} RETURNING merge_action"
        counts.update(row[0] for row in self._duck_conn.execute(merged, params).fetchall())
        words = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}
        columns = [f'{counts[kind]} AS "number of rows {word}"' for kind, word in words.items() if kind in wanted]
        super()._execute(parse_one(f"SELECT {', '.join(columns)}", read="duckdb"))


class Few(collections.OrderedDict):
    """Results that somebody might ask for again: the last few, not all since the start."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        while len(self) > 8:
            self.popitem(last=False)


class Database:
    """One database in an engine of its own: what others hold does not slow it down, and it can be forgotten."""

    def __init__(self, name):
        self.name = name
        self.fake = FakeSnow(create_schema_on_connect=False)
        self.fake.results_cache = Few()
        for setting in ["threads", "async_threads"]:
            self.fake.duck_conn.execute(f"SET {setting} = 1")
        self.fake.connect(name).close()
        self.ddl = threading.RLock()
        # The keys of stages that are encrypted by the client, by (schema, stage).
        self.keys = {}
        # The ids of its PUTs.
        self.asked = set()
        self.used = 0.0

    def connect(self):
        return self.fake.connect(self.name)

    def close(self):
        self.fake.duck_conn.close()
        shutil.rmtree(f"{stage.LOCAL_BUCKET_PATH}/{self.name}", ignore_errors=True)


# Snowflake's errors. Clients match on these codes, so the engine's own must not get through.

ABSENT = "does not exist or not authorized."


def refused(error):
    """What Snowflake would have said."""
    cause = error.__cause__ if isinstance(error.__cause__, duckdb.Error) else error
    first = str(cause).splitlines()[0]
    if isinstance(cause, duckdb.CatalogException):
        name = (re.search(r'name "?([^"\s!]+)', first) or re.search(r'"([^"]+)"', first) or [first, "?"])[1]
        if "already exists" in first and first.startswith("Catalog Error: Column"):
            return Refused(1430, "42601", f"SQL compilation error: column '{name}' already exists")
        if "already exists" in first:
            return Refused(2002, "42710", f"SQL compilation error: Object '{name}' already exists.")
        if "does not have a column" in first:
            return Refused(904, "42000", f"SQL compilation error: invalid identifier: {first}")
        return Refused(2003, "42S02", f"SQL compilation error: Object '{name}' {ABSENT}")
    if isinstance(cause, duckdb.BinderException):
        if re.search(r"Referenced (update )?column|does not have a column|not found in FROM", first):
            return Refused(904, "42000", f"SQL compilation error: invalid identifier: {first}")
        return Refused(2, "42601", f"SQL compilation error: {first}")
    if isinstance(cause, duckdb.ConstraintException):
        return Refused(100072, "22000", "NULL result in a non-nullable column")
    if isinstance(cause, duckdb.ConversionException):
        return Refused(100038, "22018", f"a value is not recognized: {first}")
    if isinstance(cause, duckdb.OutOfRangeException):
        return Refused(100039, "22003", "Numeric value is out of range")
    if "affect the same target row" in first:
        return Refused(100090, "42P18", "Duplicate row detected during DML action")
    if isinstance(cause, duckdb.InterruptException):
        return Refused(604, "57014", "SQL execution canceled")
    if isinstance(error, ProgrammingError | DatabaseError) and cause is error:
        return Refused(error.errno or 2, error.sqlstate or "42000", error.raw_msg or str(error))
    return Refused(2, "0A000", f"not known to the emulator: {type(cause).__name__}: {first}")


def with_nulls(struct):
    """As shipped a point in time that is NULL reads as 1970."""

    def made(times):
        times = times.combine_chunks() if isinstance(times, pyarrow.ChunkedArray) else times
        whole = struct(times.fill_null(0))
        return pyarrow.StructArray.from_arrays(whole.flatten(), fields=list(whole.type), mask=times.is_null())

    return made


def patch():
    arrow.timestamp_to_sf_struct = with_nulls(arrow.timestamp_to_sf_struct)
    transforms.merge = lambda tree: [tree]
    glob = copying._source_urls

    def files(source, names):
        # As shipped only stages outside can be asked for single files.
        if stage.is_internal(source):
            return [f"{source.rstrip('/')}/{name}" for name in names]
        return glob(source, names)

    copying._source_urls = files
    params = copying._params

    def switched(tree, *rest, **named):
        # As shipped FORCE = FALSE and PURGE = FALSE are taken for TRUE.
        def off(param):
            return isinstance(param.expression, exp.Boolean) and not param.expression.this

        tree.set("params", [param for param in tree.args.get("params") or [] if not off(param)])
        return params(tree, *rest, **named)

    copying._params = switched
