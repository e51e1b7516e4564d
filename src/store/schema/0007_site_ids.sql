-- Ids of sites have 128 bits, and counts of people's attributes leave `daily`: what is not published yet stands apart from what is.
-- The tables that were there before are set aside, these are filled from them beside and put in their place by 0007's step in Rust.

-- What became of the ids of 64 bits: segments of former versions still carry them.
CREATE TABLE IF NOT EXISTS site_ids{on_cluster} (
    legacy UInt64  CODEC(ZSTD(1)),
    site   UInt128 CODEC(ZSTD(1))
) ENGINE = {replacing.everywhere} ORDER BY legacy SETTINGS {synced};

CREATE TABLE IF NOT EXISTS daily{on_cluster} (
    site    UInt128                CODEC(ZSTD(1)),
    day     Date                   CODEC(ZSTD(1)),
    subject LowCardinality(String) CODEC(ZSTD(1)),
    item    String                 CODEC(ZSTD(1)),
    {daily.columns}
) ENGINE = {daily.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, subject, day, item) SETTINGS {settings}, {synced};

-- Attributes of days that are not published yet. A part is merged and goes as soon as it can: a lonely visit must not lie by itself.
CREATE TABLE IF NOT EXISTS unpublished{on_cluster} (
    site    UInt128                CODEC(ZSTD(1)),
    zone    LowCardinality(String) CODEC(ZSTD(1)),
    day     Date                   CODEC(ZSTD(1)),
    subject LowCardinality(String) CODEC(ZSTD(1)),
    item    String                 CODEC(ZSTD(1)),
    dim     LowCardinality(String) CODEC(ZSTD(1)),
    value   LowCardinality(String) CODEC(ZSTD(1)),
    segment UInt64                 CODEC(ZSTD(1)),
    {unpublished.columns}
) ENGINE = {unpublished.engine} PARTITION BY day ORDER BY (site, subject, dim, item, value, zone, day, segment)
SETTINGS {settings}, {synced}, {short_lived};

-- What of each cell still waits between two publications, without its days. `since` is the Monday of the week it began to wait in.
CREATE TABLE IF NOT EXISTS pending{on_cluster} (
    site     UInt128                CODEC(ZSTD(1)),
    subject  LowCardinality(String) CODEC(ZSTD(1)),
    item     String                 CODEC(ZSTD(1)),
    dim      LowCardinality(String) CODEC(ZSTD(1)),
    value    LowCardinality(String) CODEC(ZSTD(1)),
    zone     LowCardinality(String) CODEC(ZSTD(1)),
    visitors UInt64                 CODEC(ZSTD(1)),
    visits   UInt64                 CODEC(ZSTD(1)),
    networks UInt64                 CODEC(ZSTD(1)),
    since    Date                   CODEC(ZSTD(1)),
    counted  UInt64                 CODEC(ZSTD(1)),
    lot      UInt64                 CODEC(ZSTD(1))
) ENGINE = {replacing.lot} ORDER BY (site, subject, dim, item, value) SETTINGS {synced}, {short_lived};

-- What reports read. `day` is the day of publication. A row may stand twice until parts are merged: group by the whole key first.
CREATE TABLE IF NOT EXISTS published{on_cluster} (
    site     UInt128                CODEC(ZSTD(1)),
    day      Date                   CODEC(ZSTD(1)),
    subject  LowCardinality(String) CODEC(ZSTD(1)),
    item     String                 CODEC(ZSTD(1)),
    dim      LowCardinality(String) CODEC(ZSTD(1)),
    value    LowCardinality(String) CODEC(ZSTD(1)),
    lot      UInt64                 CODEC(ZSTD(1)),
    visitors UInt64                 CODEC(ZSTD(1)),
    visits   UInt64                 CODEC(ZSTD(1))
) ENGINE = {replacing} PARTITION BY toYYYYMM(day) ORDER BY (site, subject, dim, day, item, value, lot) SETTINGS {synced};

CREATE TABLE IF NOT EXISTS publications{on_cluster} (
    zone     LowCardinality(String)      CODEC(ZSTD(1)),
    at       DateTime('UTC')             CODEC(ZSTD(1)),
    lot      UInt64                      CODEC(ZSTD(1)),
    day      Date                        CODEC(ZSTD(1)),
    closes   UInt8                       CODEC(ZSTD(1)),
    segments Array(Tuple(Date, UInt64))  CODEC(ZSTD(1)),
    slices   UInt32                      CODEC(ZSTD(1)),
    done     UInt8                       CODEC(ZSTD(1)),
    finished DateTime('UTC')             CODEC(ZSTD(1))
) ENGINE = {replacing.done} ORDER BY (zone, at) SETTINGS {settings}, {synced};

-- The platform's secret for the coin that decides about lots between k and 2k.
CREATE TABLE IF NOT EXISTS coin_keys{on_cluster} (
    made   DateTime('UTC') CODEC(ZSTD(1)),
    secret String          CODEC(ZSTD(1))
) ENGINE = {plain.engine} ORDER BY made SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS hourly{on_cluster} (
    site UInt128         CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(ZSTD(1)),
    {hourly.columns}
) ENGINE = {hourly.engine} PARTITION BY toYYYYMM(hour) ORDER BY (site, hour) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS money{on_cluster} (
    site     UInt128                CODEC(ZSTD(1)),
    day      Date                   CODEC(ZSTD(1)),
    event    LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    {money.columns}
) ENGINE = {money.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, event, day, currency) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS vitals{on_cluster} (
    site   UInt128                CODEC(ZSTD(1)),
    day    Date                   CODEC(ZSTD(1)),
    path   String                 CODEC(ZSTD(1)),
    device LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    bucket UInt8                  CODEC(ZSTD(1)),
    {vitals.columns}
) ENGINE = {vitals.engine} PARTITION BY toYYYYMM(day) ORDER BY (metric, site, day, path, device, bucket) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS faults{on_cluster} (
    site  UInt128                CODEC(ZSTD(1)),
    day   Date                   CODEC(ZSTD(1)),
    path  String                 CODEC(ZSTD(1)),
    kind  LowCardinality(String) CODEC(ZSTD(1)),
    fault String                 CODEC(ZSTD(1)),
    {faults.columns}
) ENGINE = {faults.engine} PARTITION BY toYYYYMM(day) ORDER BY (site, kind, day, fault, path) SETTINGS {settings}, {synced};

CREATE TABLE IF NOT EXISTS activity{on_cluster} (
    day  Date    CODEC(ZSTD(1)),
    site UInt128 CODEC(ZSTD(1)),
    {activity.columns}
) ENGINE = {activity.engine} PARTITION BY toYYYYMM(day) ORDER BY (day, site) SETTINGS {settings}, {synced};

-- By name as well: two names with one id would both be seen.
CREATE TABLE IF NOT EXISTS names{on_cluster} (
    site     UInt128 CODEC(ZSTD(1)),
    name     String  CODEC(ZSTD(1)),
    revision UInt64  CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY (site, name) SETTINGS {synced}
