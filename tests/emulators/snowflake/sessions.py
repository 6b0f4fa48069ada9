"""Sessions: transactions, locks that make others wait, and statements that fail alone."""

import collections
import contextlib
import re
import threading
import time
import uuid

import duckdb
import pyarrow
from fakesnow.rowtype import describe_as_rowtype
from fakesnow.statement_type import statement_type_id
from snowflake.connector.errors import Error as DriverError
from sqlglot import exp

import stages
from engine import ABSENT, Cursor, Database, Refused, parse, refused

# Snowflake ends a transaction that is in another's way after five idle minutes. The tests cannot wait as long.
patience = {"idle": 15.0}
LONGEST = 1_000_000
LONGEST_NAME = 255
# So many databases are kept; beyond that, one that nobody used for a minute is forgotten.
MOST = 20
FORGET = 60.0

BEGIN = re.compile(
    r"\s*(BEGIN(\s+(WORK|TRANSACTION))?(\s+NAME\s+\w+)?|START\s+TRANSACTION(\s+NAME\s+\w+)?)\s*;?\s*", re.I
)
COMMIT = re.compile(r"\s*COMMIT(\s+WORK)?\s*;?\s*", re.I)
ROLLBACK = re.compile(r"\s*ROLLBACK(\s+WORK)?\s*;?\s*", re.I)
# What there is nothing of here: roles, warehouses, grants.
NOTHING = re.compile(r"\s*(GRANT|REVOKE|(CREATE|ALTER)\s+(OR\s+REPLACE\s+)?(WAREHOUSE|ROLE|USER|NETWORK))\b", re.I)
DDL = (exp.Create, exp.Alter, exp.Drop, exp.TruncateTable, exp.Comment)
DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy)
CHANGES = (exp.Update, exp.Delete, exp.Merge)
PARAMETERS = {
    "ABORT_DETACHED_QUERY", "AUTOCOMMIT", "BINARY_INPUT_FORMAT", "BINARY_OUTPUT_FORMAT", "CLIENT_SESSION_KEEP_ALIVE",
    "CLIENT_PREFETCH_THREADS", "CLIENT_RESULT_CHUNK_SIZE", "CLIENT_TIMESTAMP_TYPE_MAPPING",
    "CLIENT_VALIDATE_DEFAULT_PARAMETERS", "DATE_INPUT_FORMAT",
    "DATE_OUTPUT_FORMAT", "ERROR_ON_NONDETERMINISTIC_MERGE", "ERROR_ON_NONDETERMINISTIC_UPDATE", "LOCK_TIMEOUT",
    "MULTI_STATEMENT_COUNT", "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT", "QUERY_TAG", "QUOTED_IDENTIFIERS_IGNORE_CASE",
    "ROWS_PER_RESULTSET", "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS", "STATEMENT_TIMEOUT_IN_SECONDS", "STRICT_JSON_OUTPUT",
    "TIMESTAMP_INPUT_FORMAT", "TIMESTAMP_NTZ_OUTPUT_FORMAT", "TIMESTAMP_OUTPUT_FORMAT", "TIMESTAMP_TYPE_MAPPING",
    "TIMESTAMP_TZ_OUTPUT_FORMAT", "TIMEZONE", "TRANSACTION_ABORT_ON_ERROR", "TWO_DIGIT_CENTURY_START",
    "USE_CACHED_RESULT", "WEEK_OF_YEAR_POLICY", "WEEK_START",
}  # fmt: skip
DONE = (["status"], [["Statement executed successfully."]])

databases = {}
making = threading.Lock()
sessions = {}


def database(name):
    """The database of this name, made by whoever asks first."""
    with making:
        for idle in sorted(databases.values(), key=lambda one: one.used):
            in_use = any(session.database is idle for session in list(sessions.values()) if session.busy)
            if len(databases) <= MOST or time.monotonic() - idle.used < FORGET or in_use:
                break
            for token in [token for token, session in list(sessions.items()) if session.database is idle]:
                sessions.pop(token, None)
            databases.pop(idle.name).close()
            locks.pop(idle.name, None)
        found = databases.get(name) or databases.setdefault(name, Database(name))
        found.used = time.monotonic()
        return found


