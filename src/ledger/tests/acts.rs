//! Recording acts: references between them, and rejected ones.

use super::*;
use crate::hex;

#[test]
fn a_record_is_one_line_of_the_documented_form_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, .. } = open(dir.path());
    let id = ConsentId::random();
    let record = append(
        &ledger,
        NewAct {
            gpc: true,
            ..grant(&id)
        },
    );
    let (ab, cd, zeros) = ("ab".repeat(32), "cd".repeat(32), "0".repeat(64));
    let body = format!(
        r#"{{"seq":1,"prev":"{zeros}","id":"{}","act":"grant","refers":null,"site":"alllinks","version":3,"policy":null,"register":"{ab}","banner":"{cd}","lang":"de","layer":"first","purposes":{{"preferences":false,"analytics":true}},"gpc":true,"dnt":false,"at":"2026-03-10T12:00Z""#,
        id.to_hex()
    );
    let hash = hex::encode_lower(&line::sha256_digest(body.as_bytes()));
    assert_eq!(record.line, format!(r#"{body},"hash":"{hash}"}}"#));
    assert_eq!(file(dir.path()), format!("{}\n", record.line).into_bytes());
    let again = ledger.read_records(&id).ok().unwrap();
    assert_eq!(
        (
            again.len(),
            again[0].line == record.line,
            again[0].hash == record.hash
        ),
        (1, true, true)
    );
}

#[test]
fn a_record_of_before_holds_the_minute_and_is_read_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let id = ConsentId::random();
    drop(append(&open(dir.path()).ledger, grant(&id)));
    let line = String::from_utf8(file(dir.path()))
        .unwrap()
        .replace("T12:00Z", "T12:34Z");
    let body = line.split(r#","hash":"#).next().unwrap();
    write(
        dir.path(),
        format!(
            "{body},\"hash\":\"{}\"}}\n",
            hex::encode_lower(&line::sha256_digest(body.as_bytes()))
        )
        .as_bytes(),
    );
    let Opening { ledger, .. } = open(dir.path());
    append(&ledger, withdraw(&id));
    let times: Vec<bool> = ledger
        .read_records(&id)
        .ok()
        .unwrap()
        .iter()
        .map(|record| record.line.contains("T12:34Z"))
        .collect();
    assert_eq!(times, [true, false]);
    drop(ledger);
    assert_eq!(verified(dir.path()).ok().unwrap().summary.counts.records, 2);
}

#[test]
fn sixty_four_acts_at_once_make_one_chain_of_sixty_four() {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, .. } = open(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let ids: Vec<ConsentId> = (0..64).map(|_| ConsentId::random()).collect();
    let tasks: Vec<_> = ids
        .iter()
        .map(|id| {
            let (ledger, act) = (ledger.clone(), grant(id));
            runtime.spawn(async move { ledger.append_act(act).await.map(|record| record.seq) })
        })
        .collect();
    let mut seqs: Vec<u64> = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap().unwrap())
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=64).collect::<Vec<_>>());
    assert!(ids.iter().all(|id| {
        ledger
            .read_records(id)
            .is_ok_and(|records| records.len() == 1)
    }));
    drop(ledger);
    let Opening { found, .. } = open(dir.path());
    assert_eq!(
        found.counts,
        RecordCounts {
            records: 64,
            grants: 64,
            ..RecordCounts::default()
        }
    );
}

