//! Withdrawals of consent, as collectors of one database exchange them.

use footfall::config::RetentionPolicy;
use footfall::store::Store;

use crate::support::{Tested, day, number};

pub async fn withdrawals_are_read_by_the_days_that_changed(store: &Tested) {
    let one = |byte: u8, date: &str| ([byte; 32], day(date));
    assert_eq!(store.withdrawal_days().await.unwrap(), []);
    store
        .insert_withdrawals(&[
            one(1, "2026-03-10"),
            one(2, "2026-03-10"),
            one(3, "2026-03-11"),
        ])
        .await
        .unwrap();
    let before = store.withdrawal_days().await.unwrap();
    assert_eq!(before.len(), 2);
    let mut read = store
        .read_withdrawals(&[day("2026-03-10").as_number()])
        .await
        .unwrap();
    read.sort_unstable();
    assert_eq!(read, [[1; 32], [2; 32]]);
    // A row of another collector that becomes visible late is noticed: its day changes, whatever
    // the newest row is.
    store
        .insert_withdrawals(&[one(0xff, "2026-03-10")])
        .await
        .unwrap();
    let after = store.withdrawal_days().await.unwrap();
    let changed: Vec<u16> = after
        .iter()
        .filter(|day| !before.contains(day))
        .map(|day| day.day_number)
        .collect();
    assert_eq!(changed, [day("2026-03-10").as_number()]);
}

pub async fn withdrawals_are_kept_as_long_as_a_cookie_can_live(store: &Tested) {
    let (today, last) = (day("2027-05-01"), day("2026-03-31"));
    assert_eq!(Store::withdrawals_since(today), last);
    store
        .insert_withdrawals(&[
            ([1; 32], day("2026-03-30")),
            ([2; 32], last),
            ([3; 32], today),
        ])
        .await
        .unwrap();
    store
        .apply_retention(today, &RetentionPolicy::uniform(761))
        .await
        .unwrap();
    until_gone(store).await;
    assert_eq!(
        number(
            store,
            "SELECT count() FROM withdrawals WHERE day >= '2026-03-31'"
        )
        .await,
        2
    );
}

/// Rows are deleted in the background.
async fn until_gone(store: &Tested) {
    for _ in 0..200 {
        if number(
            store,
            "SELECT count() FROM withdrawals WHERE day < '2026-03-31'",
        )
        .await
            == 0
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("an old withdrawal is still there");
}
