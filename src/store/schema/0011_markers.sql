-- A block tells by a row of its own that it is there (src/store/marker.rs). ClickHouse's own memory of inserts can forget one that is there, and
-- remember one that is not: it is not asked any more.

ALTER TABLE daily{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE unpublished{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE hourly{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE money{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE drops{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE vitals{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE faults{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE activity{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0;
ALTER TABLE mail{on_cluster} MODIFY SETTING non_replicated_deduplication_window = 0
