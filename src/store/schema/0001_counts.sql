-- The tables of counts. Words in braces are put in by schema.rs: the engine clause and ON CLUSTER differ between one machine
-- and a cluster; the counters come from the list in the code. Every counter is 64 bits wide: a sum of narrow ones wraps.

CREATE TABLE IF NOT EXISTS daily{on_cluster} (
    site    UInt64                 CODEC(ZSTD(1)),
    day     Date                   CODEC(ZSTD(1)),
    subject LowCardinality(String) CODEC(ZSTD(1)),
    item    String                 CODEC(ZSTD(1)),
    dim     LowCardinality(String) CODEC(ZSTD(1)),
    value   LowCardinality(String) CODEC(ZSTD(1)),
    {daily.columns}
) ENGINE = {daily.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, subject, dim, day, item, value) SETTINGS {settings};

CREATE TABLE IF NOT EXISTS hourly{on_cluster} (
    site UInt64          CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(ZSTD(1)),
    {hourly.columns}
) ENGINE = {hourly.engine} PARTITION BY toYYYYMM(hour) ORDER BY (site, hour) SETTINGS {settings};

CREATE TABLE IF NOT EXISTS money{on_cluster} (
    site     UInt64                 CODEC(ZSTD(1)),
    day      Date                   CODEC(ZSTD(1)),
    event    LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    {money.columns}
) ENGINE = {money.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, event, day, currency) SETTINGS {settings};

CREATE TABLE IF NOT EXISTS drops{on_cluster} (
    hour   DateTime('UTC')        CODEC(ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    {drops.columns}
) ENGINE = {drops.engine} PARTITION BY toYYYYMM(hour) ORDER BY (hour, reason) SETTINGS {settings};

-- Which months of daily were folded, and how far their parts had got then: later parts mean the month has to be folded again.
CREATE TABLE IF NOT EXISTS folds{on_cluster} (
    month UInt32 CODEC(ZSTD(1)),
    block Int64  CODEC(ZSTD(1))
) ENGINE = {plain.engine} ORDER BY (month, block)
