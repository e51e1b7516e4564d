//! What is on record, and what a kill, a full disk or a search through every byte finds of it.

use std::fs;

use serde_json::json;

use super::{ACCEPT, WITHDRAW, ask, choose, cookie, id_of, ledger, set_cookies};
use crate::support::{Client, SITES, Server, hit, view};

#[test]
fn sixty_four_grants_at_once_make_one_unbroken_chain_and_a_kill_loses_none_that_was_answered() {
    let mut server = Server::start_with(SITES, &["limits.network_choices_per_min=100000"]);
    let mut answered = Vec::new();
    for _ in 0..4 {
        let mut clients: Vec<Client> = (0..64).map(|_| server.client()).collect();
        let cookies: Vec<String> = std::thread::scope(|scope| {
            let asks: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| cookie(&ask(client, "POST", "/ff/consent", ACCEPT, &[]))))
                .collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        answered.extend(cookies);
        server.kill();
        server.restart();
    }
    let records = ledger(&server);
    assert_eq!((records.len(), answered.len()), (256, 256));
    for (place, pair) in records.windows(2).enumerate() {
        assert_eq!((&pair[1]["prev"], &pair[1]["seq"]), (&pair[0]["hash"], &json!(place + 2)));
    }
    let ids: std::collections::HashSet<&str> = records.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert!(answered.iter().all(|cookie| ids.contains(id_of(cookie))));
}

#[test]
fn the_consent_id_is_in_the_ledger_and_in_no_other_byte() {
    let mut server = Server::start_with(SITES, &["log.filter=\"trace\""]);
    let answer = choose(&server, ACCEPT, &[]);
    let kept = cookie(&answer);
    let id = id_of(&kept);
    for path in ["/u/mia", "/u/mia/shop"] {
        hit(&mut server.client(), &view(path), &[("Cookie", &kept)]);
    }
    ask(&mut server.client(), "GET", "/ff/consent/receipt", "", &[("Cookie", &kept)]);
    choose(&server, WITHDRAW, &[("Cookie", &kept)]);
    server.flush();
    let metrics = server.client().get("/metrics").unwrap().text();
    server.stop();
    assert!(!metrics.contains(id) && !server.log().contains(id));
    let number = u128::from_str_radix(id, 16).unwrap();
    let forms = [id.as_bytes().to_vec(), number.to_le_bytes().to_vec(), number.to_be_bytes().to_vec()];
    let mut searched = 0;
    let mut folders = vec![server.dir().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap();
            searched += 1;
            let holds = forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == &form[..]));
            assert_eq!(holds, entry.file_name() == "acts.ledger", "{}", entry.path().display());
        }
    }
    assert!(searched > 20, "{searched} files");
}

#[test]
fn a_receipt_is_the_ledgers_own_lines_for_whoever_holds_the_cookie() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, ACCEPT, &[]);
    let receipt = |cookie: &str| ask(&mut server.client(), "GET", "/ff/consent/receipt", "", &[("Cookie", cookie)]);
    let mine = receipt(&kept);
    assert_eq!(mine.header("content-disposition"), Some("attachment; filename=\"consent-receipt.json\""));
    let first = fs::read_to_string(server.dir().join("data/ledger/acts.ledger")).unwrap();
    assert_eq!(mine.text(), format!("[\n{}\n]\n", first.lines().next().unwrap()));
    let nobody = format!("ff_consent=2.analytics.{}", "0".repeat(32));
    assert_eq!([receipt(&nobody).status, receipt("ff_consent=2.none").status, receipt("x=1").status], [404, 404, 404]);
}

#[test]
fn a_hung_or_failed_ledger_grants_nothing() {
    let server = Server::start_on_small_disk(SITES, &["journal.max_bytes=1048576"], 32 << 20);
    let filler = server.data().join("filler");
    let mut size = 0;
    // Fills what is left, to the last page.
    while fs::write(filler.with_extension(size.to_string()), vec![1; 1 << 16]).is_ok() {
        size += 1;
    }
    let answers: Vec<u16> =
        (0..40).map(|n| choose(&server, ACCEPT, &[("X-Forwarded-For", &format!("198.51.{n}.7"))]).status).collect();
    assert!(answers.contains(&503), "{answers:?}");
    let refused = choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!((refused.status, set_cookies(&refused)), (503, Vec::new()));
    for n in 0..size {
        let _ = fs::remove_file(filler.with_extension(n.to_string()));
    }
    assert_eq!(choose(&server, ACCEPT, &[("X-Forwarded-For", "203.0.113.9")]).status, 200);
    let on_disk = fs::read_to_string(server.data().join("ledger/acts.ledger")).unwrap();
    let granted = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(on_disk.lines().count(), granted + 1, "answered and on record are the same");
}
