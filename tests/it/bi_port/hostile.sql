-- Statements that must not get through the BI port, one a line, run by tests/it/bi_port.rs with a token of the site
-- mia and with one of the platform. The group before the bar says what is expected:
-- refused: an error, for both. blind: for the token of mia, an error or an answer without a trace of the site tom.
-- bounded: an error within a few seconds. `{setting=value}` as in connect.sql.

-- Base tables, what is pending, the registry.
refused| SELECT * FROM footfall.daily
refused| SELECT count() FROM footfall.published
refused| SELECT * FROM footfall.unpublished
refused| SELECT * FROM footfall.pending
refused| SELECT digest FROM footfall.tokens
refused| SELECT * FROM footfall.shares
refused| SELECT * FROM footfall.withdrawals
refused| SELECT * FROM footfall.sign_outs
refused| SELECT * FROM footfall.messages
refused| SELECT * FROM footfall.audit
refused| SELECT secret FROM footfall.coin_keys
refused| SELECT * FROM footfall.bi_access
refused| SELECT * FROM footfall.names
refused| SELECT site FROM footfall.hourly LIMIT 1
refused| SELECT * FROM footfall_bi.daily_totals UNION ALL SELECT * FROM footfall.activity
refused| SELECT * FROM daily_totals WHERE site IN (SELECT name FROM footfall.names)
refused| WITH (SELECT any(name) FROM footfall.names) AS n SELECT n
refused| DESCRIBE TABLE footfall.pending
refused| SHOW CREATE TABLE footfall.tokens
refused| EXISTS TABLE footfall.tokens
refused| SELECT * FROM merge('footfall', '.*')
refused| SELECT * FROM mergeTreeIndex('footfall', 'published')
refused| SELECT * FROM mergeTreeParts('footfall', 'published')
refused| CHECK TABLE footfall.published
refused| SELECT * FROM loop('footfall', 'tokens') LIMIT 1
refused| SELECT * FROM dictionary('footfall.names')
refused| SELECT dictGet('footfall.names', 'name', toUInt64(1))
refused| SELECT joinGet('footfall.names', 'name', 1)

-- The other site's rows.
blind| SELECT * FROM daily_totals
blind| SELECT * FROM daily_totals WHERE site = 'tom'
blind| SELECT * FROM pages WHERE site != 'mia'
blind| SELECT * FROM sites
blind| SELECT * FROM published_visitors WHERE 1 OR site = 'tom'
blind| SELECT * FROM hourly_totals WHERE site = 'tom' OR 1
blind| SELECT groupUniqArray(site) FROM pages
blind| SELECT count() FROM pages WHERE throwIf(position(page, 'hidden') > 0, 'tom has it')
blind| SELECT count() FROM daily_totals WHERE throwIf(site = 'tom')
blind| SELECT count() FROM pages WHERE intDiv(1, page != '/u/tom/hidden') = 1
blind| SELECT count() FROM pages PREWHERE throwIf(page = '/u/tom/hidden')
blind| SELECT * FROM platform_published_visitors
blind| SELECT * FROM pages AS a CROSS JOIN sites AS b
blind| SELECT * FROM dropped_hits
blind| EXPLAIN SELECT * FROM pages WHERE site = 'tom'
blind| EXPLAIN ESTIMATE SELECT * FROM pages
blind| {additional_table_filters={'footfall.names':'1'}} SELECT * FROM sites
blind| SELECT * FROM pages SETTINGS final = 1, optimize_move_to_prewhere = 0, query_plan_filter_push_down = 0
blind| SELECT query FROM system.query_log
refused| SELECT count() FROM pages SETTINGS additional_table_filters = {'footfall.bi_access': 'platform = 0'}
refused| SELECT 1 SETTINGS additional_result_filter = '1'
refused| {additional_table_filters={'footfall.daily':'throwIf(1)'}} SELECT count() FROM pages

-- Files.
refused| SELECT * FROM file('/etc/passwd', 'LineAsString')
refused| SELECT file('/etc/passwd')
refused| SELECT `file`('/etc/passwd')
refused| SELECT `\x66ile`('/etc/passwd')
refused| SELECT `fi\Nle`('/etc/passwd')
refused| SELECT '/etc/passwd' AS x, * APPLY(file) FROM (SELECT '/etc/passwd')
refused| SELECT FILE/**/('/etc/passwd')
refused| SELECT 1 INTO OUTFILE '/tmp/footfall-bi-out'
refused| INSERT INTO daily_totals FROM INFILE '/etc/passwd' FORMAT TSV
refused| SELECT * FROM fileCluster('default', '/etc/passwd', 'LineAsString')
refused| SELECT * FROM sqlite('/tmp/x.db', 't')
refused| SELECT * FROM executable('id', 'TSV', 'a String')
refused| SELECT catboostEvaluate('/etc/passwd', 1.0)
refused| SELECT * FROM filesystem('/etc')

-- The network.
refused| SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')
refused| SELECT * FROM remote('127.0.0.1:1', 'system', 'one')
refused| SELECT * FROM remoteSecure('127.0.0.1:1', 'system', 'one')
refused| SELECT * FROM s3('http://127.0.0.1:1/b/k', 'TSV', 'a String')
refused| SELECT * FROM gcs('http://127.0.0.1:1/b/k', 'TSV', 'a String')
refused| SELECT * FROM azureBlobStorage('x', 'y', 'z')
refused| SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'TSV', 'a String')
refused| SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')
refused| SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')
refused| SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')
refused| SELECT * FROM redis('127.0.0.1:1', 'key', 'key String, v String')
refused| SELECT * FROM jdbc('jdbc:x', 'd', 't')
refused| SELECT * FROM deltaLake('http://127.0.0.1:1/x')
refused| SELECT * FROM iceberg('http://127.0.0.1:1/x')
refused| SELECT * FROM cluster('default', 'footfall', 'tokens')
refused| SELECT * FROM clusterAllReplicas('default', 'system', 'users')
refused| SELECT aiGenerate('hello')

