//! Stores to test on, and counts to send to them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use footfall::aggregate::{
    AttributeCounts, AttributeKey, DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, Sums, Sym, VitalKey,
};
use footfall::event::{
    Counter, Counts, Day, Dimension, FaultKind, MailAction, Metric, Reader, Refusal, SiteId, Subject,
};
use footfall::store::engine::{Engine, EngineOptions, Limits};
use footfall::store::{Store, StoreError, StoreOptions};

pub fn library() -> PathBuf {
    let path = std::env::var_os("FOOTFALL_LIBCHDB").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"),
        PathBuf::from,
    );
    assert!(path.is_file(), "libchdb.so is missing: run `npm ci`, or set FOOTFALL_LIBCHDB to its path");
    path
}

pub fn options(database: &str) -> StoreOptions {
    StoreOptions {
        url: None,
        user: None,
        password: None,
        ca_file: None,
        database: database.to_owned(),
        cluster: None,
        data_dir: PathBuf::new(),
        library: library(),
        limits: Limits::default(),
        names: Vec::new(),
    }
}

/// This process's engine: one folder, open until the process ends, with a database for each test.
pub fn engine_dir() -> &'static Path {
    static ENGINE: OnceLock<(tempfile::TempDir, Engine)> = OnceLock::new();
    let (dir, _) = ENGINE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(&engine_options(dir.path())).unwrap();
        (dir, engine)
    });
    dir.path()
}

pub fn engine_options(dir: &Path) -> EngineOptions {
    EngineOptions { library: library(), data_dir: dir.to_owned(), limits: Limits::default() }
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
        Tested { store: Store::connect(&options).await.unwrap(), options }
    }

    /// The same store again, as another collector or a restart would open it.
    pub async fn again(&self) -> Result<Store, StoreError> {
        Store::connect(&self.options).await
    }
}

pub async fn embedded(database: &str) -> Tested {
    Tested::open(StoreOptions { data_dir: engine_dir().to_owned(), ..options(database) }).await
}

/// The second process that the contract runs against. It ends with this one, because its stdin is
/// closed then.
pub async fn other_process(database: &str) -> Tested {
    static OTHER: OnceLock<(Process, tempfile::TempDir)> = OnceLock::new();
    let (process, _) = OTHER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        (Process::start(dir.path(), None), dir)
    });
    at(&process.url, database).await
}

pub async fn at(url: &str, database: &str) -> Tested {
    Tested::open(StoreOptions { url: Some(url.to_owned()), ..options(database) }).await
}

/// A server named by the environment, with an empty database on it.
pub async fn server(database: &str) -> Tested {
    let url = std::env::var("FOOTFALL_TEST_CLICKHOUSE_URL").expect("FOOTFALL_TEST_CLICKHOUSE_URL is set");
    let database = format!("footfall_test_{database}");
    let client = clickhouse::Client::default().with_url(&url);
    client.query(&format!("DROP DATABASE IF EXISTS {database} SYNC")).execute().await.unwrap();
    at(&url, &database).await
}

/// The engine in a process of its own.
pub struct Process {
    pub url: String,
    child: Child,
    stdin: ChildStdin,
}

impl Process {
    pub fn start(dir: &Path, token: Option<&str>) -> Process {
        Process::start_with(dir, token, &[])
    }

    pub fn start_with(dir: &Path, token: Option<&str>, variables: &[(&str, PathBuf)]) -> Process {
        let variables = variables.iter().map(|(name, value)| (name, value));
        let mut child = command(dir, &library(), token).envs(variables).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = format!("http://{}", line.trim());
        assert!(url.len() > 20, "the engine's process did not start");
        Process { url, child, stdin }
    }

    pub fn kill(self) {
        let Process { mut child, .. } = self;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Requests an ordinary end and returns the exit code.
    pub fn interrupt(self) -> Option<i32> {
        let Process { mut child, stdin: _stdin, .. } = self;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        child.wait().unwrap().code()
    }

    /// Makes it call `exit(3)` with everything open, and returns the exit code.
    pub fn exit(self) -> Option<i32> {
        let Process { mut child, mut stdin, .. } = self;
        stdin.write_all(b"exit\n").unwrap();
        child.wait().unwrap().code()
    }

    /// Closes its stdin and returns the exit code.
    pub fn end(self) -> Option<i32> {
        let Process { mut child, stdin, .. } = self;
        drop(stdin);
        child.wait().unwrap().code()
    }
}

pub fn command(dir: &Path, library: &Path, token: Option<&str>) -> Command {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples/engine");
    assert!(
        example.is_file(),
        "the example `engine` is not built: run `cargo build --examples`, or a whole `cargo test`"
    );
    let mut command = Command::new(example);
    command.arg(dir).arg(library).args(token).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a process that should not start, and returns what it prints.
pub fn failing_start(dir: &Path, library: &Path) -> String {
    let mut child = command(dir, library, None).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!child.wait().unwrap().success());
    said
}

/// Counts composed row by row.
#[derive(Default)]
pub struct Builder {
    sums: Sums,
    syms: BTreeMap<String, Sym>,
    of_attributes: BTreeMap<String, Sym>,
}

impl Builder {
    fn sym(&mut self, text: &str) -> Sym {
        sym(&mut self.syms, &mut self.sums.strings, text)
    }

