//! Publication on replicas: from one decision, whoever begins it and whatever fails meanwhile.

use serde_json::{Value, json};

use super::{DAY_LONG, Replicas, count_view, count_views, get, publish};
use crate::support::{DAY, Engine, NOON, Server, until};

/// The visitors of mia's day by kind of device.
fn devices(server: &Server) -> Value {
    let answer = get(server, &format!("/api/v1/sites/mia/report?{DAY}"));
    let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    report["dimensions"]["device"]["rows"].clone()
}

/// The units that were begun, and how many of them are finished.
const UNITS: &str = "SELECT count(), countIf(done = 1) FROM publications FINAL FORMAT TSV";

#[test]
fn what_is_published_is_equal_on_a_replica_that_was_away_and_nothing_new_is_begun_without_it() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&server, 0..40);
    server.flush();
    let published = |engine: &Engine| {
        engine
            .sql("SELECT count() FROM published")
            .trim()
            .to_owned()
    };

    // Nothing is decided while one is away.
    replicas.engines[1].kill();
    until(
        || server.metric("footfall_replicas_unavailable") == 1,
        "it is missed",
    );
    assert_ne!(publish(&server, NOON + DAY_LONG), 200);
    assert_eq!(published(&replicas.engines[0]), "0");
    assert_eq!(server.metric("footfall_publication_overdue_seconds"), 0);
    replicas.engines[1].restart();
    until(
        || server.metric("footfall_replicas_unavailable") == 0,
        "it is back",
    );

    // One fails in the middle: the other is ahead, and is the one that is read.
    replicas.engines[1].sql("RENAME TABLE published TO published_hidden");
    assert_ne!(publish(&server, NOON + DAY_LONG), 200);
    assert_ne!(published(&replicas.engines[0]), "0");
    let sources = |server: &Server| {
        let answer = get(server, &format!("/api/v1/sites/mia/report?{DAY}"));
        let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, report["dimensions"]["device"].clone())
    };
    until(
        || sources(&server).1["rows"][0]["visitors"] == json!(40),
        "the first is read",
    );
    let whole = sources(&server);
    replicas.engines[0].kill();
    until(|| sources(&server).0 == 503, "the second is behind");
    replicas.engines[1].sql("RENAME TABLE published_hidden TO published");

    // It continues by itself, from the row that it has, and then says the same.
    assert_ne!(publish(&server, NOON + DAY_LONG), 200, "the first is away");
    until(|| sources(&server) == whole, "the second has the same lots");

    replicas.engines[0].restart();
    until(
        || server.metric("footfall_replicas_unavailable") == 0,
        "it is back",
    );
    assert_eq!(publish(&server, NOON + DAY_LONG), 200);
    replicas.until_equal("both have the same tables");

    // The next day, both from one decision.
    count_views(&server, 40..60);
    server.publish(NOON + 2 * DAY_LONG);
    replicas.until_equal("so they have after the next day");
    let units = "SELECT count(), countIf(done = 1) FROM publications FINAL FORMAT TSV";
    let [one, two] = replicas.engines.each_ref().map(|engine| engine.sql(units));
    assert_eq!(one, two);
}

/// As when it is slow, or its memory is used up, for a moment.
#[test]
fn attributes_that_one_replica_was_sent_in_halves_are_published_alike() {
    let replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..1);
    server.flush();
    // More than three seconds for a block are TOO_SLOW: that is for more than 500 rows.
    replicas.engines[1]
        .sql("ALTER TABLE unpublished ADD CONSTRAINT slow CHECK sleepEachRow(0.006) = 0");
    // They are released together, when the day is over: some 600 rows.
    for person in 1..300 {
        assert!(count_view(&server, person as u64, person));
    }
    server.publish(NOON + DAY_LONG);
    let log = server.log();
    assert_eq!(log.matches("it is sent in halves").count(), 1, "{log}");

    let left = "SELECT count() FROM unpublished WHERE bitShiftRight(site, 88) != \
                toUInt128(1099511627775)";
    let published = "SELECT count(), sum(cityHash64(*)) FROM published FINAL FORMAT TSV";
    let [one, two] = replicas.engines.each_ref().map(|engine| {
        assert_eq!(engine.sql(left).trim(), "0", "nothing waits");
        engine.sql(published)
    });
    assert_eq!(one, two);
    assert!(!one.starts_with('0'), "{one}");
}

