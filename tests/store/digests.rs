//! Withdrawals of consent and sign-outs, as collectors of one database exchange them.

use footfall::config::RetentionPolicy;
use footfall::store::DigestTable;

use crate::support::{Tested, day, number};

pub async fn withdrawals_are_read_by_the_days_that_changed(store: &Tested) {
    let one = |byte: u8, date: &str| ([byte; 32], day(date));
    assert_eq!(
        store.digest_days(DigestTable::Withdrawals).await.unwrap(),
        []
    );
    store
        .insert_digests(
            DigestTable::Withdrawals,
            &[
                one(1, "2026-03-10"),
                one(2, "2026-03-10"),
                one(3, "2026-03-11"),
            ],
        )
        .await
        .unwrap();
    let before = store.digest_days(DigestTable::Withdrawals).await.unwrap();
    assert_eq!(before.len(), 2);
    let mut read = store
        .read_digests(DigestTable::Withdrawals, &[day("2026-03-10").as_number()])
        .await
        .unwrap();
    read.sort_unstable();
    assert_eq!(read, [one(1, "2026-03-10"), one(2, "2026-03-10")]);
    // A row of another collector that becomes visible late is noticed: its day changes, whatever
    // the newest row is.
    store
        .insert_digests(DigestTable::Withdrawals, &[one(0xff, "2026-03-10")])
        .await
        .unwrap();
    let after = store.digest_days(DigestTable::Withdrawals).await.unwrap();
    let changed: Vec<u16> = after
        .iter()
        .filter(|day| !before.contains(day))
        .map(|day| day.day_number)
        .collect();
    assert_eq!(changed, [day("2026-03-10").as_number()]);
}

pub async fn withdrawals_and_sign_outs_are_kept_as_long_as_a_cookie_can_live(store: &Tested) {
    let (today, last) = (day("2027-05-01"), day("2026-03-31"));
    assert_eq!(DigestTable::Withdrawals.oldest_kept_day(today), last);
    store
        .insert_digests(
            DigestTable::Withdrawals,
            &[
                ([1; 32], day("2026-03-30")),
                ([2; 32], last),
                ([3; 32], today),
            ],
        )
        .await
        .unwrap();
    // The day of a sign-out is the last one on which the cookie could be valid; 60 more are kept.
    store
        .insert_digests(
            DigestTable::SignOuts,
            &[([1; 32], day("2027-03-01")), ([2; 32], day("2027-03-02"))],
        )
        .await
        .unwrap();
    store
        .apply_retention(today, &RetentionPolicy::uniform(761))
        .await
        .unwrap();
    for over in [
        "SELECT count() FROM withdrawals WHERE day < '2026-03-31'",
        "SELECT count() FROM sign_outs WHERE day < '2027-03-02'",
    ] {
        until_gone(store, over).await;
    }
    for (kept, rows) in [
        (
            "SELECT count() FROM withdrawals WHERE day >= '2026-03-31'",
            2,
        ),
        ("SELECT count() FROM sign_outs", 1),
    ] {
        assert_eq!(number(store, kept).await, rows);
    }
}

/// Rows are deleted in the background.
async fn until_gone(store: &Tested, over: &str) {
    for _ in 0..2000 {
        if number(store, over).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{over}: an old row is still there");
}