    fn attribute_sym(&mut self, text: &str) -> Sym {
        sym(&mut self.of_attributes, &mut self.sums.attributes.strings, text)
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
        counts: Counts,
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
        counts: Counts,
    ) {
        let site = SiteId::from_u128(u128::from(site));
        if dim == Dimension::Total {
            let key = DailyKey { site, day, subject, item: self.sym(item) };
            self.sums.daily.push((key, counts));
            return;
        }
        let [zone, item, value] = ["UTC", item, value].map(|text| self.attribute_sym(text));
        let (visitors, visits) = (counts.get(Counter::Visitors), counts.get(Counter::Visits));
        let counts = AttributeCounts { visitors, visits, networks: visitors, platform_networks: 0 };
        self.sums.attributes.rows.push((AttributeKey { site, zone, day, subject, dim, item, value }, counts));
    }

    pub fn hourly(mut self, site: u64, hour: u32, counts: Counts) -> Builder {
        self.sums.hourly.push((HourlyKey { site: SiteId::from_u128(u128::from(site)), hour }, counts));
        self
    }

    pub fn money(mut self, site: u64, day: Day, event: &str, currency: [u8; 3], hits: u32, minor: u64) -> Builder {
        let key = MoneyKey { site: SiteId::from_u128(u128::from(site)), day, event: self.sym(event), currency };
        self.sums.money.push((key, (hits, minor)));
        self
    }

    pub fn drop(mut self, hour: u32, reason: Refusal, hits: u32) -> Builder {
        self.sums.drops.push((DropKey { hour, reason }, hits));
        self
    }

    pub fn vital(mut self, site: u64, day: Day, metric: Metric, of: (&str, &str, u8), hits: u32) -> Builder {
        let (path, device, bucket) = (self.sym(of.0), self.sym(of.1), of.2);
        self.sums
            .vitals
            .push((VitalKey { site: SiteId::from_u128(u128::from(site)), day, metric, path, device, bucket }, hits));
        self
    }

    pub fn fault(mut self, site: u64, day: Day, kind: FaultKind, path: &str, fault: &str, hits: u32) -> Builder {
        let (path, fault) = (self.sym(path), self.sym(fault));
        self.sums.faults.push((FaultKey { site: SiteId::from_u128(u128::from(site)), day, kind, path, fault }, hits));
        self
    }

    pub fn mail(
        mut self,
        day: Day,
        (template, batch): (&str, Day),
        action: MailAction,
        link: &str,
        reader: Reader,
        counts: (u32, u32),
    ) -> Builder {
        let (template, link) = (self.sym(template), self.sym(link));
        self.sums.mail.push((MailKey { day, template, batch, action, link, reader }, counts));
        self
    }

    pub fn build(self) -> Sums {
        self.sums
    }
}

fn sym(known: &mut BTreeMap<String, Sym>, strings: &mut Vec<Box<str>>, text: &str) -> Sym {
    let next = Sym(u32::try_from(known.len()).unwrap());
    *known.entry(text.to_owned()).or_insert_with(|| {
        strings.push(text.into());
        next
    })
}

pub fn day(text: &str) -> Day {
    Day::from_date(text.parse().unwrap()).unwrap()
}

/// Total rows of a page with this number of hits.
pub fn hits(n: u32) -> Counts {
    Counts::none().with(Counter::Hits, n)
}

/// The counts of an attribute row.
pub fn people(visitors: u32, visits: u32) -> Counts {
    Counts::none().with(Counter::Visitors, visitors).with(Counter::Visits, visits)
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
    let sums: Vec<String> = Counter::ALL.iter().map(|counter| format!("sum({})", counter.name())).collect();
    let zero = |counter: Counter| match counter {
        Counter::Visitors | Counter::Visits => format!("sum({})", counter.name()),
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
        Counter::ALL.map(zero).join(", "),
        counts_of("unpublished"),
    );
    store.client().query(&sql).fetch_all().await.unwrap()
}

/// Leaves out the markers of segments, which are rows of their own.
pub fn counts_of(table: &str) -> String {
    match table {
        "drops" => "drops WHERE NOT startsWith(reason, 'segment ')".to_owned(),
        "mail" => "mail WHERE NOT startsWith(template, 'segment ')".to_owned(),
        _ => format!("{table} WHERE site < toUInt128('{}')", SiteId::MARKERS.as_u128()),
    }
}

pub async fn number(store: &Store, sql: &str) -> u64 {
    store.client().query_raw(sql).fetch_one().await.unwrap()
}

pub async fn texts(store: &Store, sql: &str) -> Vec<String> {
    store.client().query_raw(sql).fetch_all().await.unwrap()
}
