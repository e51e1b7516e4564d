-- What is counted about pages and about nobody: how fast they were, and what went wrong on them.

-- By metric first: a site reads five short runs, and the platform's slowest pages are found in a fifth of the table.
CREATE TABLE IF NOT EXISTS vitals{on_cluster} (
    site   UInt64                 CODEC(ZSTD(1)),
    day    Date                   CODEC(ZSTD(1)),
    path   String                 CODEC(ZSTD(1)),
    device LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    bucket UInt8                  CODEC(ZSTD(1)),
    {vitals.columns}
) ENGINE = {vitals.engine} PARTITION BY toYYYYMM(day) ORDER BY (metric, site, day, path, device, bucket) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS faults{on_cluster} (
    site  UInt64                 CODEC(ZSTD(1)),
    day   Date                   CODEC(ZSTD(1)),
    path  String                 CODEC(ZSTD(1)),
    kind  LowCardinality(String) CODEC(ZSTD(1)),
    fault String                 CODEC(ZSTD(1)),
    {faults.columns}
) ENGINE = {faults.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, kind, day, fault, path) SETTINGS {settings}, {synced};

-- A month of vitals is folded too: its devices are an attribute of people.
ALTER TABLE folds{on_cluster} ADD COLUMN IF NOT EXISTS counts LowCardinality(String) DEFAULT 'daily' CODEC(ZSTD(1))
