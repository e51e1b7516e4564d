-- The tables as schema 6 made them, on one machine. A fixture: it must not change.

CREATE TABLE IF NOT EXISTS migrations (
    number UInt32,
    name   String,
    at     DateTime('UTC') DEFAULT now('UTC')
) ENGINE = MergeTree ORDER BY number;

CREATE TABLE IF NOT EXISTS daily (
    site    UInt64                 CODEC(ZSTD(1)),
    day     Date                   CODEC(ZSTD(1)),
    subject LowCardinality(String) CODEC(ZSTD(1)),
    item    String                 CODEC(ZSTD(1)),
    dim     LowCardinality(String) CODEC(ZSTD(1)),
    value   LowCardinality(String) CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1)), visitors UInt64 CODEC(ZSTD(1)), visits UInt64 CODEC(ZSTD(1)), bounces UInt64 CODEC(ZSTD(1)), seconds UInt64 CODEC(ZSTD(1)), exits UInt64 CODEC(ZSTD(1)), entries UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits, visitors, visits, bounces, seconds, exits, entries)) PARTITION BY toYYYYMM(day) ORDER BY (site, subject, dim, day, item, value) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS hourly (
    site UInt64          CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1)), visitors UInt64 CODEC(ZSTD(1)), visits UInt64 CODEC(ZSTD(1)), bounces UInt64 CODEC(ZSTD(1)), seconds UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits, visitors, visits, bounces, seconds)) PARTITION BY toYYYYMM(hour) ORDER BY (site, hour) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS money (
    site     UInt64                 CODEC(ZSTD(1)),
    day      Date                   CODEC(ZSTD(1)),
    event    LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1)), minor UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits, minor)) PARTITION BY toYYYYMM(day) ORDER BY (site, event, day, currency) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS drops (
    hour   DateTime('UTC')        CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits)) PARTITION BY toYYYYMM(hour) ORDER BY (hour, reason) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS folds (
    month UInt32 CODEC(ZSTD(1)),
    block Int64  CODEC(ZSTD(1))
) ENGINE = MergeTree ORDER BY (month, block);

CREATE TABLE IF NOT EXISTS sites (
    name     String                 CODEC(ZSTD(1)),
    hosts    Array(String)          CODEC(ZSTD(1)),
    zone     LowCardinality(String) CODEC(ZSTD(1)),
    removed  Bool                   CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY name SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS aliases (
    alias    String CODEC(ZSTD(1)),
    site     String CODEC(ZSTD(1)),
    removed  Bool   CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY alias SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE daily MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE hourly MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE money MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE drops MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS vitals (
    site   UInt64                 CODEC(ZSTD(1)),
    day    Date                   CODEC(ZSTD(1)),
    path   String                 CODEC(ZSTD(1)),
    device LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    bucket UInt8                  CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits)) PARTITION BY toYYYYMM(day) ORDER BY (metric, site, day, path, device, bucket) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS faults (
    site  UInt64                 CODEC(ZSTD(1)),
    day   Date                   CODEC(ZSTD(1)),
    path  String                 CODEC(ZSTD(1)),
    kind  LowCardinality(String) CODEC(ZSTD(1)),
    fault String                 CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits)) PARTITION BY toYYYYMM(day) ORDER BY (site, kind, day, fault, path) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE folds ADD COLUMN IF NOT EXISTS counts LowCardinality(String) DEFAULT 'daily' CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS activity (
    day  Date   CODEC(ZSTD(1)),
    site UInt64 CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1)), visitors UInt64 CODEC(ZSTD(1)), visits UInt64 CODEC(ZSTD(1)), bounces UInt64 CODEC(ZSTD(1)), seconds UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits, visitors, visits, bounces, seconds)) PARTITION BY toYYYYMM(day) ORDER BY (day, site) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS names (
    site     UInt64 CODEC(ZSTD(1)),
    name     String CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY site SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS tokens (
    id       String        CODEC(ZSTD(1)),
    digest   String        CODEC(ZSTD(1)),
    name     String        CODEC(ZSTD(1)),
    scopes   Array(String) CODEC(ZSTD(1)),
    site     String        CODEC(ZSTD(1)),
    expires  String        CODEC(ZSTD(1)),
    created  String        CODEC(ZSTD(1)),
    revoked  Bool          CODEC(ZSTD(1)),
    revision UInt64        CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY id SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS shares (
    id        String CODEC(ZSTD(1)),
    digest    String CODEC(ZSTD(1)),
    site      String CODEC(ZSTD(1)),
    first_day String CODEC(ZSTD(1)),
    last_day  String CODEC(ZSTD(1)),
    expires   String CODEC(ZSTD(1)),
    password  String CODEC(ZSTD(1)),
    created   String CODEC(ZSTD(1)),
    revoked   Bool   CODEC(ZSTD(1)),
    revision  UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY id SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS audit (
    at       DateTime64(3, 'UTC')   CODEC(ZSTD(1)),
    id       String                 CODEC(ZSTD(1)),
    who      String                 CODEC(ZSTD(1)),
    act      LowCardinality(String) CODEC(ZSTD(1)),
    what     String                 CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(at) ORDER BY (at, id) TTL toDate(at) + INTERVAL 761 DAY SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE sites ADD COLUMN IF NOT EXISTS embed Array(String) DEFAULT [] CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS mail (
    day      Date                   CODEC(ZSTD(1)),
    template LowCardinality(String) CODEC(ZSTD(1)),
    batch    Date                   CODEC(ZSTD(1)),
    action   LowCardinality(String) CODEC(ZSTD(1)),
    link     LowCardinality(String) CODEC(ZSTD(1)),
    reader   LowCardinality(String) CODEC(ZSTD(1)),
    hits UInt64 CODEC(ZSTD(1)), visitors UInt64 CODEC(ZSTD(1))
) ENGINE = SummingMergeTree((hits, visitors)) PARTITION BY toYYYYMM(day) ORDER BY (template, day, batch, action, link, reader) SETTINGS non_replicated_deduplication_window = 100000, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS messages (
    digest   String                 CODEC(ZSTD(1)),
    template LowCardinality(String) CODEC(ZSTD(1)),
    expires  Date                   CODEC(ZSTD(1)),
    opened   Date                   CODEC(ZSTD(1)),
    revoked  Bool                   CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(revision) ORDER BY digest SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

INSERT INTO migrations (number, name) VALUES (1, 'counts'), (2, 'registry'), (3, 'pages'), (4, 'platform'), (5, 'access'), (6, 'mail')
