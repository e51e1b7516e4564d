-- Opens and clicks of the platform's mails: by template and batch, never by recipient. And, where the platform asks for it with
-- mail.mode = per_message, whether one message was opened, under the digest of a token only the platform holds.

CREATE TABLE IF NOT EXISTS mail{on_cluster} (
    day      Date                   CODEC(ZSTD(1)),
    template LowCardinality(String) CODEC(ZSTD(1)),
    batch    Date                   CODEC(ZSTD(1)),
    action   LowCardinality(String) CODEC(ZSTD(1)),
    link     LowCardinality(String) CODEC(ZSTD(1)),
    reader   LowCardinality(String) CODEC(ZSTD(1)),
    {mail.columns}
) ENGINE = {mail.engine} PARTITION BY toYYYYMM(day) ORDER BY (template, day, batch, action, link, reader) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS messages{on_cluster} (
    digest   String                 CODEC(ZSTD(1)),
    template LowCardinality(String) CODEC(ZSTD(1)),
    expires  Date                   CODEC(ZSTD(1)),
    opened   Date                   CODEC(ZSTD(1)),
    revoked  Bool                   CODEC(ZSTD(1)),
    revision UInt64                 CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY digest SETTINGS {synced}
