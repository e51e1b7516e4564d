//! P16: an image of all data folders of a quiet collector, read by a second engine. Visits that
//! come alone must not stand alone in it.
//!
//! A visit is read when one part of a table, or one segment in it, holds exactly one visitor in
//! each list of the site: the values belong together then. Each part is read by itself, also those
//! that were merged and are not removed yet. Each visitor's source is a name of its own, so that
//! what is read can be checked, and so that journal and other files can be searched for it as they
//! lie.
//!
//! A consent id is joined to a count when the time of a part that holds one visitor lies within the
//! stretch of one record of the ledger only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::crowd::DIMENSIONS;
use crate::support::{AGENT, Body, CONSENT_VERSION, Client, Engine, SITES, Server};
use crate::{Figure, found};

const SITE: &str = "quiet";
/// Before that a segment may be open, and PRIVACY.md says so.
const FIRST_MINUTE: Duration = Duration::from_secs(60);

struct Size {
    visits: usize,
    apart: Duration,
    images_apart: Duration,
    settings: &'static [&'static str],
}

/// At the defaults a segment is closed after 15 seconds and attributes follow after 300.
const FULL: Size = Size {
    visits: 100,
    apart: Duration::from_secs(17),
    images_apart: Duration::from_secs(60),
    settings: &["journal.segment_secs=15"],
};
const SMALL: Size = Size {
    visits: 6,
    apart: Duration::from_secs(3),
    images_apart: Duration::from_secs(20),
    settings: &["journal.segment_secs=1"],
};

#[derive(Default)]
struct Read {
    vectors: BTreeSet<usize>,
    texts: BTreeSet<usize>,
    joined: BTreeSet<usize>,
}

pub fn attack(full: bool) -> Vec<Figure> {
    let size = if full { FULL } else { SMALL };
    let settings: Vec<&str> = ["test.clock=false", "test.whole_lots=false"]
        .iter()
        .chain(size.settings)
        .copied()
        .collect();
    let server = Server::start_with(SITES, &settings);
    let (mut came, mut read) = (Vec::new(), Read::default());
    let mut next_image = Instant::now() + FIRST_MINUTE;

    loop {
        if came.len() < size.visits {
            visit(&server, came.len());
            came.push((Instant::now(), Timestamp::now()));
        }
        sleep(size.apart);
        if Instant::now() >= next_image {
            image(&server, &came, &mut read);
            next_image = Instant::now() + size.images_apart;
            let last = came.last().expect("a visit came").0;
            if came.len() == size.visits && last.elapsed() > FIRST_MINUTE {
                break;
            }
        }
    }
    println!("image: {} lone visits, {:?}", size.visits, size.settings);
    vec![
        found("image_vectors_read", read.vectors.len() as f64, 0.0),
        found("image_attribute_texts_found", read.texts.len() as f64, 0.0),
        found("image_consent_ids_joined", read.joined.len() as f64, 0.0),
    ]
}

fn source(n: usize) -> String {
    format!("lone-{n}-visitor.example")
}

