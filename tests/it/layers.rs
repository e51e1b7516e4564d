//! Module dependencies follow the layers of docs/understand/ARCHITECTURE.md, and secrets and
//! personal values are used only where the table allows. Both are checked by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules it may use, in the order of lib.rs. A module may always use itself and
/// `unprintable`.
const MAY_USE: [(&str, &[&str]); 44] = [
    ("string_enum", &[]),
    ("budget", &[]),
    ("disk", &[]),
    ("hex", &[]),
    ("key_file", &[]),
    ("memory", &[]),
    ("outage", &[]),
    ("random", &[]),
    ("state_codec", &[]),
    ("unprintable", &[]),
    ("varint", &[]),
    ("calendar", &[]),
    ("clock", &["calendar", "state_codec"]),
    ("event", &["calendar"]),
    ("config", &["event", "hex"]),
    ("sites", &["calendar", "config", "event"]),
    (
        "access",
        &[
            "calendar",
            "config",
            "hex",
            "key_file",
            "random",
            "state_codec",
        ],
    ),
    (
        "consent",
        &[
            "calendar",
            "config",
            "event",
            "hex",
            "key_file",
            "random",
            "state_codec",
        ],
    ),
    ("enrich", &["event"]),
    (
        "pseudonym",
        &[
            "calendar",
            "config",
            "consent",
            "enrich",
            "event",
            "random",
            "state_codec",
        ],
    ),
    ("publication", &["calendar", "event"]),
    (
        "mail",
        &[
            "access",
            "calendar",
            "config",
            "disk",
            "enrich",
            "event",
            "key_file",
            "pseudonym",
            "random",
            "state_codec",
        ],
    ),
    (
        "visits",
        &["budget", "calendar", "event", "pseudonym", "state_codec"],
    ),
    (
        "aggregate",
        &[
            "budget",
            "calendar",
            "config",
            "event",
            "pseudonym",
            "state_codec",
            "visits",
        ],
    ),
    (
        "journal",
        &[
            "aggregate",
            "calendar",
            "clock",
            "config",
            "consent",
            "disk",
            "event",
            "outage",
            "pseudonym",
            "random",
            "state_codec",
            "varint",
            "visits",
        ],
    ),
    (
        "ledger",
        &["calendar", "config", "consent", "disk", "hex", "outage"],
    ),
    (
        "store",
        &[
            "access",
            "aggregate",
            "calendar",
            "config",
            "event",
            "hex",
            "outage",
            "publication",
            "random",
            "varint",
        ],
    ),
    // Carries bytes between collectors, and knows nothing of their meaning.
    (
        "cluster",
        &[
            "calendar",
            "clock",
            "config",
            "outage",
            "random",
            "state_codec",
        ],
    ),
    // Carries the state between two processes, and knows nothing of its meaning.
    ("upgrade", &["random"]),
    (
        "flush",
        &[
            "calendar", "clock", "config", "disk", "journal", "outage", "sites", "store",
        ],
    ),
    (
        "backup",
        &[
            "aggregate",
            "calendar",
            "clock",
            "config",
            "disk",
            "flush",
            "journal",
            "ledger",
            "random",
            "store",
        ],
    ),
    ("transfer", &["backup", "journal", "store"]),
    (
        "publisher",
        &[
            "calendar",
            "clock",
            "config",
            "flush",
            "journal",
            "publication",
            "sites",
            "store",
        ],
    ),
    (
        "registry",
        &[
            "access",
            "calendar",
            "cluster",
            "config",
            "consent",
            "disk",
            "event",
            "mail",
            "outage",
            "sites",
            "state_codec",
            "store",
        ],
    ),
    // Passes statements of BI tools on to the engine; reads nothing itself.
    (
        "bi_port",
        &[
            "access", "calendar", "clock", "config", "event", "registry", "store",
        ],
    ),
    ("report", &["calendar", "config", "event", "sites", "store"]),
    (
        "health",
        &[
            "calendar",
            "clock",
            "config",
            "flush",
            "journal",
            "ledger",
            "pseudonym",
            "publisher",
            "store",
        ],
    ),
    ("http", &["calendar", "config", "event", "random"]),
    (
        "telemetry",
        &[
            "calendar",
            "cluster",
            "config",
            "consent",
            "event",
            "flush",
            "http",
            "journal",
            "ledger",
            "publisher",
        ],
    ),
    (
        "ingest",
        &[
            "access",
            "aggregate",
            "calendar",
            "clock",
            "cluster",
            "config",
            "consent",
            "enrich",
            "event",
            "http",
            "journal",
            "mail",
            "pseudonym",
            "sites",
            "visits",
        ],
    ),
    // `ingest` only to show visitors what their next visit would count.
    (
        "web",
        &[
            "access",
            "backup",
            "calendar",
            "clock",
            "cluster",
            "config",
            "consent",
            "enrich",
            "event",
            "flush",
            "health",
            "http",
            "ingest",
            "journal",
            "ledger",
            "mail",
            "outage",
            "publisher",
            "registry",
            "report",
            "store",
            "state_codec",
            "telemetry",
        ],
    ),
    // Only under its feature and in tests.
    (
        "fuzzing",
        &["consent", "ingest", "journal", "ledger", "mail", "store"],
    ),
    (
        "server",
        &[
            "access",
            "aggregate",
            "backup",
            "bi_port",
            "calendar",
            "clock",
            "cluster",
            "config",
            "consent",
            "disk",
            "enrich",
            "flush",
            "health",
            "http",
            "ingest",
            "journal",
            "ledger",
            "mail",
            "outage",
            "pseudonym",
            "publisher",
            "random",
            "registry",
            "report",
            "sites",
            "state_codec",
            "store",
            "telemetry",
            "upgrade",
            "web",
        ],
    ),
    // Sends HTTP to the collector as pages do; `enrich` only to find addresses of a country.
    (
        "demo",
        &[
            "calendar", "clock", "config", "disk", "enrich", "event", "server",
        ],
    ),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let module = |path: &Path| {
        let first = path
            .strip_prefix(&root)
            .unwrap()
            .components()
            .next()
            .unwrap();
        first
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned()
    };
    let code = |path: &Path| without_tests(&fs::read_to_string(path).unwrap()).to_owned();
    found
        .into_iter()
        .map(|path| (module(&path), path.clone(), code(&path)))
        .collect()
}