#[test]
fn a_grant_replaces_the_one_before_and_a_withdrawal_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let id = ConsentId::random();
    let check = |ledger: &Ledger, withdrawn: &WithdrawnGrants| {
        let standing = ledger.consent_state(&id).unwrap();
        assert_eq!(
            (standing.version, standing.live, standing.seq),
            (3, false, 3)
        );
        assert!(standing.granted.is_empty() && withdrawn.contains(&id));
        let refers: Vec<Option<u64>> = ledger
            .read_records(&id)
            .ok()
            .unwrap()
            .iter()
            .map(|record| record.refers)
            .collect();
        assert_eq!(refers, [None, Some(1), Some(3), Some(3)]);
        assert_eq!(
            ledger.record_counts(),
            RecordCounts {
                records: 5,
                grants: 2,
                refusals: 1,
                withdrawals: 2
            }
        );
    };
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    append(&ledger, grant(&id));
    append(&ledger, refuse());
    append(
        &ledger,
        act(ActKind::Grant, Some(&id), &["preferences", "analytics"]),
    );
    append(&ledger, act(ActKind::Withdraw, Some(&id), &["analytics"]));
    let narrowed = ledger.consent_state(&id).unwrap();
    assert_eq!(
        (narrowed.live, narrowed.seq, narrowed.granted.join("+")),
        (true, 3, "analytics".into())
    );
    assert!(!withdrawn.contains(&id), "what is narrowed still lives");
    append(&ledger, withdraw(&id));
    check(&ledger, &withdrawn);
    drop(ledger);
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    check(&ledger, &withdrawn);

    let again = append(&ledger, grant(&id));
    assert_eq!(
        (again.refers, ledger.consent_state(&id).unwrap().live),
        (None, true)
    );
    assert!(!withdrawn.contains(&id), "who grants again counts again");
}

#[test]
fn without_a_live_grant_nothing_is_withdrawn_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, .. } = open(dir.path());
    let id = ConsentId::random();
    assert!(matches!(
        refused(&ledger, act(ActKind::Withdraw, Some(&id), &["analytics"])),
        LedgerError::NoLiveGrant
    ));
    append(&ledger, grant(&id));
    append(&ledger, withdraw(&id));
    let before = file(dir.path());
    assert!(matches!(
        refused(&ledger, withdraw(&id)),
        LedgerError::NoLiveGrant
    ));
    assert_eq!(file(dir.path()), before);
}

#[test]
fn a_grant_of_another_collector_ends_here_by_its_id_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    let id = ConsentId::random();
    let ended = append(&ledger, withdraw(&id));
    assert_eq!(
        (ended.seq, ended.refers, withdrawn.contains(&id)),
        (1, None, true)
    );
    assert!(matches!(
        refused(&ledger, withdraw(&id)),
        LedgerError::NoLiveGrant
    ));
    drop(ledger);
    let Opening {
        ledger,
        found,
        withdrawn,
    } = open(dir.path());
    assert_eq!(
        (found.counts.withdrawals, withdrawn.contains(&id)),
        (1, true)
    );
    assert_eq!(
        ledger.consent_state(&id).map(|standing| standing.live),
        Some(false)
    );
}

#[test]
fn acts_of_one_person_are_recorded_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    let (one, other) = (ConsentId::random(), ConsentId::random());
    append(
        &ledger,
        act(ActKind::Grant, Some(&one), &["preferences", "analytics"]),
    );
    let narrowed = now(ledger.append_acts(vec![
        withdraw(&one),
        act(ActKind::Grant, Some(&other), &["preferences"]),
    ]));
    let records: Vec<_> = narrowed
        .ok()
        .unwrap()
        .iter()
        .map(|record| (record.seq, record.refers))
        .collect();
    assert_eq!(records, [(2, Some(1)), (3, None)]);
    assert!(withdrawn.contains(&one) && !withdrawn.contains(&other));
    let before = file(dir.path());
    for acts in [
        vec![withdraw(&one), grant(&ConsentId::random())],
        vec![grant(&ConsentId::random()), withdraw(&one)],
    ] {
        assert!(matches!(
            now(ledger.append_acts(acts)),
            Err(LedgerError::NoLiveGrant)
        ));
    }
    assert_eq!(file(dir.path()), before);
    append(&ledger, refuse());
    drop(ledger);
    assert_eq!(open(dir.path()).found.counts.records, 4);
}

