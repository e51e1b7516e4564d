-- What a share link is called by whoever made it.

ALTER TABLE shares{on_cluster} ADD COLUMN IF NOT EXISTS name String CODEC(ZSTD(1)) AFTER digest
