//! Stores to test on, and counts to send to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::Duration;

use footfall::aggregate::{
    AttributeCounts, AttributeKey, DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey,
    SegmentSums, StringId, VitalKey,
};
use footfall::calendar::Day;
use footfall::event::{
    CounterKind, CounterValues, Dimension, DropReason, FaultKind, MailAction, ReaderKind, SiteId,
    Subject, WebVital,
};
use footfall::store::engine::{Engine, EngineLimits, EngineOptions, UNLOCK_TIMEOUT};
use footfall::store::{Store, StoreError, StoreOptions};

use crate::open_server;
use crate::port::Port;

pub fn library() -> PathBuf {
    let path = std::env::var_os("FOOTFALL_LIBCHDB").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "libchdb.so is missing: run `npm ci`, or set FOOTFALL_LIBCHDB to its path"
    );
    path
}

/// The program under test: this test's own binary is no collector.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_footfall"))
}

pub fn options(database: &str) -> StoreOptions {
    StoreOptions {
        database: database.to_owned(),
        ..StoreOptions::embedded(PathBuf::new(), program(), library())
    }
}

/// This process's engine: one directory, open until the process ends, a database for each test.
pub async fn engine() -> &'static Engine {
    static ENGINE: tokio::sync::OnceCell<Engine> = tokio::sync::OnceCell::const_new();
    ENGINE
        .get_or_init(|| async { Engine::open(&engine_options(engine_dir())).await.unwrap() })
        .await
}

pub fn engine_dir() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIR.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

pub fn engine_options(dir: &Path) -> EngineOptions {
    EngineOptions {
        backup_dir: None,
        program: program(),
        library: library(),
        data_dir: dir.to_owned(),
        unlock_timeout: UNLOCK_TIMEOUT,
        limits: EngineLimits::default(),
    }
}

/// A store under test, and how to open it once more.
pub struct Tested {
    store: Store,
    options: StoreOptions,
}

impl std::ops::Deref for Tested {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Tested {
    async fn open(options: StoreOptions) -> Tested {
        Tested {
            store: Store::connect(&options).await.unwrap(),
            options,
        }
    }

    /// The same store again, as another collector or a restart would open it.
    pub async fn again(&self) -> Result<Store, StoreError> {
        Store::connect(&self.options).await
    }
}

pub async fn embedded(database: &str) -> Tested {
    engine().await;
    Tested::open(StoreOptions {
        data_dir: engine_dir().to_owned(),
        ..options(database)
    })
    .await
}

/// The second process that the contract runs against. It ends with this one, because its stdin is
/// closed then.
pub async fn other_process(database: &str) -> Tested {
    static OTHER: OnceLock<(Process, tempfile::TempDir)> = OnceLock::new();
    let (process, _) = OTHER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        (Process::start(dir.path()), dir)
    });
    at(&process.url, database).await
}

pub async fn at(url: &str, database: &str) -> Tested {
    Tested::open(StoreOptions {
        url: Some(url.to_owned()),
        ..options(database)
    })
    .await
}

/// A server named by the environment, with an empty database on it.
pub async fn server(database: &str) -> Tested {
    let url =
        std::env::var("FOOTFALL_TEST_CLICKHOUSE_URL").expect("FOOTFALL_TEST_CLICKHOUSE_URL is set");
    let database = format!("footfall_test_{database}");
    let client = clickhouse::Client::default().with_url(&url);
    client
        .query(&format!("DROP DATABASE IF EXISTS {database} SYNC"))
        .execute()
        .await
        .unwrap();
    at(&url, &database).await
}

/// A ClickHouse server in a process of its own.
pub struct Process {
    pub url: String,
    child: Child,
    _port: Port,
}

impl Process {
    pub fn start(dir: &Path) -> Process {
        Process::start_with(dir, &[])
    }

