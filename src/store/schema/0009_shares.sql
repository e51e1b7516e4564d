-- The answer of a share link, as it was when the link was made: what is published later does not change it.

ALTER TABLE shares{on_cluster} ADD COLUMN IF NOT EXISTS answer String CODEC(ZSTD(1)) AFTER revoked
