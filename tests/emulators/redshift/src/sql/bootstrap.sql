-- What Redshift has and PostgreSQL has not. Runs once in each database, as the superuser.
CREATE SCHEMA rs_emu;
GRANT USAGE ON SCHEMA rs_emu TO PUBLIC;

-- Names of more than 63 bytes, by the short ones that stand for them.
CREATE TABLE rs_emu.names (short text PRIMARY KEY, long text NOT NULL);
GRANT SELECT ON rs_emu.names TO PUBLIC;
CREATE FUNCTION rs_emu.long(given name) RETURNS varchar LANGUAGE sql STABLE AS
  $$ SELECT CASE WHEN strpos(given::text, '~') = 0 THEN given::varchar
       ELSE coalesce((SELECT long FROM rs_emu.names WHERE short = given::text), given::text)::varchar END $$;

-- information_schema.columns, with Redshift's columns (as far as a loader reads them) and long names.
CREATE VIEW rs_emu.columns AS
  SELECT current_database()::varchar AS table_catalog, rs_emu.long(n.nspname) AS table_schema,
    rs_emu.long(c.relname) AS table_name, rs_emu.long(a.attname) AS column_name, a.attnum::integer AS ordinal_position,
    pg_get_expr(d.adbin, d.adrelid)::varchar AS column_default,
    CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END::varchar AS is_nullable,
    format_type(a.atttypid, NULL)::varchar AS data_type,
    CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) THEN a.atttypmod - 4 END AS character_maximum_length,
    information_schema._pg_numeric_precision(a.atttypid, a.atttypmod)::integer AS numeric_precision,
    information_schema._pg_numeric_scale(a.atttypid, a.atttypmod)::integer AS numeric_scale,
    information_schema._pg_datetime_precision(a.atttypid, a.atttypmod)::integer AS datetime_precision
  FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
    AND n.nspname NOT IN ('information_schema', 'rs_emu') AND n.nspname NOT LIKE 'pg\_%'
    AND (pg_has_role(c.relowner, 'USAGE') OR has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'));

CREATE VIEW rs_emu.tables AS
  SELECT current_database()::varchar AS table_catalog, rs_emu.long(n.nspname) AS table_schema,
    rs_emu.long(c.relname) AS table_name,
    CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END::varchar AS table_type
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'v') AND n.nspname NOT IN ('information_schema', 'rs_emu') AND n.nspname NOT LIKE 'pg\_%'
    AND (pg_has_role(c.relowner, 'USAGE') OR has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, REFERENCES'));

CREATE VIEW rs_emu.schemata AS
  SELECT current_database()::varchar AS catalog_name, rs_emu.long(nspname) AS schema_name,
    pg_get_userbyid(nspowner)::varchar AS schema_owner
  FROM pg_namespace WHERE nspname <> 'rs_emu' AND pg_has_role(nspowner, 'USAGE');

-- SVV_REDSHIFT_SCHEMAS
CREATE VIEW rs_emu.schemas AS
  SELECT current_database()::varchar AS database_name, rs_emu.long(nspname) AS schema_name, nspowner::integer AS schema_owner,
    'local'::varchar AS schema_type, NULL::varchar AS schema_acl, NULL::varchar AS schema_option
  FROM pg_namespace WHERE nspname NOT IN ('rs_emu', 'information_schema') AND nspname NOT LIKE 'pg\_%'
    AND (has_schema_privilege(oid, 'USAGE') OR pg_has_role(nspowner, 'USAGE'));

GRANT SELECT ON rs_emu.columns, rs_emu.tables, rs_emu.schemata, rs_emu.schemas TO PUBLIC;

-- SYS_LOAD_ERROR_DETAIL, its columns as in the Database Developer Guide. Regular users see their own rows.
CREATE TABLE rs_emu.load_errors (
  user_id integer, query_id bigint, transaction_id bigint, session_id integer, database_name character(64), table_id integer,
  start_time timestamp, file_name character(256), line_number bigint, column_name character(127), column_type character(10),
  column_length character(10), position integer, error_code integer, error_message character(512));
CREATE VIEW rs_emu.sys_load_error_detail AS
  SELECT * FROM rs_emu.load_errors WHERE pg_has_role(user_id::oid, 'USAGE');
GRANT SELECT ON rs_emu.sys_load_error_detail TO PUBLIC;

-- Numbers of COPY commands.
CREATE SEQUENCE rs_emu.query_ids START 1000;

-- LEN counts characters, in a database that counts bytes.
CREATE FUNCTION rs_emu.len(given text) RETURNS integer LANGUAGE sql IMMUTABLE AS
  $$ SELECT length(convert_to(given, 'SQL_ASCII'), 'UTF8') $$;

-- Keys are noted and not enforced.
CREATE FUNCTION rs_emu.mark_keys(target text, keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE key text;
BEGIN
  FOR key IN SELECT attname FROM pg_attribute WHERE attrelid = target::regclass AND attname = ANY (keys) LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target::regclass, key, 'key');
  END LOOP;
END $$;

-- ALTER COLUMN … TYPE varchar(n), with the rules of "ALTER TABLE".
CREATE FUNCTION rs_emu.alter_varchar(target text, col text, bytes integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE live record; longest integer;
BEGIN
  SELECT a.attname, a.atttypid, a.atttypmod - 4 AS size, a.atthasdef, col_description(a.attrelid, a.attnum) AS note INTO live
    FROM pg_attribute a WHERE a.attrelid = target::regclass AND a.attname = col AND a.attnum > 0 AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = '42703', MESSAGE = format('column "%s" of relation "%s" does not exist', col, target::regclass);
  ELSIF live.atttypid <> 'varchar'::regtype THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'rsemu: ALTER COLUMN TYPE changes the size of a VARCHAR only';
  ELSIF live.size = bytes THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'target column size should be different';
  ELSIF live.atthasdef THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'rsemu: a column with a default value cannot be altered';
  ELSIF live.note = 'key' THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'rsemu: a column with UNIQUE, PRIMARY KEY or FOREIGN KEY cannot be altered';
  END IF;
  IF bytes < live.size THEN
    EXECUTE format('SELECT max(octet_length(%I)) FROM %s', col, target::regclass) INTO longest;
    IF longest > bytes THEN
      RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = format('rsemu: a value of column "%s" has %s bytes', col, longest);
    END IF;
  END IF;
  EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE varchar(%s)', target::regclass, col, bytes);
END $$;
