//! Shards: databases that hold the counts of some of the sites each.
//!
//! A site's rows are on one shard, which follows from its id and never changes. The platform's
//! totals (site 0) are on every shard, each the sum over the shard's own sites. Its attributes are
//! whole dimensions: lots are made of all values of a dimension, so that a difference between two
//! of them identifies no visitor, and a list in two halves would be published by other rules. What
//! is of no site (dropped hits, mails, the registry) is on the first shard.

use std::collections::BTreeMap;

use super::client::StoreClient;
use super::error::{StoreError, error_during};
use super::schema::CountsTable;
use crate::aggregate::{AttributeSums, DailyKey, HourlyKey, SegmentSums};
use crate::event::{CounterValues, Dimension, SiteId, Subject};

/// The table of the database's place. Stores without shards do not have it.
pub(super) const PLACES_TABLE: &str = "shard_places";

const CREATE_PLACES: &str = "CREATE TABLE IF NOT EXISTS shard_places (number UInt32, shards \
                             UInt32, at DateTime('UTC') DEFAULT now('UTC')) ENGINE = MergeTree \
                             ORDER BY (number, shards) SETTINGS fsync_after_insert = 1, \
                             fsync_part_directory = 1";

const STEP: &str = "reading which shard it is";

/// Which of how many shards a database is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardPlace {
    index: u32,
    count: u32,
}

impl ShardPlace {
    /// A store without shards.
    pub const WHOLE: ShardPlace = ShardPlace { index: 0, count: 1 };

    /// The shard at `index`, from 0, of `count`.
    pub fn new(index: u32, count: u32) -> ShardPlace {
        ShardPlace {
            index,
            count: count.max(1),
        }
    }

    /// Its number, from 1, in the order of `store.shards`.
    pub fn number(self) -> u32 {
        self.index + 1
    }

    /// Its index, from 0, in the order of `store.shards`.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Whether there are other shards.
    pub fn is_part(self) -> bool {
        self.count > 1
    }

    /// The index of the shard that holds a site among `count`. The platform has no such shard.
    pub fn owner_of(site: SiteId, count: usize) -> usize {
        let owner = site.as_u128() % count.max(1) as u128;
        usize::try_from(owner).expect("less than the number of shards")
    }

    /// A condition on the column `site` for the shard's sites.
    pub(super) fn site_condition(self) -> String {
        format!("site % {} = {}", self.count, self.index)
    }

    fn owns_site(self, site: SiteId) -> bool {
        ShardPlace::owner_of(site, self.count as usize) == self.index()
    }

    /// Whether the platform's attributes of this dimension are here.
    fn owns_dimension(self, dim: Dimension) -> bool {
        self.owns_site(SiteId::from_key(dim.name()))
    }

    /// The rows of a segment that belong on this shard. The same segment always gives the same
    /// rows, so that blocks which were sent are found by their markers.
    pub(super) fn select_rows(self, sums: &SegmentSums) -> SegmentSums {
        let of_first = self.index == 0;
        SegmentSums {
            strings: sums.strings.clone(),
            daily: self.select_daily(&sums.daily),
            hourly: self.select_hourly(&sums.hourly),
            money: self.select_of_sites(&sums.money, |key| key.site),
            drops: if of_first {
                sums.drops.clone()
            } else {
                Vec::new()
            },
            vitals: self.select_of_sites(&sums.vitals, |key| key.site),
            faults: self.select_of_sites(&sums.faults, |key| key.site),
            mail: if of_first {
                sums.mail.clone()
            } else {
                Vec::new()
            },
            attributes: self.select_attributes(&sums.attributes),
        }
    }

    fn select_of_sites<K: Copy, V: Copy>(
        self,
        rows: &[(K, V)],
        site: impl Fn(&K) -> SiteId,
    ) -> Vec<(K, V)> {
        let own = rows.iter().filter(|(key, _)| {
            let site = site(key);
            site != SiteId::PLATFORM && self.owns_site(site)
        });
        own.copied().collect()
    }

    /// The rows of the shard's sites, after the platform's as their sums.
    fn select_daily(self, rows: &[(DailyKey, CounterValues)]) -> Vec<(DailyKey, CounterValues)> {
        let own = self.select_of_sites(rows, |key| key.site);
        let mut platform: BTreeMap<DailyKey, CounterValues> = BTreeMap::new();
        for (key, counts) in own.iter().filter(|(key, _)| key.subject == Subject::Site) {
            let key = DailyKey {
                site: SiteId::PLATFORM,
                ..*key
            };
            *platform.entry(key).or_insert_with(CounterValues::zeros) += *counts;
        }
        platform.into_iter().chain(own).collect()
    }