class Locks:
    """Who writes to which table. INSERT and COPY go side by side, other changes of a table one after another, and what
    changes its shape waits for all."""

    def __init__(self):
        self.changed = threading.Condition()
        self.held = collections.defaultdict(dict)

    def in_the_way(self, session, table, how):
        together = {"insert": {"insert", "change"}, "change": {"insert"}, "shape": set()}[how]
        return [other for other, modes in self.held[table].items() if other is not session and modes - together]

    def take(self, session, table, how):
        until = time.monotonic() + session.lock_timeout
        with self.changed:
            while others := self.in_the_way(session, table, how):
                if session.canceled:
                    raise Refused(604, "57014", "SQL execution canceled")
                if time.monotonic() > until:
                    raise Refused(
                        625,
                        "57014",
                        f"Statement has waited for the lock of table '{table[1]}', held by another transaction, "
                        "for longer than LOCK_TIMEOUT. Your statement was aborted.",
                    )
                idle = next((other for other in others if other.idle() > patience["idle"]), None)
                if not (idle and idle.end_idle()):
                    self.changed.wait(0.1)
            self.held[table].setdefault(session, set()).add(how)

    def release(self, session):
        with self.changed:
            for modes in self.held.values():
                modes.pop(session, None)
            self.changed.notify_all()


locks = collections.defaultdict(Locks)


class Answer:
    """What a statement gives: an Arrow table with the driver's types, or rows of text."""

    def __init__(self, rowtype, table=None, rows=None, kind=0, put=None):
        self.rowtype, self.table, self.rows, self.kind, self.put = rowtype, table, rows, kind, put
        self.query = str(uuid.uuid4())


def told(columns, rows, kind=0):
    rowtype = describe_as_rowtype([(name, "VARCHAR", None, None, None, None) for name in columns])
    return Answer(rowtype, rows=rows, kind=kind)


