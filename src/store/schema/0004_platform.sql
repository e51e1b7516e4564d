-- What operators look at over all sites. `activity` holds the totals of sites again, by day first: the platform's busiest sites are
-- read without touching the others' rows. `names` tells what a site's id stands for, where a profile rule made the site.

CREATE TABLE IF NOT EXISTS activity{on_cluster} (
    day  Date   CODEC(ZSTD(1)),
    site UInt64 CODEC(ZSTD(1)),
    {activity.columns}
) ENGINE = {activity.engine} PARTITION BY toYYYYMM(day) ORDER BY (day, site) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS names{on_cluster} (
    site     UInt64 CODEC(ZSTD(1)),
    name     String CODEC(ZSTD(1)),
    revision UInt64 CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY site SETTINGS {synced}
