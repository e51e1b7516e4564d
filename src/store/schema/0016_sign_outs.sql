-- Sessions that were signed out, for all collectors of the database: a digest of the random id, and the last day on which the cookie
-- could be valid.

CREATE TABLE IF NOT EXISTS sign_outs{on_cluster} (
    digest   FixedString(32) CODEC(ZSTD(1)),
    day      Date            CODEC(ZSTD(1)),
    revision UInt64          CODEC(ZSTD(1))
) ENGINE = {registry.engine} PARTITION BY toYYYYMM(day) ORDER BY (day, digest) SETTINGS {synced}