class Session:
    def __init__(self, number, user, name, role, warehouse, arrow):
        self.number, self.user, self.role, self.warehouse, self.arrow = number, user, role, warehouse, arrow
        self.database = database(name or "")
        self.conn = self.database.connect() if name else self.database.fake.connect()
        self.serial = threading.RLock()
        self.busy = 0
        self.last = time.monotonic()
        self.lock_timeout = 43_200.0
        self.canceled = False
        # Statements of the open transaction, or None, and whether the engine has begun it.
        self.log, self.begun, self.lost, self.failed, self.abort_on_error = None, False, False, False, False
        self.running, self.answers = {}, collections.OrderedDict()

    @property
    def duck(self):
        return self.conn._duck_conn

    def idle(self):
        return 0.0 if self.busy else time.monotonic() - self.last

    def end_idle(self):
        """Rolls back for somebody who waits, if nothing has happened meanwhile."""
        if not self.serial.acquire(blocking=False):
            return False
        try:
            if self.idle() <= patience["idle"] or self.log is None:
                return False
            self.rollback()
            self.lost = True
            return True
        finally:
            self.serial.release()

    def cancel(self):
        self.canceled = True
        with contextlib.suppress(duckdb.Error):
            self.duck.interrupt()

    def close(self):
        with self.serial:
            self.rollback()
            with contextlib.suppress(duckdb.Error):
                self.conn.close()

    @contextlib.contextmanager
    def at_work(self):
        self.busy += 1
        try:
            with self.serial:
                yield
        finally:
            self.busy -= 1
            self.last = self.database.used = time.monotonic()

    # Transactions. The engine begins one with the first statement that has its locks: whoever waited sees what the
    # other has written, as in Snowflake, whose every statement sees what is committed.

    def begin(self):
        if self.log is None:
            self.log = []

    def ensure_begun(self):
        if not self.begun:
            self.duck.begin()
            self.begun = True

    def undo(self):
        self.begun = False
        with contextlib.suppress(duckdb.Error):
            self.duck.rollback()

    def rollback(self):
        if self.begun:
            self.undo()
        self.log, self.lost, self.failed = None, False, False
        locks[self.database.name].release(self)

    def commit(self):
        try:
            for attempt in range(8):
                try:
                    if self.begun:
                        self.duck.commit()
                    break
                except duckdb.TransactionException:
                    if attempt == 7:
                        raise
                    self.again(attempt)
        finally:
            self.rollback()

    def again(self, attempt=0):
        """A transaction in the engine is lost by an error, and by another's DDL. In Snowflake it is not: it starts anew
        with the statements that it has done."""
        self.undo()
        time.sleep(0.01 * attempt)
        self.ensure_begun()
        for text, params in self.log or []:
            self.once(parse(text), params)

    def once(self, tree, params):
        return Cursor(self.conn, self.duck).run(tree, list(params) if params else None)

    # Statements

    def run(self, text, params, netloc):
        with self.at_work():
            self.canceled = False
            if self.lost:
                self.lost = False
                raise Refused(90112, "40001", "The transaction was aborted: it was idle, and in the way of another")
            try:
                return self.statement(text, params, netloc)
            except (
                duckdb.Error,
                DriverError,
                SyntaxError,
                NotImplementedError,
                ValueError,
                AssertionError,
                AttributeError,
                KeyError,
            ) as error:
                raise refused(error) from error

    def statement(self, text, params, netloc):
        if len(text.encode()) > LONGEST:
            raise Refused(1, "54000", "SQL compilation error: the text of the statement is longer than 1 MB")
        if BEGIN.fullmatch(text):
            self.begin()
            return told(*DONE, kind=0x5000)
        if self.failed and not (COMMIT.fullmatch(text) or ROLLBACK.fullmatch(text)):
            raise Refused(
                637, "25000", "The transaction was aborted by an error. Statements fail until COMMIT or ROLLBACK."
            )
        if COMMIT.fullmatch(text) and not self.failed:
            self.commit()
            return told(*DONE, kind=0x5000)
        if ROLLBACK.fullmatch(text) or COMMIT.fullmatch(text):
            self.rollback()
            return told(*DONE, kind=0x5000)
        if NOTHING.match(text):
            self.implicit_commit()
            return told(*DONE, kind=0x6000)
        if put := stages.PUT.fullmatch(text):
            return Answer([], put=stages.put(put, self, netloc))
        if listed := stages.LIST.fullmatch(text):
            return told(*stages.listing(listed, self.conn))
        if removed := stages.REMOVE.fullmatch(text):
            self.may_write("REMOVE")
            return told(*stages.remove(removed, self.conn))
        if dropped := stages.DROP.fullmatch(text):
            self.may_write("DROP STAGE")
            self.implicit_commit()
            return told(*stages.drop(dropped, self), kind=0x6000)
        tree = parse(text)
        for name in tree.find_all(exp.Identifier):
            if len(name.name) > LONGEST_NAME:
                raise Refused(
                    1003, "42000", f"SQL compilation error: an identifier is longer than {LONGEST_NAME} characters"
                )
        if isinstance(tree, exp.Use):
            return self.use(tree)
        if isinstance(tree, exp.Alter) and tree.kind == "SESSION":
            return self.alter_session(tree)
        kind = statement_type_id(tree)
        for node in list(
            tree.find_all(
                exp.CurrentRole, exp.CurrentWarehouse, exp.CurrentUser, exp.CurrentAccount, exp.CurrentSession
            )
        ):
            value = {
                exp.CurrentRole: self.role,
                exp.CurrentWarehouse: self.warehouse,
                exp.CurrentUser: self.user,
                exp.CurrentAccount: "TABLECAST",
                exp.CurrentSession: str(self.number),
            }[type(node)]
            node.replace(exp.Literal.string(value) if value else exp.Null())
        if isinstance(tree, exp.Create) and str(tree.kind).upper() == "DATABASE":
            self.may_write("CREATE DATABASE")
            return self.create_database(tree)
        if isinstance(tree, DDL):
            self.may_write(type(tree).__name__.upper())
            self.implicit_commit()
            return self.ddl(text, tree, params, kind)
        if isinstance(tree, DML):
            self.may_write(type(tree).__name__.upper())
            self.need_warehouse()
            return self.dml(text, tree, params, kind)
        if isinstance(tree, exp.Query) and tree.find(exp.Table):
            self.need_warehouse()
        return self.answer(self.perform(text, tree, params), kind)

    def implicit_commit(self):
        if self.log is not None:
            self.commit()

    def may_write(self, what):
        if self.role == "READER":
            raise Refused(3001, "42501", f"SQL access control error: Insufficient privileges to operate: {what}")

    def need_warehouse(self):
        if not self.warehouse:
            raise Refused(
                606,
                "57P03",
                "No active warehouse selected in the current session. "
                "Select an active warehouse with the 'use warehouse' command.",
            )

    def table(self, node):
        """The name by which a table is locked."""
        table = node if isinstance(node, exp.Table) else node.find(exp.Table)
        return ((table.db or self.conn.schema or "").upper(), table.name.upper())

    def ddl(self, text, tree, params, kind):
        own = locks[self.database.name]
        targets = (
            tree.args.get("tables") or tree.expressions
            if isinstance(tree, exp.Drop | exp.TruncateTable)
            else [tree.this]
        )
        try:
            for target in targets:
                if str(tree.args.get("kind") or "TABLE").upper() == "TABLE" and target.find(exp.Table):
                    own.take(self, self.table(target), "shape")
            with self.database.ddl:
                for attempt in range(8):
                    try:
                        if isinstance(tree, exp.Create) and str(tree.kind).upper() == "STAGE":
                            stages.created(text, tree, self)
                        return self.answer(self.once(tree, params), kind)
                    except duckdb.TransactionException:
                        if attempt == 7:
                            raise
                        time.sleep(0.02 * attempt)
                        tree = parse(text)
        finally:
            own.release(self)

    def dml(self, text, tree, params, kind):
        alone = self.log is None
        how = "change" if isinstance(tree, CHANGES) else "insert"
        try:
            locks[self.database.name].take(self, self.table(tree.this), how)
            if alone:
                self.begin()
            done = self.answer(self.perform(text, tree, params), kind)
            self.log.append((text, params))
            if alone:
                self.commit()
            return done
        finally:
            if alone:
                self.rollback()

    def perform(self, text, tree, params):
        """Runs a statement; one that fails in a transaction is undone alone."""
        for attempt in range(8):
            if self.log is not None:
                self.ensure_begun()
            try:
                return self.once(tree, params)
            except Exception as error:
                cause = error if isinstance(error, duckdb.Error) else error.__cause__
                again = attempt < 7 and isinstance(cause, duckdb.TransactionException)
                if self.log is not None:
                    # What was made since the transaction began is there too.
                    again |= attempt == 0 and isinstance(cause, duckdb.CatalogException | duckdb.BinderException)
                    if again or not self.abort_on_error:
                        self.again(attempt)
                    else:
                        self.rollback()
                        self.log, self.failed = [], True
                if not again:
                    raise
                tree = parse(text)

    def answer(self, cursor, kind):
        table = cursor._arrow_table
        if table is None:
            table = pyarrow.table({})
        rowtype = describe_as_rowtype(cursor._describe_last_sql())
        return Answer(rowtype, table=table, kind=kind)

    def use(self, tree):
        kind = tree.args["kind"].name.upper() if tree.args.get("kind") else "DATABASE"
        name = tree.this.name if tree.this.this.quoted else tree.this.name.upper()
        if kind == "DATABASE":
            self.switch(name)
        elif kind == "SCHEMA":
            self.conn._duck_conn.execute("SELECT 1")
            self.once(tree, None)
        elif kind == "WAREHOUSE":
            if name not in WAREHOUSES:
                raise Refused(
                    2043, "02000", "SQL compilation error: Object does not exist, or operation cannot be performed."
                )
            self.warehouse = name
        elif kind == "ROLE":
            if name not in ROLES:
                raise Refused(
                    2043, "02000", "SQL compilation error: Object does not exist, or operation cannot be performed."
                )
            self.role = name
        return told(*DONE, kind=0x4300)

    def create_database(self, tree):
        name = tree.this.name if tree.this.this.quoted else tree.this.name.upper()
        if name in databases and not tree.args.get("exists"):
            raise Refused(2002, "42710", f"SQL compilation error: Object '{name}' already exists.")
        self.implicit_commit()
        database(name)
        self.switch(name)
        return told(["status"], [[f"Database {name} successfully created."]], kind=0x6000)

    def switch(self, name):
        if name not in databases:
            raise Refused(2043, "02000", f"SQL compilation error: Database '{name}' {ABSENT}")
        self.implicit_commit()
        before, self.database = self.conn, database(name)
        self.conn = self.database.connect()
        before.close()

    def alter_session(self, tree):
        for action in tree.args.get("actions") or []:
            for item in action.args.get("expressions") or []:
                name = (item.this.this if isinstance(item.this, exp.EQ) else item.this).name.upper()
                value = item.this.expression.name if isinstance(item.this, exp.EQ) else None
                self.set_parameter(name, value)
        return told(*DONE, kind=0x4000)

    def set_parameter(self, name, value):
        if name not in PARAMETERS:
            raise Refused(1008, "22023", f"SQL compilation error: invalid parameter '{name}'")
        if name == "TRANSACTION_ABORT_ON_ERROR":
            self.abort_on_error = str(value).upper() == "TRUE"
        if name == "LOCK_TIMEOUT":
            self.lock_timeout = 43_200.0 if value is None else float(value)


WAREHOUSES = {"TABLECAST", "COMPUTE_WH"}
ROLES = {"TABLECAST", "PUBLIC", "SYSADMIN", "READER"}