    fn select_hourly(self, rows: &[(HourlyKey, CounterValues)]) -> Vec<(HourlyKey, CounterValues)> {
        let own = self.select_of_sites(rows, |key| key.site);
        let mut platform: BTreeMap<HourlyKey, CounterValues> = BTreeMap::new();
        for (key, counts) in &own {
            let key = HourlyKey {
                site: SiteId::PLATFORM,
                ..*key
            };
            *platform.entry(key).or_insert_with(CounterValues::zeros) += *counts;
        }
        platform.into_iter().chain(own).collect()
    }

    fn select_attributes(self, sums: &AttributeSums) -> AttributeSums {
        let own = sums.rows.iter().filter(|(key, _)| match key.site {
            SiteId::PLATFORM => self.owns_dimension(key.dim),
            site => self.owns_site(site),
        });
        AttributeSums {
            strings: sums.strings.clone(),
            rows: own.copied().collect(),
        }
    }

    /// Refuses a database that is another shard, or one with counts where this one is new. The
    /// database may not exist yet. `place` is for people.
    ///
    /// # Errors
    ///
    /// The database is not this shard, or it cannot be read in time.
    pub(super) async fn check_database(
        self,
        client: &StoreClient,
        database: &str,
        place: &str,
    ) -> Result<(), StoreError> {
        if self.is_recorded(client, database, place).await? || !self.is_part() {
            return Ok(());
        }

        // The database may not exist, so the request must not name it.
        let tables = CountsTable::ALL.map(CountsTable::name);
        let sql = "SELECT toBool(count() > 0) FROM system.parts WHERE active AND database = ? AND \
                   table IN ?";
        let query = client.with_database("default").query(sql).bind(database);
        let query = query.bind(&tables[..]).fetch_one();
        match query.await.map_err(error_during(STEP))? {
            false => Ok(()),
            true => Err(StoreError::ShardNotEmpty {
                place: place.to_owned(),
            }),
        }
    }

    /// Whether the database is known to be this shard.
    async fn is_recorded(
        self,
        client: &StoreClient,
        database: &str,
        place: &str,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT toBool(count() > 0) FROM system.tables WHERE database = ? AND name = ?";
        let query = client.with_database("default").query(sql).bind(database);
        let exists: bool = query
            .bind(PLACES_TABLE)
            .fetch_one()
            .await
            .map_err(error_during(STEP))?;
        if !exists {
            return Ok(false);
        }

        let sql = "SELECT DISTINCT number, shards FROM shard_places ORDER BY number, shards";
        let query = client.with_database(database).query(sql);
        let found: Vec<(u32, u32)> = query.fetch_all().await.map_err(error_during(STEP))?;
        match found.iter().find(|of| **of != (self.number(), self.count)) {
            None => Ok(!found.is_empty()),
            Some((number, count)) => Err(StoreError::OtherShard {
                place: place.to_owned(),
                number: *number,
                count: *count,
                wanted: self.number(),
                of: self.count,
            }),
        }
    }

