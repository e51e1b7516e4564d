-- Grants that were withdrawn, for all collectors of the database: SHA-256 of the consent id, and the day. Kept as long as a browser could
-- have the cookie.

CREATE TABLE IF NOT EXISTS withdrawals{on_cluster} (
    digest   FixedString(32) CODEC(ZSTD(1)),
    day      Date            CODEC(ZSTD(1)),
    revision UInt64          CODEC(ZSTD(1))
) ENGINE = {registry.engine} PARTITION BY toYYYYMM(day) ORDER BY (day, digest) SETTINGS {synced}