    pub fn start_with(dir: &Path, variables: &[(&str, PathBuf)]) -> Process {
        let port = Port::hold();
        let child = open_server::start(dir, port.address(), variables);
        Process {
            url: format!("http://{}", port.address()),
            child,
            _port: port,
        }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    /// Ends its stdin and answers the exit code.
    pub fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an engine says that should not start.
pub async fn failing_start(dir: &Path, library: &Path) -> String {
    let options = EngineOptions {
        library: library.to_owned(),
        unlock_timeout: Duration::from_secs(1),
        ..engine_options(dir)
    };
    Engine::open(&options)
        .await
        .err()
        .expect("a failure")
        .to_string()
}

/// Counts composed row by row.
#[derive(Default)]
pub struct Builder {
    sums: SegmentSums,
    syms: BTreeMap<String, StringId>,
    of_attributes: BTreeMap<String, StringId>,
}

impl Builder {
    fn sym(&mut self, text: &str) -> StringId {
        sym(&mut self.syms, &mut self.sums.strings, text)
    }

    fn attribute_sym(&mut self, text: &str) -> StringId {
        sym(
            &mut self.of_attributes,
            &mut self.sums.attributes.strings,
            text,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "a row has that many columns")]
    pub fn daily(
        mut self,
        site: u64,
        day: &str,
        subject: Subject,
        item: &str,
        dim: Dimension,
        value: &str,
        counts: CounterValues,
    ) -> Builder {
        self.add_daily(site, self::day(day), subject, item, dim, value, counts);
        self
    }

    #[expect(clippy::too_many_arguments, reason = "a row has that many columns")]
    pub fn add_daily(
        &mut self,
        site: u64,
        day: Day,
        subject: Subject,
        item: &str,
        dim: Dimension,
        value: &str,
        counts: CounterValues,
    ) {
        let site = SiteId::from_u128(u128::from(site));
        if dim == Dimension::Total {
            let key = DailyKey {
                site,
                day,
                subject,
                item: self.sym(item),
            };
            self.sums.daily.push((key, counts));
            return;
        }
        let [zone, item, value] = ["UTC", item, value].map(|text| self.attribute_sym(text));
        let (visitors, visits) = (
            counts.get(CounterKind::Visitors),
            counts.get(CounterKind::Visits),
        );
        let counts = AttributeCounts {
            visitors,
            visits,
            networks: visitors,
            platform_networks: 0,
        };
        self.sums.attributes.rows.push((
            AttributeKey {
                site,
                zone,
                day,
                subject,
                dim,
                item,
                value,
            },
            counts,
        ));
    }

    pub fn hourly(mut self, site: u64, hour: u32, counts: CounterValues) -> Builder {
        self.sums.hourly.push((
            HourlyKey {
                site: SiteId::from_u128(u128::from(site)),
                hour,
            },
            counts,
        ));
        self
    }

    pub fn money(
        mut self,
        site: u64,
        day: Day,
        event: &str,
        currency: [u8; 3],
        hits: u32,
        minor: u64,
    ) -> Builder {
        let key = MoneyKey {
            site: SiteId::from_u128(u128::from(site)),
            day,
            event: self.sym(event),
            currency,
        };
        self.sums.money.push((key, (hits, minor)));
        self
    }

    pub fn drop(mut self, hour: u32, reason: DropReason, hits: u32) -> Builder {
        self.sums.drops.push((DropKey { hour, reason }, hits));
        self
    }

    pub fn vital(
        mut self,
        site: u64,
        day: Day,
        metric: WebVital,
        of: (&str, &str, u8),
        hits: u32,
    ) -> Builder {
        let (path, device, bucket) = (self.sym(of.0), self.sym(of.1), of.2);
        self.sums.vitals.push((
            VitalKey {
                site: SiteId::from_u128(u128::from(site)),
                day,
                metric,
                path,
                device,
                bucket,
            },
            hits,
        ));
        self
    }

    pub fn fault(
        mut self,
        site: u64,
        day: Day,
        kind: FaultKind,
        path: &str,
        fault: &str,
        hits: u32,
    ) -> Builder {
        let (path, fault) = (self.sym(path), self.sym(fault));
        self.sums.faults.push((
            FaultKey {
                site: SiteId::from_u128(u128::from(site)),
                day,
                kind,
                path,
                fault,
            },
            hits,
        ));
        self
    }

    pub fn mail(
        mut self,
        day: Day,
        (template, batch): (&str, Day),
        action: MailAction,
        link: &str,
        reader: ReaderKind,
        counts: (u32, u32),
    ) -> Builder {
        let (template, link) = (self.sym(template), self.sym(link));
        self.sums.mail.push((
            MailKey {
                day,
                template,
                batch,
                action,
                link,
                reader,
            },
            counts,
        ));
        self
    }

    pub fn build(self) -> SegmentSums {
        self.sums
    }
}

fn sym(
    known: &mut BTreeMap<String, StringId>,
    strings: &mut Vec<Box<str>>,
    text: &str,
) -> StringId {
    let next = StringId(u32::try_from(known.len()).unwrap());
    *known.entry(text.to_owned()).or_insert_with(|| {
        strings.push(text.into());
        next
    })
}

pub fn day(text: &str) -> Day {
    Day::from_date(text.parse().unwrap()).unwrap()
}

/// Total rows of a page with this number of hits.
pub fn hits(n: u32) -> CounterValues {
    CounterValues::zeros().with_value(CounterKind::Hits, n)
}

/// The counts of an attribute row.
pub fn people(visitors: u32, visits: u32) -> CounterValues {
    CounterValues::zeros()
        .with_value(CounterKind::Visitors, visitors)
        .with_value(CounterKind::Visits, visits)
}

#[derive(clickhouse::Row, serde::Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DailyRow {
    pub site: u128,
    pub day: u16,
    pub subject: String,
    pub item: String,
    pub dim: String,
    pub value: String,
    pub counts: Vec<u64>,
}

/// All of `daily` and `unpublished`, summed by key.
pub async fn daily(store: &Store) -> Vec<DailyRow> {
    let sums: Vec<String> = CounterKind::ALL
        .iter()
        .map(|counter| format!("sum({})", counter.name()))
        .collect();
    let zero = |counter: CounterKind| match counter {
        CounterKind::Visitors | CounterKind::Visits => format!("sum({})", counter.name()),
        _ => "toUInt64(0)".to_owned(),
    };
    let sql = format!(
        "SELECT * FROM (SELECT site, toUInt16(day) AS day, toString(subject) AS subject, toString(item) AS item, '' AS dim, \
         '' AS value, [{}] AS counts FROM {} GROUP BY site, day, subject, item UNION ALL \
         SELECT site, toUInt16(day) AS day, toString(subject) AS subject, toString(item) AS item, toString(dim) AS dim, \
         toString(value) AS value, [{}] AS counts FROM {} GROUP BY site, day, subject, item, dim, value) \
         ORDER BY site, day, subject, item, dim, value",
        sums.join(", "),
        counts_of("daily"),
        CounterKind::ALL.map(zero).join(", "),
        counts_of("unpublished"),
    );
    store.raw_client().query(&sql).fetch_all().await.unwrap()
}

/// Leaves out the markers of segments, which are rows of their own.
pub fn counts_of(table: &str) -> String {
    match table {
        "drops" => "drops WHERE NOT startsWith(reason, 'segment ')".to_owned(),
        "mail" => "mail WHERE NOT startsWith(template, 'segment ')".to_owned(),
        _ => format!(
            "{table} WHERE site < toUInt128('{}')",
            SiteId::MIN_MARKER_ID.as_u128()
        ),
    }
}

pub async fn number(store: &Store, sql: &str) -> u64 {
    store.raw_client().query_raw(sql).fetch_one().await.unwrap()
}

pub async fn texts(store: &Store, sql: &str) -> Vec<String> {
    store.raw_client().query_raw(sql).fetch_all().await.unwrap()
}
