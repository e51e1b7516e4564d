-- Finds the changes of the registry since a revision without reading the other rows.

ALTER TABLE sites{on_cluster} ADD INDEX IF NOT EXISTS by_revision revision TYPE minmax GRANULARITY 1;

ALTER TABLE aliases{on_cluster} ADD INDEX IF NOT EXISTS by_revision revision TYPE minmax GRANULARITY 1;

ALTER TABLE sites{on_cluster} MATERIALIZE INDEX by_revision;

ALTER TABLE aliases{on_cluster} MATERIALIZE INDEX by_revision