#[test]
fn acts_of_one_group_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let Opening {
        ledger, withdrawn, ..
    } = open(dir.path());
    let id = ConsentId::random();
    // Queued together: the writer takes them in one batch or in several.
    let acts =
        [grant(&id), withdraw(&id), withdraw(&id), grant(&id)].map(|act| ledger.append_act(act));
    let outcomes: Vec<_> = acts
        .into_iter()
        .map(|act| now(act).map(|record| (record.seq, record.refers)))
        .collect();
    assert_eq!(outcomes[0].as_ref().unwrap(), &(1, None));
    assert_eq!(outcomes[1].as_ref().unwrap(), &(2, Some(1)));
    assert!(matches!(outcomes[2], Err(LedgerError::NoLiveGrant)));
    assert_eq!(outcomes[3].as_ref().unwrap(), &(3, None));
    assert!(!withdrawn.contains(&id));
}

#[test]
fn what_could_carry_a_person_or_break_a_line_is_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, .. } = open(dir.path());
    let id = ConsentId::random();
    let purposes = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), true))
            .collect::<Vec<_>>()
    };
    let acts = [
        (
            NewAct {
                site: "all links".into(),
                ..grant(&id)
            },
            "site",
        ),
        (
            NewAct {
                lang: "de\"".into(),
                ..grant(&id)
            },
            "lang",
        ),
        (
            NewAct {
                lang: "mia@example.com".into(),
                ..grant(&id)
            },
            "lang",
        ),
        (
            NewAct {
                purposes: purposes(&["a\nb"]),
                ..grant(&id)
            },
            "purposes",
        ),
        (
            NewAct {
                purposes: purposes(&["a", "a"]),
                ..grant(&id)
            },
            "purposes",
        ),
        (
            NewAct {
                purposes: vec![],
                ..grant(&id)
            },
            "purposes",
        ),
        (act(ActKind::Grant, Some(&id), &[]), "act"),
        (act(ActKind::Grant, None, &["analytics"]), "act"),
        (act(ActKind::Refuse, Some(&id), &[]), "act"),
        (act(ActKind::Refuse, None, &["analytics"]), "act"),
        (act(ActKind::Withdraw, None, &[]), "act"),
    ];
    for (act, part) in acts {
        let error = refused(&ledger, act);
        assert!(
            matches!(error, LedgerError::InvalidField { field, .. } if field == part),
            "{error}"
        );
    }
    append(&ledger, grant(&id));
    let more = refused(&ledger, act(ActKind::Withdraw, Some(&id), &["preferences"]));
    assert_eq!(
        more.to_string(),
        "purposes: must be among those that were granted"
    );
    assert_eq!(ledger.record_counts().records, 1);
}

#[test]
fn one_process_owns_a_ledger_and_a_finished_one_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let Opening { ledger, .. } = open(dir.path());
    assert!(matches!(
        try_open(dir.path()).err().unwrap(),
        LedgerError::InUse(_)
    ));
    append(&ledger, refuse());
    ledger.close().unwrap();
    assert!(matches!(refused(&ledger, refuse()), LedgerError::Closed));
    assert_eq!(open(dir.path()).found.counts.records, 1);
}

#[test]
fn a_hundred_thousand_grants_cost_less_than_a_hundred_bytes_each() {
    let mut book = index::ConsentIndex::new(0, Arc::default());
    for seq in 1..=100_000 {
        let (id, granted) = (Some(ConsentId::random()), vec!["analytics"]);
        book.insert_record(&index::RecordSummary {
            seq,
            id: id.as_ref(),
            act: ActKind::Grant,
            refers: None,
            version: 1,
            granted,
            offset: seq * 600,
            day: crate::calendar::Day::from_number(1),
        })
        .unwrap();
    }
    let each = book.heap_bytes() / 100_000;
    assert!((44..100).contains(&each), "{each} bytes");
}