-- The engine's own tables and its access control.
refused| SELECT * FROM system.users
refused| SELECT * FROM system.row_policies
refused| SELECT * FROM system.grants
refused| SELECT * FROM system.processes
refused| SELECT * FROM system.clusters
refused| SELECT * FROM system.disks
refused| SELECT * FROM system.errors
refused| SELECT * FROM system.server_settings
refused| SELECT * FROM system.settings_profiles
refused| SELECT * FROM system.stack_trace
refused| SELECT * FROM system.parts
refused| SHOW USERS
refused| SHOW ACCESS
refused| SHOW PROCESSLIST
refused| SHOW GRANTS FOR collector
refused| SHOW CREATE USER collector
refused| SELECT addressToLine(1)
refused| SELECT getClientHTTPHeader('X-ClickHouse-Key')

-- Changes of data, rights and settings.
refused| CREATE TABLE footfall_bi.t (a UInt8) ENGINE = Memory
refused| CREATE TEMPORARY TABLE t (a UInt8)
refused| CREATE DATABASE other
refused| CREATE VIEW footfall_bi.v AS SELECT 1
refused| CREATE OR REPLACE VIEW footfall_bi.v DEFINER = collector SQL SECURITY DEFINER AS SELECT * FROM footfall.tokens
refused| CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'tokens' DB 'footfall')) LAYOUT(FLAT()) LIFETIME(0)
refused| CREATE USER mallory
refused| CREATE ROW POLICY p ON footfall.daily USING 1 TO bi_1
refused| CREATE FUNCTION f AS (x) -> x
refused| CREATE NAMED COLLECTION c AS a = 1
refused| GRANT SELECT ON *.* TO bi_1
refused| EXECUTE AS collector SELECT 1
refused| SET ROLE ALL EXCEPT x
refused| DROP VIEW footfall_bi.pages
refused| DROP TABLE footfall.daily
refused| TRUNCATE TABLE footfall.daily
refused| ALTER TABLE footfall.daily DELETE WHERE 1
refused| DELETE FROM footfall.daily WHERE 1
refused| INSERT INTO footfall_bi.pages VALUES ('mia')
refused| INSERT INTO FUNCTION null('a UInt8') SELECT 1
refused| OPTIMIZE TABLE footfall.daily FINAL
refused| RENAME TABLE footfall.daily TO footfall.x
refused| DETACH TABLE footfall.daily
refused| BACKUP DATABASE footfall TO Disk('default', 'b')
refused| RESTORE DATABASE footfall FROM Disk('default', 'b')
refused| KILL QUERY WHERE user = 'collector'
refused| KILL QUERY WHERE 1 SYNC
refused| KILL MUTATION WHERE 1
refused| SYSTEM SHUTDOWN
refused| SYSTEM STOP MERGES footfall.daily
refused| SYSTEM STOP LISTEN HTTP
refused| SYSTEM FLUSH LOGS
refused| SYSTEM DROP MARK CACHE
refused| SELECT 1 SETTINGS readonly = 0
refused| {readonly=0} SELECT 1
refused| {readonly=1} SELECT 1 SETTINGS max_memory_usage = 1000000000000
refused| SET readonly = 0
refused| SELECT 1 SETTINGS max_execution_time = 0
refused| SELECT 1 SETTINGS max_execution_time = 3600
refused| SELECT 1 SETTINGS max_memory_usage = 0
refused| SELECT 1 SETTINGS max_result_rows = 0
refused| {max_threads=64} SELECT 1
refused| SELECT 1 SETTINGS allow_ddl = 1
refused| SELECT 1 SETTINGS allow_introspection_functions = 1
refused| SELECT 1 SETTINGS max_bytes_before_external_group_by = 1000000
refused| SELECT 1 SETTINGS dialect = 'kusto'
refused| SELECT 1 SETTINGS use_query_cache = 1
refused| {profile=collector} SELECT 1
refused| {profile=startup} SELECT 1
refused| {profile=default&max_execution_time=3600} SELECT 1

-- Memory, time and size.
bounded| SELECT groupArray(number) FROM numbers(1000000000)
bounded| SELECT s FROM (SELECT repeat('x', 10000) || toString(number) AS s FROM numbers(1000000)) ORDER BY s DESC LIMIT 100000, 1
bounded| SELECT uniqExact(number) FROM numbers(10000000000)
bounded| SELECT arrayJoin(range(1000000000))
bounded| SELECT repeat('x', 1000000000)
bounded| SELECT number FROM numbers(10000000000) FORMAT TSV
bounded| SELECT a.number FROM numbers(100000000) AS a JOIN numbers(100000000) AS b ON a.number = b.number
bounded| SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b
bounded| SELECT sleepEachRow(1) FROM numbers(1000)
bounded| SELECT sleep(3)
bounded| SELECT sum(cityHash64(number)) FROM system.numbers
bounded| SELECT max(s) FROM (SELECT randomString(1000000) AS s FROM numbers(1000)) GROUP BY s
