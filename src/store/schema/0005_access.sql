-- Who may see what: API tokens and share links, as digests of their secrets, and the record of who changed what.

CREATE TABLE IF NOT EXISTS tokens{on_cluster} (
    id       String        CODEC(ZSTD(1)),
    digest   String        CODEC(ZSTD(1)),
    name     String        CODEC(ZSTD(1)),
    scopes   Array(String) CODEC(ZSTD(1)),
    site     String        CODEC(ZSTD(1)),
    expires  String        CODEC(ZSTD(1)),
    created  String        CODEC(ZSTD(1)),
    revoked  Bool          CODEC(ZSTD(1)),
    revision UInt64        CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY id SETTINGS {synced};

CREATE TABLE IF NOT EXISTS shares{on_cluster} (
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
) ENGINE = {registry.engine} ORDER BY id SETTINGS {synced};

CREATE TABLE IF NOT EXISTS audit{on_cluster} (
    at       DateTime64(3, 'UTC')   CODEC(ZSTD(1)),
    id       String                 CODEC(ZSTD(1)),
    who      String                 CODEC(ZSTD(1)),
    act      LowCardinality(String) CODEC(ZSTD(1)),
    what     String                 CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = {registry.engine} PARTITION BY toYYYYMM(at) ORDER BY (at, id) TTL toDate(at) + INTERVAL 761 DAY SETTINGS {synced};

ALTER TABLE sites{on_cluster} ADD COLUMN IF NOT EXISTS embed Array(String) DEFAULT [] CODEC(ZSTD(1))
