-- What to look at on a PostgreSQL server (14 or later) that holds an agent-store. As a member of
-- pg_monitor, or as a superuser, in the store's database:  psql -f queries.sql
-- The last three read the log itself and need SELECT on it. Run those of 1 to 6 on the primary.

\echo 1. Replication lag, for each standby
-- replay_lag_bytes: WAL that a standby has not applied yet. Growing for minutes: it cannot keep up,
-- and every commit waits for it where it is synchronous. write_lag, flush_lag and replay_lag are
-- NULL on an idle server, and that is not a fault.
-- No row at all: nobody replicates from here.
SELECT application_name, client_addr, state, sync_state,
  pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) AS flush_lag_bytes,
  pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS replay_lag_bytes,
  write_lag, flush_lag, replay_lag
FROM pg_stat_replication ORDER BY application_name;

\echo 2. Synchronous standbys: missing ones
-- names set and connected 0: every append blocks until its client's deadline.
-- names empty on a server that is meant to be safe: an acknowledged entry is on one disk only.
-- lowered above 0: a role or database has a synchronous_commit of its own, which may be off.
SELECT current_setting('synchronous_standby_names') AS names,
  (SELECT count(*) FROM pg_stat_replication
   WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')) AS connected,
  (SELECT count(*) FROM pg_db_role_setting
   WHERE array_to_string(setconfig, ' ') LIKE '%synchronous_commit%') AS lowered;

\echo 3. Commits that wait for a standby
-- Any row older than a second or two: the standbys are slow or gone. These sessions have their
-- rows written and flushed here; statement_timeout does not end them. Do NOT cancel or
-- terminate them to help: the client may then be told of a commit that no standby has.
SELECT pid, usename, client_addr, application_name,
  clock_timestamp() - query_start AS waiting, left(query, 60) AS query
FROM pg_stat_activity WHERE wait_event = 'SyncRep' ORDER BY query_start;

\echo 4. Long and idle transactions
-- An append takes milliseconds. Older than a minute: an agent stands still inside
-- db.transaction(), holds its locks and keeps vacuum from what is dead. A snapshot (verify) may
-- rightly be long; its backend_xid is NULL.
SELECT pid, usename, client_addr, application_name, state, wait_event_type, wait_event,
  clock_timestamp() - xact_start AS age, backend_xid IS NOT NULL AS writes, left(query, 60) AS query
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND xact_start < clock_timestamp() - interval '10 seconds'
ORDER BY xact_start;

\echo 5. Advisory lock waits
-- A few for moments: several processes append to one log and take turns. Many, for long: one
-- log is written by too many; give each process a writer name of its own.
-- blocked_by names who holds it up.
SELECT l.pid, a.usename, a.application_name, l.classid, l.objid,
  pg_blocking_pids(l.pid) AS blocked_by, clock_timestamp() - a.query_start AS waiting
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND NOT l.granted ORDER BY a.query_start;

\echo 6. Replication slots and archiving
-- retained_bytes growing: a standby that is gone makes the server keep WAL until the disk is full.
-- wal_status 'lost': that standby must be made anew.
-- failed_now true: the last attempt to archive failed; no restore beyond last_archived_time.
SELECT slot_name, active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS retained_bytes
FROM pg_replication_slots ORDER BY slot_name;
SELECT archived_count, last_archived_time, failed_count, last_failed_time,
  coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failed_now
FROM pg_stat_archiver;

\echo 7. Sizes and dead rows
-- The log is only inserted to: dead_rows beyond a few per cent there are refused or rolled-back
-- appends, or somebody deletes. In _agent_store_meta dead rows come with every bump; thousands of
-- them in a table of a few counters: autovacuum does not keep up, or a long transaction (4.)
-- holds it back. never_vacuumed true on a large log: reads visit the heap, and freezing will
-- come all at once.
SELECT relname, pg_size_pretty(pg_relation_size(relid)) AS heap, pg_size_pretty(pg_indexes_size(relid)) AS indexes,
  pg_size_pretty(pg_total_relation_size(relid)) AS total, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
  coalesce(last_autovacuum, last_vacuum) IS NULL AS never_vacuumed
FROM pg_stat_user_tables WHERE relname LIKE '\_agent\_store%' ORDER BY pg_total_relation_size(relid) DESC;

\echo 8. Rows that were edited or deleted, ever
-- updated or deleted above 0 on the log: somebody changed history. Verify at once, and look into
-- the server's log. (Counted since the statistics were last reset; TRUNCATE does not count.)
SELECT relname, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
FROM pg_stat_user_tables WHERE relname LIKE '\_agent\_store\_log%' ORDER BY relname;

\echo 9. The guards are there
-- Anything but true in append_only or always: somebody dropped or disabled a trigger. Empty where
-- the append-only step was never run.
SELECT tgrelid::regclass AS table_name, tgname, tgenabled = 'A' AS always
FROM pg_trigger WHERE tgname LIKE '\_agent\_store%' ORDER BY 1, 2;

\echo 10. Transaction id wraparound
-- Beyond 200 million an aggressive autovacuum starts by itself; beyond one thousand million
-- something keeps it from ending (4., a slot, a prepared transaction); near 2,100 million the
-- server stops taking writes.
SELECT datname, age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS multixact_age
FROM pg_database ORDER BY age(datfrozenxid) DESC;

\echo 11. Appends a second, over five seconds
-- Compare with your own usual. Zero while agents run, with rows in 3.: a standby is missing.
-- The server's figures are up to a second late.
SELECT sum(n_tup_ins) AS inserted FROM pg_stat_user_tables WHERE relname LIKE '\_agent\_store\_log%' \gset before_
SELECT pg_sleep(5) \g /dev/null
SELECT (sum(n_tup_ins) - :before_inserted) / 5.0 AS appends_per_second
FROM pg_stat_user_tables WHERE relname LIKE '\_agent\_store\_log%';

\echo 12. The longest logs, from the statistics
-- No reading of the log: the streams that are most of it, as the last ANALYZE saw them. One
-- that is most of everything: partitioning by stream will not spread it.
SELECT s.stream, round((s.share * c.reltuples)::numeric) AS entries_estimated
FROM pg_stats AS p
JOIN pg_class AS c ON c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass
CROSS JOIN LATERAL unnest(p.most_common_vals::text::text[], p.most_common_freqs) AS s (stream, share)
WHERE p.tablename = '_agent_store_log' AND p.attname = 'stream'
ORDER BY 2 DESC LIMIT 20;

\echo 13. Entries and bytes of each stream, exactly
-- Reads the whole log: not every minute, and better on a standby.
SELECT stream, count(DISTINCT writer) AS writers, count(*) AS entries,
  pg_size_pretty(sum(octet_length(payload))::bigint) AS payload,
  pg_size_pretty(sum(pg_column_size(l.*))::bigint) AS stored
FROM _agent_store_log AS l GROUP BY stream ORDER BY count(*) DESC LIMIT 20;

\echo 14. Gaps
-- Any row: entries are missing from the middle of a log, or its start. agent-store verify says more.
SELECT stream, writer, count(*) AS entries, min(seq) AS first, max(seq) AS last
FROM _agent_store_log GROUP BY stream, writer
HAVING min(seq) <> 1 OR max(seq) <> count(*) ORDER BY stream, writer LIMIT 20;