/// A file's source without its tests, which come last and may use more. A single function under
/// `#[cfg(test)]` does not end the source: this test once stopped reading there.
fn without_tests(text: &str) -> &str {
    let ends = ["\nmod tests {", "\nmod tests;"]
        .iter()
        .filter_map(|tests| text.find(tests));
    &text[..ends.min().unwrap_or(text.len())]
}

#[test]
fn files_are_read_up_to_their_tests_and_not_to_the_first_line_for_tests() {
    let sources = sources();
    let of = |file: &str| {
        &sources
            .iter()
            .find(|(_, path, _)| path.ends_with(file))
            .unwrap()
            .2
    };
    let seal = of("pseudonym/pseudonymize.rs");
    assert!(seal.contains("fn for_tests") && seal.contains("pub struct Event {"));
    assert_eq!(
        seal.matches(".expose()").count(),
        2,
        "the address and the agent go into the hash"
    );
    for (_, path, code) in &sources {
        let rest = fs::read_to_string(path).unwrap()[code.len()..].to_owned();
        let below = rest
            .lines()
            .skip_while(|line| line.starts_with(char::is_whitespace) || line.is_empty());
        assert!(
            rest.is_empty() || below.take(3).any(|line| line.starts_with("mod tests")),
            "{}",
            path.display()
        );
        let after = rest.find("\n}\n").map_or("", |end| rest[end + 3..].trim());
        assert_eq!(after, "", "{}: code stands below its tests", path.display());
    }
}

#[test]
fn modules_use_only_the_layers_below_them() {
    for (module, path, code) in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert!(
                ["lib", "main", "cli"].contains(&module.as_str()),
                "{module} has no row in the table of layers"
            );
            continue;
        };
        for (at, _) in code.match_indices("crate::") {
            let used: String = code[at + 7..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            // Every module may use `unprintable`, to declare its types with secrets.
            let hides = used == "unprintable";
            assert!(
                hides || used == module || allowed.contains(&used.as_str()),
                "{} uses {used}",
                path.display()
            );
        }
    }
}

#[test]
fn modules_are_declared_bottom_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(root).unwrap();
    let declared: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    let in_table = MAY_USE.map(|(module, _)| module);
    assert_eq!(declared[..declared.len() - 1], in_table);
    assert_eq!(declared.last(), Some(&"cli"));

    for (place, (module, used)) in MAY_USE.iter().enumerate() {
        let below = &in_table[..place];
        let back: Vec<&&str> = used.iter().filter(|used| !below.contains(used)).collect();
        assert!(
            back.is_empty(),
            "{module} uses {back:?}, which is declared later"
        );
    }
}

#[test]
fn only_the_edges_name_actix_and_only_the_store_names_the_clickhouse_client() {
    for (module, path, code) in sources() {
        let edge = ["ingest", "web", "http", "server"].contains(&module.as_str());
        assert!(
            edge || !code.contains("actix"),
            "{} names actix",
            path.display()
        );
        assert!(
            module == "store" || !code.contains("clickhouse::"),
            "{} names the ClickHouse client",
            path.display()
        );
    }
}

