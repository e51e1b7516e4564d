-- Sums of money that cannot wrap, what was taken out of them, and how much one event of a site may bring.

ALTER TABLE money{on_cluster} MODIFY COLUMN minor UInt128 CODEC(ZSTD(1));

-- What was booked when it was taken out: day, currency (in small letters for what was over the bound), events, amount.
CREATE TABLE IF NOT EXISTS money_voids{on_cluster} (
    site      UInt128                                       CODEC(ZSTD(1)),
    id        String                                        CODEC(ZSTD(1)),
    first_day Date                                          CODEC(ZSTD(1)),
    last_day  Date                                          CODEC(ZSTD(1)),
    event     String                                        CODEC(ZSTD(1)),
    currency  LowCardinality(String)                        CODEC(ZSTD(1)),
    at        DateTime('UTC')                               CODEC(ZSTD(1)),
    booked    Array(Tuple(Date, String, UInt64, UInt128))   CODEC(ZSTD(1)),
    revision  UInt64                                        CODEC(ZSTD(1))
) ENGINE = {registry.engine} ORDER BY (site, id) SETTINGS {synced};

ALTER TABLE sites{on_cluster} ADD COLUMN IF NOT EXISTS max_amount UInt32 DEFAULT 0 CODEC(ZSTD(1))
