//! Rate limits for guessed secrets and open streams: a network that guesses is blocked for a while,
//! and no other network is affected.

use serde_json::json;

use super::{Caller, OPERATOR, creator, hand_over, nobody, operator, share, start, token};
use crate::support::{Answer, Client, Server};

const TRUSTED: &str = "proxy.trusted=[\"127.0.0.0/8\"]";

fn from(caller: Caller, network: u8) -> Caller {
    caller.with("X-Forwarded-For", &format!("198.51.{network}.7"))
}

fn statuses(server: &Server, caller: &Caller, times: usize) -> Vec<u16> {
    (0..times)
        .map(|_| {
            caller
                .ask(server, "GET", "/api/v1/sites/mia/report", "")
                .status
        })
        .collect()
}

#[test]
fn a_network_shows_its_number_of_wrong_bearers_a_minute_and_no_other_network_pays() {
    let server = start(&[TRUSTED, "limits.network_invalid_tokens_per_min=10"]);
    let mut client = server.client();
    let mut answers = Vec::new();
    // A guess of five letters, one in a token's form, and the operator's token with another last
    // letter.
    let guesses = [
        "abcde".to_owned(),
        format!("ff_{}", "A".repeat(43)),
        format!("{}x", &OPERATOR[..25]),
    ];
    for n in 0..300 {
        from(Caller::bearer(&guesses[n % 3]), 1).send(
            &mut client,
            &server,
            "GET",
            "/api/v1/sites/mia/report",
            "",
        );
        answers.push(client.receive().unwrap());
    }
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(401), count(429)), (10, 290));
    let last: &Answer = answers.last().unwrap();
    assert_eq!(
        (
            last.header("Retry-After"),
            last.text().contains("too_many_tries")
        ),
        (Some("60"), true)
    );

    let good = token(&server, &["read"], None).1;
    assert_eq!(
        statuses(&server, &from(operator(), 1), 2),
        [429, 429],
        "its right tokens are not told from wrong ones"
    );
    assert_eq!(statuses(&server, &from(operator(), 2), 2), [200, 200]);
    assert_eq!(
        statuses(&server, &from(Caller::bearer(&good), 2), 2),
        [200, 200]
    );
    let signed_in = from(creator(&server, &["mia"]), 1);
    assert_eq!(
        statuses(&server, &signed_in, 2),
        [200, 200],
        "who shows a session guesses no token"
    );

    let metrics = operator().ask(&server, "GET", "/metrics", "").text();
    assert!(
        metrics.contains("\nfootfall_invalid_tokens_total 10\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nfootfall_tokens_unverified_total 292\n"),
        "{metrics}"
    );

    let later = (crate::support::NOON + 60_000).to_string();
    let later = from(Caller::bearer("abcde"), 1).with("X-Footfall-Now", &later);
    assert_eq!(statuses(&server, &later, 1), [401], "the minute is over");
}

#[test]
fn over_the_number_of_all_only_networks_that_guess_are_refused() {
    let server = start(&[
        TRUSTED,
        "limits.network_invalid_tokens_per_min=10",
        "limits.invalid_tokens_per_min=25",
    ]);
    let refused: Vec<usize> = (1..=5)
        .map(|network| {
            statuses(&server, &from(Caller::bearer("abcde"), network), 12)
                .iter()
                .filter(|s| **s == 429)
                .count()
        })
        .collect();
    assert_eq!(refused, [2, 2, 7, 11, 11]);
    assert_eq!(statuses(&server, &from(operator(), 9), 2), [200, 200]);
}

#[test]
fn share_links_and_handovers_that_are_none_are_tokens_too() {
    let server = start(&[TRUSTED, "limits.network_invalid_tokens_per_min=3"]);
    let (_, link) = share(&server, "mia", json!({}));
    let shared = |network, link: &str| {
        from(nobody(), network)
            .ask(&server, "GET", &format!("/api/v1/shares/{link}/report"), "")
            .status
    };
    let guesses: Vec<u16> = ["abcde", "AAAAAAAAAAAAAAAAAAAAAA", "abcde", "abcde"]
        .map(|guess| shared(1, guess))
        .to_vec();
    assert_eq!(guesses, [404, 404, 404, 429]);
    assert_eq!((shared(1, &link), shared(2, &link)), (429, 200));

    let body = json!({"token": "guess"}).to_string();
    let handed = |network| {
        from(nobody(), network)
            .ask(&server, "POST", "/handover", &body)
            .status
    };
    assert_eq!([3, 3, 3, 3].map(handed), [401, 401, 401, 429]);
    assert_eq!(
        hand_over(&server, &super::sign(&super::claims(&["mia"], "one"))).status,
        303
    );
}

/// Streams that were accepted stay open as long as their answers are held.
fn listen(server: &Server, caller: &Caller, times: usize) -> (Vec<Client>, Vec<u16>) {
    let listen = |_| {
        let mut client = server.client();
        caller.send(&mut client, server, "GET", "/api/v1/sites/mia/events", "");
        let status = client.receive_head().unwrap().status;
        (client, status)
    };
    (0..times).map(listen).unzip()
}

fn let_in(statuses: &[u16]) -> (usize, usize) {
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    (count(200), count(429))
}

#[test]
fn one_session_and_one_network_open_their_number_of_streams_and_others_have_theirs() {
    let server = start(&[
        TRUSTED,
        "limits.streams_per_session=5",
        "limits.streams_per_network=12",
    ]);
    let (one, two) = (
        from(creator(&server, &["mia"]), 1),
        from(creator(&server, &["mia"]), 1),
    );
    let (open, statuses) = listen(&server, &one, 20);
    assert_eq!(let_in(&statuses), (5, 15));
    let (more, statuses) = listen(&server, &two, 20);
    assert_eq!(
        let_in(&statuses),
        (5, 15),
        "another session of the same creator's network"
    );
    let (last, statuses) = listen(&server, &from(creator(&server, &["mia"]), 1), 20);
    assert_eq!(let_in(&statuses), (2, 18), "the network has its number");
    let read = from(Caller::bearer(&token(&server, &["read"], None).1), 2);
    let (tokens, statuses) = listen(&server, &read, 8);
    assert_eq!(let_in(&statuses), (5, 3));
    let (programs, statuses) = listen(&server, &from(operator(), 3), 12);
    assert_eq!(
        let_in(&statuses),
        (12, 0),
        "an operator's token is many programs'"
    );

    let page = || operator().ask(&server, "GET", "/metrics", "").text();
    assert!(page().contains("\nfootfall_streams 29\n"), "{}", page());
    assert!(
        page().contains("\nfootfall_streams_rejected_total 51\n"),
        "{}",
        page()
    );
    drop((open, more, last, tokens, programs));
    crate::support::until(
        || page().contains("\nfootfall_streams 0\n"),
        "closed streams leave their room",
    );
    assert_eq!(let_in(&listen(&server, &one, 5).1), (5, 0));
}