    /// Records that the database is this shard, before it holds any counts.
    ///
    /// # Errors
    ///
    /// Another collector made it another shard at the same time, or a statement failed.
    pub(super) async fn record_database(
        self,
        client: &StoreClient,
        database: &str,
        place: &str,
    ) -> Result<(), StoreError> {
        if !self.is_part() || self.is_recorded(client, database, place).await? {
            return Ok(());
        }
        let create = client.query_raw(CREATE_PLACES).execute();
        create.await.map_err(error_during(STEP))?;
        let sql = "INSERT INTO shard_places (number, shards) SELECT ?, ?";
        let insert = client.query(sql).bind(self.number()).bind(self.count);
        let insert = insert.with_setting("async_insert", "0").execute();
        insert.await.map_err(error_during(STEP))?;
        self.is_recorded(client, database, place).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{AttributeCounts, AttributeKey, DropKey, MoneyKey, StringId};
    use crate::calendar::Day;
    use crate::event::{CounterKind, DropReason};

    fn views(hits: u32) -> CounterValues {
        CounterValues::zeros().with_value(CounterKind::Hits, hits)
    }

    fn daily(site: SiteId, subject: Subject, item: u32, hits: u32) -> (DailyKey, CounterValues) {
        let key = DailyKey {
            site,
            day: Day::from_number(20_000),
            subject,
            item: StringId(item),
        };
        (key, views(hits))
    }

    fn attribute(site: SiteId, dim: Dimension) -> (AttributeKey, AttributeCounts) {
        let key = AttributeKey {
            site,
            zone: StringId(0),
            day: Day::from_number(20_000),
            subject: Subject::Site,
            dim,
            item: StringId(0),
            value: StringId(1),
        };
        let counts = AttributeCounts {
            visitors: 2,
            visits: 3,
            networks: 1,
            platform_networks: 0,
        };
        (key, counts)
    }

    /// Ten sites with a page each, the platform, money, a drop and attributes.
    fn segment() -> SegmentSums {
        let sites = (1..=10).map(SiteId::from_u128);
        let mut sums = SegmentSums {
            strings: vec!["".into(), "/a".into()],
            drops: vec![(
                DropKey {
                    hour: 20_000 * 86_400,
                    reason: DropReason::ALL[0],
                },
                9,
            )],
            ..SegmentSums::default()
        };
        sums.daily
            .push(daily(SiteId::PLATFORM, Subject::Site, 0, 55));
        for site in sites {
            let hits = u32::try_from(site.as_u128()).unwrap();
            sums.daily.push(daily(site, Subject::Site, 0, hits));
            sums.daily.push(daily(site, Subject::Page, 1, hits));
            let hour = HourlyKey {
                site,
                hour: 20_000 * 86_400,
            };
            sums.hourly.push((hour, views(hits)));
            let hour = HourlyKey {
                site: SiteId::PLATFORM,
                ..hour
            };
            sums.hourly.push((hour, views(hits)));
            let money = MoneyKey {
                site,
                day: Day::from_number(20_000),
                event: StringId(1),
                currency: *b"EUR",
            };
            sums.money.push((money, (1, u64::from(hits))));
            sums.attributes
                .rows
                .push(attribute(site, Dimension::Source));
        }
        let dims = Dimension::ALL
            .into_iter()
            .filter(|dim| *dim != Dimension::Total);
        let platform = dims.map(|dim| attribute(SiteId::PLATFORM, dim));
        sums.attributes.rows.extend(platform);
        sums.attributes.strings = sums.strings.clone();
        sums
    }

    #[test]
    fn each_row_is_on_one_shard_and_the_platforms_totals_are_the_sum_over_all() {
        let sums = segment();
        for count in 1..=4 {
            let parts: Vec<SegmentSums> = (0..count)
                .map(|index| ShardPlace::new(index, count).select_rows(&sums))
                .collect();
            for (index, part) in parts.iter().enumerate() {
                let of_sites = part
                    .daily
                    .iter()
                    .filter(|(key, _)| key.site != SiteId::PLATFORM);
                for (key, _) in of_sites {
                    assert_eq!(
                        ShardPlace::owner_of(key.site, count as usize),
                        index,
                        "{count}"
                    );
                }
            }

            let platform = |part: &SegmentSums| {
                let rows = part
                    .daily
                    .iter()
                    .filter(|(key, _)| key.site == SiteId::PLATFORM);
                rows.map(|(_, counts)| counts.get(CounterKind::Hits))
                    .sum::<u32>()
            };
            let hours = |part: &SegmentSums| {
                let rows = part
                    .hourly
                    .iter()
                    .filter(|(key, _)| key.site == SiteId::PLATFORM);
                rows.map(|(_, counts)| counts.get(CounterKind::Hits))
                    .sum::<u32>()
            };
            assert_eq!(parts.iter().map(platform).sum::<u32>(), 55);
            assert_eq!(parts.iter().map(hours).sum::<u32>(), 55);
            let total = |of: fn(&SegmentSums) -> usize| parts.iter().map(of).sum::<usize>();
            assert_eq!(total(|part| part.money.len()), 10);
            assert_eq!(
                total(|part| part.attributes.rows.len()),
                sums.attributes.rows.len()
            );
            assert_eq!(total(|part| part.drops.len()), 1);
            assert_eq!(parts[0].drops.len(), 1);
        }
    }

    #[test]
    fn the_only_shard_has_the_rows_of_a_store_without_shards() {
        let sums = segment();
        let whole = ShardPlace::WHOLE.select_rows(&sums);
        assert_eq!(whole.daily, sums.daily);
        assert_eq!(whole.attributes, sums.attributes);
    }

    /// Sites stay where they are in every later version.
    #[test]
    fn the_shard_of_a_site_follows_from_its_id() {
        let shards = ["mia", "tom", "zoe", "(other)"].map(|name| {
            let site = SiteId::from_key(name);
            [2, 3, 5].map(|count| ShardPlace::owner_of(site, count) as u128)
                == [2, 3, 5].map(|count| site.as_u128() % count)
        });
        assert_eq!(shards, [true; 4]);
    }
}
