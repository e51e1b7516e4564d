-- What BI clients send when they connect and for their lists of tables, one statement a line, replayed by
-- tests/it/bi_port.rs: all are answered. `{setting=value}` before a statement are parameters of its URL.

-- clickhouse-connect 1.12.0, Superset's and SQLAlchemy's driver: seen at the port.
SELECT version(), timezone()
SELECT name, value, readonly FROM system.settings LIMIT 10000 FORMAT Native
{client_protocol_version=54405} SELECT 1 AS check FORMAT Native
{date_time_input_format=best_effort&cast_string_to_dynamic_use_inference=1&wait_end_of_query=1&send_progress_in_http_headers=1&http_headers_progress_interval_ms=120000&cancel_http_readonly_queries_on_client_close=1} SELECT count() FROM daily_totals FORMAT Native
SELECT currentDatabase()
SHOW DATABASES
SHOW TABLES
SELECT name FROM system.tables WHERE database = 'footfall_bi' AND engine IN ('View', 'WindowView')
SELECT engine, engine_full, comment FROM system.tables WHERE database = 'footfall_bi' AND name = 'pages'
DESCRIBE TABLE footfall_bi.pages

-- Superset: superset/db_engine_specs/clickhouse.py.
SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions LIMIT 10000

-- Metabase: modules/drivers/clickhouse/src/metabase/driver/clickhouse.clj, clickhouse_introspection.clj, clickhouse_version.clj.
{select_sequential_consistency=1} SELECT timezone() AS tz
{session_timezone=Europe/Berlin&select_sequential_consistency=1} SELECT day, sum(visitors) FROM daily_totals GROUP BY day
WITH s AS (SELECT version() AS ver, splitByChar('.', ver) AS verSplit) SELECT s.ver, toInt32(s.verSplit[1]) AS major, toInt32(s.verSplit[2]) AS minor FROM s
SELECT value = '1' FROM system.settings WHERE name = 'cloud_mode'

-- The JDBC driver: jdbc-v2 DatabaseMetaDataImpl.java, client-v2 Client.loadServerInfo.
SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1
SELECT '' AS TABLE_CAT, t.database AS TABLE_SCHEM, t.name AS TABLE_NAME, CASE WHEN t.engine LIKE '%Log' THEN 'LOG TABLE' WHEN t.engine LIKE 'View' THEN 'VIEW' WHEN t.is_temporary THEN 'TEMPORARY TABLE' ELSE 'TABLE' END AS TABLE_TYPE, t.comment AS REMARKS, d.engine AS REF FROM system.tables t JOIN system.databases d ON t.database = d.name WHERE t.database LIKE '%' AND t.name LIKE '%' ORDER BY t.database, t.name
SELECT database, table, name, type, default_kind, comment, position FROM system.columns WHERE database LIKE '%' AND table LIKE 'pages' ORDER BY position
SELECT name FROM system.databases WHERE name LIKE '%'

-- Grafana's ClickHouse data source: pkg/plugin/driver.go, schema.go.
SELECT 1
SELECT version()
SELECT database, name FROM system.tables
SELECT database, table, name, type, comment FROM system.columns
SELECT DISTINCT attribute FROM published_visitors LIMIT 1000 SETTINGS max_execution_time = 1
{max_execution_time=1} SELECT toStartOfInterval(toDateTime(hour), INTERVAL 3600 second) AS time, sum(hits) AS hits FROM hourly_totals WHERE hour >= toDateTime(1773000000) AND hour <= toDateTime(1774000000) GROUP BY time ORDER BY time

-- @clickhouse/client 1.23.1 and the clickhouse crate 0.15.3: seen at the port.
{param_day=2026-03-10} SELECT sum(visits) FROM daily_totals WHERE day = {day:Date} FORMAT JSONEachRow
{default_format=RowBinaryWithNamesAndTypes} SELECT site, day, visitors FROM daily_totals
{enable_http_compression=1} SELECT page FROM pages FORMAT JSON
