//! Links of the visitor's page lead to its own origin, whatever path the page was requested under.

use super::*;

/// A browser removes tabs and line ends from an address before it parses it: `/<tab>/evil.example`
/// is another host.
#[test]
fn links_of_the_visitors_page_and_the_way_back_from_it_hold_no_control_characters() {
    let server = Server::start(SITES);
    for under in [
        "/%09/evil.example",
        "/%09%2Fevil.example",
        "/u/%0A/mia",
        "/%0D%5Cevil.example",
        "/u/mia%7F",
    ] {
        let kept = cookie(&choose(&server, ACCEPT, &[]));
        let more = [("Cookie", &*kept)];
        let page = ask(
            &mut server.client(),
            "GET",
            &format!("{under}/ff/me?page=/u/mia"),
            "",
            &more,
        );
        assert_eq!(page.status, 200, "{under}");
        let html = page.text();
        let links: Vec<&str> = ["href=\"", "action=\""]
            .iter()
            .flat_map(|mark| html.split(*mark).skip(1))
            .collect();
        let links: Vec<&str> = links
            .iter()
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(links.len(), 3, "{under}: {links:?}");
        assert!(
            links.iter().all(|link| link.starts_with("/ff/")),
            "{under}: {links:?}"
        );

        let target = format!("{under}/ff/me/withdraw?page=/u/mia");
        let done = ask(&mut server.client(), "POST", &target, "", &more);
        assert_eq!(
            (done.status, done.header("location")),
            (303, Some("/ff/me?page=%2Fu%2Fmia")),
            "{under}"
        );
    }
    for (method, target) in [
        ("GET", "/ff/me?page=/%09/evil.example"),
        ("POST", "/ff/me/withdraw?page=/u/%0Amia"),
    ] {
        assert_eq!(
            problem(&ask(&mut server.client(), method, target, "", &[])).1,
            "bad_page",
            "{target}"
        );
    }
}
