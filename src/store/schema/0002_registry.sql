-- The registry: sites with hosts of their own, and other names of sites. On a cluster every node holds all of it.

CREATE TABLE IF NOT EXISTS sites{on_cluster} (
    name     String                 CODEC(ZSTD(1)),
    hosts    Array(String)          CODEC(ZSTD(1)),
    zone     LowCardinality(String) CODEC(ZSTD(1)),
    removed  Bool                   CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY name SETTINGS {synced};

CREATE TABLE IF NOT EXISTS aliases{on_cluster} (
    alias    String CODEC(ZSTD(1)),
    site     String CODEC(ZSTD(1)),
    removed  Bool   CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY alias SETTINGS {synced};

-- A segment's file goes once its inserts are acknowledged: from then on a power cut must find the counts in the tables.
ALTER TABLE daily{on_cluster} MODIFY SETTING {synced};
ALTER TABLE hourly{on_cluster} MODIFY SETTING {synced};
ALTER TABLE money{on_cluster} MODIFY SETTING {synced};
ALTER TABLE drops{on_cluster} MODIFY SETTING {synced}
