-- The totals of sites by month, for months whose days are no longer in `activity` (src/store/ageing.rs). A row of site 0 ends the
-- sums of a month: of all revisions, the latest with such a row counts. `parts` are the parts of `activity` that these sums contain.

CREATE TABLE IF NOT EXISTS activity_months{on_cluster} (
    month    Date            CODEC(ZSTD(1)),
    site     UInt128         CODEC(ZSTD(1)),
    revision UInt64          CODEC(ZSTD(1)),
    {activity.columns},
    finished DateTime('UTC') CODEC(ZSTD(1)),
    parts    Array(String)   CODEC(ZSTD(1))
) ENGINE = {plain.engine} PARTITION BY toYYYYMM(month) ORDER BY (month, site) SETTINGS {synced}