/// Somebody agrees, and is counted at once.
fn visit(server: &Server, n: usize) {
    let address = format!("198.51.{}.7", n % 250);
    let mut client = server.client();
    let mut send = |path: &str, cookie: &str, body: &str| {
        let mut fields = vec![
            ("Host", "pages.example"),
            ("Origin", "https://pages.example"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/json"),
            ("User-Agent", AGENT),
            ("Accept-Language", "de-DE,de;q=0.9"),
            ("X-Forwarded-For", &address),
        ];
        fields.extend((!cookie.is_empty()).then_some(("Cookie", cookie)));
        client
            .ask("POST", path, &fields, Body::Sized(body.as_bytes()))
            .expect("an answer")
    };
    let grant = format!(
        r#"{{"version":{CONSENT_VERSION},"act":"grant","tiers":{{"analytics":true}},"lang":"en","layer":"first","path":"/u/{SITE}"}}"#
    );
    let answer = send("/ff/consent", "", &grant);
    let cookie = answer
        .header("set-cookie")
        .expect("a grant is stored")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    let view = format!(
        r#"{{"kind":"view","url":"https://pages.example/u/{SITE}","referrer":"https://{}/"}}"#,
        source(n)
    );
    assert_eq!(send("/ff/hit", &cookie, &view).status, 202);
}

/// Takes an image and reads it.
fn image(server: &Server, came: &[(Instant, Timestamp)], read: &mut Read) {
    let old: Vec<usize> = (0..came.len())
        .filter(|n| came[*n].0.elapsed() > FIRST_MINUTE)
        .collect();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the image");
    let image = dir.path().join("image");
    copy(&server.dir().join("data"), &image);

    read.texts.extend(texts(&image, &old));
    let records = records(&image);
    detach(&image.join("store"));
    let engine = Engine::start(&image.join("store"));
    for part in Reader::of(&engine).parts() {
        read.vectors
            .extend(part.vectors.iter().filter(|n| old.contains(n)));
        if part.is_lone {
            let fits: Vec<usize> = (0..records.len())
                .filter(|n| (records[*n].0..records[*n].1).contains(&part.written))
                .collect();
            // The visit that was the last to come before the part was written is the one in it.
            let right = came
                .iter()
                .rposition(|(_, moment)| moment.as_second() <= part.written);
            read.joined
                .extend(right.filter(|n| fits == [*n] && old.contains(n)));
        }
    }
}

/// With its times. What goes away while it is copied is not in the image.
fn copy(from: &Path, to: &Path) {
    let _ = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("cp");
}

/// What lies in a folder, without what links lead to: those of the engine lead back to the
/// collector's own.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink())
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let inner = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries(dir).into_iter().flat_map(inner).collect()
}

/// Visitors whose source can be read in a file as it lies: in the journal, the ledger and all else
/// but the tables. The store gets the attributes of at least k visits together, and its parts are
/// read by themselves.
fn texts(image: &Path, old: &[usize]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let folders = entries(image)
        .into_iter()
        .filter(|path| !path.ends_with("store"));
    let searched = folders.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    for bytes in searched.filter_map(|path| fs::read(path).ok()) {
        for n in old {
            let text = source(*n);
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                found.insert(*n);
            }
        }
    }
    found
}

/// Of each record of the ledger, the stretch of time it can be of, in seconds.
fn records(image: &Path) -> Vec<(i64, i64)> {
    let text = fs::read_to_string(image.join("ledger/acts.ledger")).unwrap_or_default();
    let at = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record is JSON");
        record["at"]
            .as_str()
            .expect("a time")
            .parse::<Timestamp>()
            .expect("RFC 3339")
            .as_second()
    };
    let starts: Vec<i64> = text.lines().map(at).collect();
    let hours = starts.iter().all(|at| at % 3600 == 0);
    let length = if hours { 3600 } else { 60 };
    starts.into_iter().map(|at| (at, at + length)).collect()
}

/// Whether a folder is a part of a table: named by its partition, its first and last block, its
/// level.
fn is_part(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let mut fields = name.split('_').skip(1).map(str::parse::<u64>).peekable();
    path.is_dir() && fields.peek().is_some() && fields.all(|field| field.is_ok())
}

/// Takes all parts out of the tables, those that merges have replaced too, so that each can be read
/// by itself.
fn detach(dir: &Path) {
    for path in entries(dir) {
        if is_part(&path) {
            let detached = dir.join("detached");
            fs::create_dir_all(&detached).expect("a folder in the image");
            fs::rename(&path, detached.join(path.file_name().expect("a name")))
                .expect("a part is moved in the image");
        } else if path.is_dir() {
            detach(&path);
        }
    }
}

/// One part of a table.
struct Part {
    /// In seconds.
    written: i64,
    /// Visitors that stand alone in it, with one value in each list.
    vectors: BTreeSet<usize>,
    /// It holds exactly one visitor.
    is_lone: bool,
}

/// Asks a second engine.
struct Reader {
    client: Client,
    host: String,
}

impl Reader {
    fn of(engine: &Engine) -> Reader {
        let host = engine.url().trim_start_matches("http://").to_owned();
        Reader {
            client: Client::connect(host.parse().expect("an address")).expect("the engine listens"),
            host,
        }
    }

