-- How long the counts of a site are kept, in days; 0 where the site has no limit of its own.

ALTER TABLE sites{on_cluster} ADD COLUMN IF NOT EXISTS keep_days UInt32 DEFAULT 0 CODEC(ZSTD(1))
