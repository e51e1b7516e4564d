-- What was done to this database, in order. Never change a migration that was released: add the next.
CREATE TABLE IF NOT EXISTS migrations{on_cluster} (
    number UInt32,
    name   String,
    at     DateTime('UTC') DEFAULT now('UTC')
) ENGINE = {plain.engine} ORDER BY number