/// On both sides of a full hour, two collectors find different units due.
#[test]
fn two_collectors_that_publish_different_units_at_once_publish_no_visitor_twice() {
    let replicas = Replicas::start();
    let one = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&one, 0..40);
    one.flush();
    let two = replicas.server(&["journal.attribute_secs=0"]);
    two.flush();
    // Between the decision and the first row of the unit there is a second.
    for engine in &replicas.engines {
        engine.sql("ALTER TABLE publications ADD CONSTRAINT slow CHECK sleepEachRow(1) = 0");
    }

    std::thread::scope(|scope| {
        let first = scope.spawn(|| publish(&one, NOON + DAY_LONG));
        let drafts = "SELECT count() FROM publication_drafts";
        let decided = || replicas.engines.each_ref().map(|engine| engine.sql(drafts));
        until(|| decided() == ["1\n", "1\n"], "the first has decided");
        // It publishes the unit of the first one too, or leaves its own for later.
        let second = publish(&two, NOON + 2 * DAY_LONG);
        assert!(matches!(second, 200 | 503), "{}", two.log());
        assert_eq!(first.join().unwrap(), 200, "{}", one.log());
    });
    assert_eq!(publish(&two, NOON + 2 * DAY_LONG), 200, "{}", two.log());

    assert_eq!(devices(&one)[0]["visitors"], json!(40));
    let units = replicas.engines.each_ref().map(|engine| engine.sql(UNITS));
    assert_eq!(units, ["2\t2\n", "2\t2\n"]);
    replicas.until_equal("both have the same tables");
}

/// As a collector leaves it that was killed when it had decided, and before another replica knew.
fn leave_draft(engine: &Engine) {
    engine.sql(
        "INSERT INTO publication_drafts (zone, at, lot, day, closes, segments, slices) SELECT \
         zone, addHours(toDateTime(day, 'UTC'), 13), 1, day, 0, groupArray((day, segment)), 1 \
         FROM (SELECT DISTINCT zone, day, segment FROM unpublished WHERE zone != '') \
         GROUP BY zone, day",
    );
}

#[test]
fn a_unit_that_one_replica_has_a_draft_of_is_published_before_the_next() {
    for drafted in [0, 1] {
        let replicas = Replicas::start();
        let server = replicas.server(&["journal.attribute_secs=0"]);
        count_views(&server, 0..40);
        server.flush();
        leave_draft(&replicas.engines[drafted]);

        server.publish(NOON + DAY_LONG);
        let units = replicas.engines.each_ref().map(|engine| engine.sql(UNITS));
        assert_eq!(units, ["2\t2\n", "2\t2\n"]);
        assert_eq!(devices(&server)[0]["visitors"], json!(40));
        replicas.until_equal("both have the same tables");
    }
}

/// The other replica was lost, and its URL taken out of the list.
#[test]
fn a_draft_that_was_left_is_published_by_the_only_replica_and_an_old_one_is_not_in_the_way() {
    let replicas = Replicas::start();
    let mut server = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&server, 0..40);
    server.flush();
    let [left, _] = &replicas.engines;
    leave_draft(left);
    assert_eq!(server.stop(), Some(0));
    server.set(&[&format!("store.shards=[[\"{}\"]]", left.url())]);
    server.restart();
    server.publish(NOON + DAY_LONG);
    assert_eq!(left.sql(UNITS), "2\t2\n");
    assert_eq!(devices(&server)[0]["visitors"], json!(40));

    // Units are deleted after two months, and the draft was there before this version deleted it.
    left.sql("DELETE FROM publications WHERE toHour(at) = 13");
    server.publish(NOON + 2 * DAY_LONG);
    assert_eq!(left.sql(UNITS), "2\t2\n");
}