#[test]
fn an_address_and_an_agent_are_exposed_in_three_places_and_cannot_be_printed() {
    let mut places: Vec<String> = Vec::new();
    for (module, path, code) in sources() {
        if code.contains(".expose()") {
            places.push(format!(
                "{module}/{}",
                path.file_name().unwrap().to_string_lossy()
            ));
        }
        if [
            "event/raw.rs",
            "consent/gate.rs",
            "pseudonym/pseudonymize.rs",
            "pseudonym/mail.rs",
            "mail/classifier.rs",
        ]
        .iter()
        .any(|file| path.ends_with(file))
        {
            let printable = code.split("\n\n").filter(|item| {
                item.contains("struct")
                    && ["Debug", "Display", "Serialize"]
                        .iter()
                        .any(|name| derives(item, name))
            });
            assert_eq!(printable.collect::<Vec<_>>(), Vec::<&str>::new());
        }
    }
    places.sort();
    // Where secrets are used. A secret of the configuration: the guard and the store's options. A
    // password or link: what checks it. A user agent: its classifier and the hash. An address: the
    // hash, the classifier of mail readers, and the hash that detects a resend. The keys of mails
    // and of grants: what signs with them, the file, and the command line that makes them. The
    // token of a client that listens to a stream: what knows tokens, every few seconds.
    let allowed = [
        "access/cookie_keys.rs",
        "access/credentials.rs",
        "access/passwords.rs",
        "access/sessions.rs",
        "cli/access.rs",
        "cli/consent.rs",
        "cli/mail.rs",
        "config/",
        "consent/keys.rs",
        "enrich/",
        "http/operator_auth.rs",
        "http/platform_token.rs",
        "mail/classifier.rs",
        "mail/keys.rs",
        "mail/click_buffer.rs",
        "pseudonym/mail.rs",
        "pseudonym/pseudonymize.rs",
        "server/key_files.rs",
        "server/mail_service.rs",
        "server/server.rs",
        "web/access.rs",
        "web/bi.rs",
    ];
    assert!(
        places
            .iter()
            .all(|place| allowed.iter().any(|prefix| place.starts_with(prefix))),
        "{places:?}"
    );
}

#[test]
fn a_secret_that_is_made_here_leaves_in_two_places_and_cannot_be_printed() {
    let mut places: Vec<String> = Vec::new();
    for (module, path, code) in sources() {
        if code.contains(".reveal_text()") {
            places.push(format!(
                "{module}/{}",
                path.file_name().unwrap().to_string_lossy()
            ));
        }
        let printable = ["Debug", "Display", "Clone", "Serialize"];
        for item in code
            .split("\n\n")
            .filter(|item| item.contains("struct SecretBytes<"))
        {
            assert_eq!(
                printable.iter().find(|name| derives(item, name)),
                None,
                "{}",
                path.display()
            );
        }
        for name in printable {
            assert!(
                !code.contains(&format!("{name} for SecretBytes<")),
                "{} prints a secret",
                path.display()
            );
        }
        // A password's hash, and the holder of a token, must not be logged either.
        for holder in [
            "struct ShareLink ",
            "struct PasswordLogin ",
            "struct Session ",
            "struct AuthState {",
        ] {
            let holding = code
                .split("\n\n")
                .filter(|item| module != "config" && item.contains(holder));
            assert!(
                holding.into_iter().all(|item| !derives(item, "Debug")),
                "{} prints {holder}",
                path.display()
            );
        }
    }
    places.sort();
    assert_eq!(places, ["access/cookie_keys.rs", "access/credentials.rs"]);
}

#[test]
fn a_consent_id_is_named_by_who_keeps_it_and_cannot_be_printed() {
    for (module, path, code) in sources() {
        // `pseudonym` makes a value from it under the day's key.
        let keeps = ["consent", "ledger", "pseudonym", "web", "cli"].contains(&module.as_str());
        assert!(
            keeps || !code.contains("ConsentId"),
            "{} names ConsentId",
            path.display()
        );
        if module == "consent" || module == "ledger" {
            let printable = ["Debug", "Display", "Serialize", "Deserialize"];
            for item in code.split("\n\n").filter(|item| holds_an_id(item)) {
                let derived = printable.iter().find(|name| derives(item, name));
                assert_eq!(derived, None, "{}", path.display());
            }
            for name in printable {
                for holder in ["ConsentId", "NewAct", "LedgerRecord"] {
                    let by_hand = format!("{name} for {holder} ");
                    assert!(!code.contains(&by_hand), "{} has {by_hand}", path.display());
                }
            }
        }
    }
}

/// A type that contains the id, or a line that contains it.
fn holds_an_id(item: &str) -> bool {
    let fields = [
        "struct ConsentId",
        "ConsentId>,",
        ": ConsentId,",
        "line: String,",
    ];
    (item.contains("struct ") || item.contains("enum "))
        && fields.iter().any(|field| item.contains(field))
}

fn derives(item: &str, name: &str) -> bool {
    item.lines()
        .any(|line| line.starts_with("#[derive") && line.contains(name))
}

#[test]
fn no_unkeyed_hash_comes_near_an_identifier() {
    for (module, path, code) in sources() {
        if module == "pseudonym" {
            for word in [
                "xxh",
                "foldhash",
                "ahash",
                "fxhash",
                "DefaultHasher",
                "city",
            ] {
                assert!(!code.contains(word), "{} names {word}", path.display());
            }
        }
    }
}

#[test]
fn values_of_visitors_are_used_by_the_modules_that_make_and_keep_them() {
    for (module, path, code) in sources() {
        let may_use = ["pseudonym", "visits"].contains(&module.as_str());
        for word in ["table_hash", "to_stored_copy", "MembershipHash"] {
            assert!(
                may_use || !code.contains(word),
                "{} names {word}",
                path.display()
            );
        }
    }
}
