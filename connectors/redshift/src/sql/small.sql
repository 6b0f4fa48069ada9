LOCK "p"."_lock";

SELECT 1 / CASE WHEN (SELECT COUNT(*)
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001') > 0 OR ((SELECT COUNT(*)
 FROM "p"."_lock") = 1
 AND (SELECT COUNT(*)
 FROM "p"."_lock"
 WHERE "schema_version" = 7) = 1
 AND (SELECT COUNT(*)
 FROM "p"."_commits"
 WHERE "committed_at" = '2026-01-31 12:00:00.000000+00'::timestamptz) = 0
 AND (SELECT COUNT(*)
 FROM "p"."_stage_20260131t235959_0123456789abcdef_0") = 2
 AND (SELECT COUNT(DISTINCT "k")
 FROM "p"."_stage_20260131t235959_0123456789abcdef_0") = 2
 AND (SELECT COUNT(*)
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1") = 1
 AND (SELECT COUNT(DISTINCT "k")
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1") = 1) THEN 1 ELSE 0 END;

INSERT INTO "p"."_commits" ("commit_id", "table_name", "committed_at", "source", "received", "loaded", "duplicates", "filtered", "discarded", "duration_ms", "nonce", "version") SELECT CAST('00000000000000000000000000000001' AS VARCHAR(65535)), _l."table_name", '2026-01-31 12:00:00.000000+00'::timestamptz, CAST(('it' || CHR(39) || 's a file') AS VARCHAR(65535)), _l."received", _l."staged" - _l."present", _l."duplicates" + _l."present", _l."filtered", _l."discarded", CAST(5 AS BIGINT), CAST('n' AS VARCHAR(65535)), CAST('0.1.0' AS VARCHAR(65535))
 FROM (SELECT CAST('identifies' AS VARCHAR(65535)) AS "table_name", CAST(5 AS BIGINT) AS "received", CAST(2 AS BIGINT) AS "staged", CAST((SELECT COUNT(DISTINCT _s."k")
 FROM "p"."_stage_20260131t235959_0123456789abcdef_0" AS _s INNER JOIN "p"."identifies" ON "identifies"."id" = _s."k"
 AND "identifies"."received_at" >= '2026-01-30 12:00:00.000000+00'::timestamptz
 AND "identifies"."received_at" <= '2026-02-01 12:00:00.000000+00'::timestamptz) AS BIGINT) AS "present", CAST(1 AS BIGINT) AS "duplicates", CAST(2 AS BIGINT) AS "filtered", CAST(0 AS BIGINT) AS "discarded"
 FROM "p"."_lock"
 UNION ALL SELECT CAST('users' AS VARCHAR(65535)) AS "table_name", CAST(4 AS BIGINT) AS "received", CAST(1 AS BIGINT) AS "staged", CAST(0 AS BIGINT) AS "present", CAST(1 AS BIGINT) AS "duplicates", CAST(2 AS BIGINT) AS "filtered", CAST(0 AS BIGINT) AS "discarded"
 FROM "p"."_lock"
 UNION ALL SELECT CAST('tracks' AS VARCHAR(65535)) AS "table_name", CAST(3 AS BIGINT) AS "received", CAST(0 AS BIGINT) AS "staged", CAST(0 AS BIGINT) AS "present", CAST(1 AS BIGINT) AS "duplicates", CAST(2 AS BIGINT) AS "filtered", CAST(0 AS BIGINT) AS "discarded"
 FROM "p"."_lock") AS _l
 WHERE NOT EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001');

INSERT INTO "p"."identifies" ("id", "received_at", "uuid_ts") SELECT _s."k", _s."c0", '2026-01-31 12:00:00.000000+00'::timestamptz
 FROM (SELECT *
 FROM "p"."_stage_20260131t235959_0123456789abcdef_0"
 WHERE EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n')) AS _s LEFT JOIN "p"."identifies" ON "identifies"."id" = _s."k"
 AND "identifies"."received_at" >= '2026-01-30 12:00:00.000000+00'::timestamptz
 AND "identifies"."received_at" <= '2026-02-01 12:00:00.000000+00'::timestamptz
 WHERE "identifies"."id" IS NULL;

UPDATE "p"."users" SET "plan" = CASE WHEN _s."v0" IS NULL THEN "users"."plan" WHEN _s."w0" IS NULL OR _s."v0" > _s."w0" THEN _s."c0" ELSE "users"."plan" END, "uuid_ts" = '2026-01-31 12:00:00.000000+00'::timestamptz
 FROM (SELECT _t.*, "_users_versions"."plan" AS "w0"
 FROM (SELECT *
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1"
 WHERE EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n')) AS _t LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _t."k") AS _s
 WHERE "users"."id" = _s."k";

INSERT INTO "p"."users" ("id", "plan", "uuid_ts") SELECT _s."k", _s."c0", '2026-01-31 12:00:00.000000+00'::timestamptz
 FROM (SELECT *
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1"
 WHERE EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n')) AS _s LEFT JOIN "p"."users" ON "users"."id" = _s."k"
 WHERE "users"."id" IS NULL;

UPDATE "p"."_users_versions" SET "plan" = CASE WHEN _s."v0" IS NULL THEN "_users_versions"."plan" WHEN "_users_versions"."plan" IS NULL OR _s."v0" > "_users_versions"."plan" THEN _s."v0" ELSE "_users_versions"."plan" END
 FROM (SELECT *
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1"
 WHERE EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n')) AS _s
 WHERE "_users_versions"."id" = _s."k";

INSERT INTO "p"."_users_versions" ("id", "plan") SELECT _s."k", _s."v0"
 FROM (SELECT *
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1"
 WHERE EXISTS (SELECT 1
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n')) AS _s LEFT JOIN "p"."_users_versions" ON "_users_versions"."id" = _s."k"
 WHERE "_users_versions"."id" IS NULL;

SELECT 1 / CASE WHEN (SELECT COUNT(*)
 FROM "p"."_commits"
 WHERE "commit_id" = '00000000000000000000000000000001'
 AND "nonce" = 'n') = 0 OR ((SELECT COUNT(DISTINCT _s."k")
 FROM "p"."_stage_20260131t235959_0123456789abcdef_0" AS _s INNER JOIN "p"."identifies" ON "identifies"."id" = _s."k"
 AND "identifies"."received_at" >= '2026-01-30 12:00:00.000000+00'::timestamptz
 AND "identifies"."received_at" <= '2026-02-01 12:00:00.000000+00'::timestamptz) = 2
 AND (SELECT COUNT(DISTINCT _s."k")
 FROM "p"."_stage_20260131t235959_0123456789abcdef_1" AS _s INNER JOIN "p"."users" ON "users"."id" = _s."k") = 1) THEN 1 ELSE 0 END;