    fn ask(&mut self, sql: &str) -> Vec<Vec<String>> {
        let fields = [("Host", &*self.host)];
        let answer = self
            .client
            .ask("POST", "/", &fields, Body::Sized(sql.as_bytes()))
            .expect("an answer");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        let text = answer.text();
        text.lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Every part of every table that counts visitors of a site.
    fn parts(&mut self) -> Vec<Part> {
        let tables = self.ask(
            "SELECT c.table, any(t.data_paths[1]), countIf(c.name = 'dim'), countIf(c.name = 'segment') \
             FROM system.columns AS c INNER JOIN system.tables AS t ON c.database = t.database AND c.table = t.name \
             WHERE c.database = 'footfall' GROUP BY c.table \
             HAVING countIf(c.name IN ('site', 'subject', 'visitors')) = 3 FORMAT TSV",
        );
        let mut parts = Vec::new();
        for table in tables {
            let (name, path) = (&table[0], Path::new(&table[1]));
            let detached: Vec<PathBuf> = entries(&path.join("detached"))
                .into_iter()
                .filter(|path| is_part(path))
                .collect();
            for path in detached {
                let written = fs::metadata(&path)
                    .and_then(|data| data.modified())
                    .expect("a time");
                let written = Timestamp::try_from(written)
                    .expect("a moment of this century")
                    .as_second();
                let part = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .expect("a name")
                    .to_owned();
                self.ask(&format!("ALTER TABLE footfall.{name} ATTACH PART '{part}'"));
                parts.push(self.part(name, table[2] == "1", table[3] == "1", written));
                self.ask(&format!("TRUNCATE TABLE footfall.{name}"));
            }
        }
        parts
    }

    fn part(&mut self, table: &str, has_dim: bool, has_segment: bool, written: i64) -> Part {
        let of_sites =
            format!("FROM footfall.{table} WHERE subject = 'site' AND toString(site) != '0'");
        let totals = if has_dim {
            format!("{of_sites} AND dim = ''")
        } else {
            of_sites.clone()
        };
        let is_lone = self.ask(&format!("SELECT sum(visitors) {totals} FORMAT TSV"))[0][0] == "1";
        let mut vectors = BTreeSet::new();
        let together: &[&str] = if has_segment {
            &["''", "toString(segment)"]
        } else {
            &["''"]
        };
        for together in together.iter().filter(|_| has_dim) {
            let rows = self.ask(&format!(
                "SELECT {together} AS together, dim, value, sum(visitors) {of_sites} AND dim != '' \
                 GROUP BY together, dim, value FORMAT TSV"
            ));
            vectors.extend(alone(rows));
        }
        Part {
            written,
            vectors,
            is_lone,
        }
    }
}

/// Of rows of group, dimension, value and visitors: who is the only one of a group, in each list.
fn alone(rows: Vec<Vec<String>>) -> Vec<usize> {
    let mut groups: BTreeMap<String, Vec<(String, String, u64)>> = BTreeMap::new();
    for row in rows {
        let visitors = row[3].parse().expect("a number");
        groups
            .entry(row[0].clone())
            .or_default()
            .push((row[1].clone(), row[2].clone(), visitors));
    }
    let is_one = |cells: &Vec<(String, String, u64)>| {
        let of = |dim: &str| {
            cells
                .iter()
                .filter(|cell| cell.0 == dim)
                .map(|cell| cell.2)
                .sum::<u64>()
        };
        // Who has no campaign may have no row of it.
        DIMENSIONS
            .iter()
            .all(|dim| of(dim) == 1 || *dim == "campaign" && of(dim) == 0)
    };
    let number = |cells: Vec<(String, String, u64)>| {
        let cell = cells
            .into_iter()
            .find(|cell| cell.0 == "source" && cell.2 > 0)?;
        cell.1
            .strip_prefix("lone-")?
            .split('-')
            .next()?
            .parse()
            .ok()
    };
    groups
        .into_values()
        .filter(is_one)
        .filter_map(number)
        .collect()
}
