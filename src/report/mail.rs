//! What became of the platform's mails. Who opens is told in three classes that are never added up. What fewer than k people did is not
//! shown: a password that was reset on a quiet day is one person's mail, and the platform knows whose.

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::Question;
use crate::event::{MailAction, Reader};
use crate::store::{Mailed, MailedBy, Store, StoreError};

#[derive(Serialize, Debug)]
pub struct MailAnswer {
    pub zone: String,
    pub from: String,
    pub to: String,
    pub k: u64,
    pub templates: Vec<TemplateRow>,
}

#[derive(Serialize, Debug)]
pub struct TemplateRow {
    pub template: String,
    pub opens: Cell,
    /// People's programs that opened it, each once a day; `null` where nobody is told from anybody, or too few.
    pub openers: Option<u64>,
    pub clicks: Cell,
    /// Clicks by people for each opening that may have been one's.
    pub click_rate: Option<f64>,
    pub days: Vec<Slice>,
    pub batches: Vec<Slice>,
    pub links: Vec<LinkRow>,
}

#[derive(Serialize, Debug)]
pub struct Slice {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    pub opens: Cell,
    pub openers: Option<u64>,
    pub clicks: Cell,
}

#[derive(Serialize, Debug)]
pub struct LinkRow {
    pub link: String,
    pub clicks: Cell,
}

/// By class of reader, or too few people to tell.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
#[serde(untagged)]
pub enum Cell {
    Shown { direct: u64, proxied: u64, machine: u64 },
    FewerThan { fewer_than: u64 },
}

/// Sums of one template, day, batch or link.
#[derive(Default, Clone, Copy)]
struct Sums {
    opens: [u64; Reader::ALL.len()],
    clicks: [u64; Reader::ALL.len()],
    openers: u64,
}

impl Sums {
    fn add(&mut self, row: &Mailed) {
        let place = Reader::ALL.iter().position(|reader| reader.name() == row.reader);
        let counts = if row.action == MailAction::Open.name() { &mut self.opens } else { &mut self.clicks };
        if let Some(place) = place {
            counts[place] += row.hits;
        }
        self.openers += row.visitors;
    }

    /// Software is not people. A person who opens a mail five times is one, where that is known: not behind a proxy, and not where nobody
    /// has a value.
    fn opened(&self) -> Part {
        let [direct, proxied, _] = self.opens;
        let by_own_program = if self.openers > 0 { self.openers } else { direct };
        Part { counts: self.opens, people: by_own_program + proxied }
    }

    /// Of clicks nobody knows whose they are: each may be another's.
    fn clicked(&self) -> Part {
        let [direct, proxied, _] = self.clicks;
        Part { counts: self.clicks, people: direct + proxied }
    }
}

/// Counts by class, and how many people they are of at most.
#[derive(Clone, Copy)]
struct Part {
    counts: [u64; Reader::ALL.len()],
    people: u64,
}

/// The parts of a whole that is shown itself: what fewer than k did is hidden, and the next smallest with it until what is hidden is no
/// smaller than k. Otherwise the whole less what is shown would tell.
fn cells(parts: &[Part], k: u64) -> Vec<Cell> {
    let mut order: Vec<usize> = (0..parts.len()).filter(|part| parts[*part].people > 0).collect();
    order.sort_by_key(|part| parts[*part].people);
    let mut hidden = 0;
    let many = order.iter().take_while(|part| {
        let people = parts[**part].people;
        let hide = people < k || (1..k).contains(&hidden);
        hidden += if hide { people } else { 0 };
        hide
    });
    let hide: Vec<usize> = many.copied().collect();
    let cell = |(place, part): (usize, &Part)| match hide.contains(&place) {
        true => Cell::FewerThan { fewer_than: k },
        false => shown(part.counts),
    };
    parts.iter().enumerate().map(cell).collect()
}

fn shown([direct, proxied, machine]: [u64; Reader::ALL.len()]) -> Cell {
    Cell::Shown { direct, proxied, machine }
}

type Parts = BTreeMap<String, BTreeMap<String, Sums>>;

pub async fn mail(store: &Store, question: &Question) -> Result<MailAnswer, StoreError> {
    let range = (question.from, question.to);
    let [days, batches, links] = [MailedBy::Day, MailedBy::Batch, MailedBy::Link].map(|by| store.mailed(by, range));
    let (days, batches, links) = (parts(days.await?), parts(batches.await?), parts(links.await?));
    let of = |parts: &Parts, template: &str| parts.get(template).cloned().unwrap_or_default();
    let row = |template: &String| {
        template_row(template, &days[template], &of(&batches, template), &of(&links, template), question.k)
    };
    Ok(MailAnswer {
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        k: question.k,
        templates: days.keys().map(row).collect(),
    })
}

fn parts(rows: Vec<Mailed>) -> Parts {
    let mut parts = Parts::new();
    for row in rows {
        parts.entry(row.template.clone()).or_default().entry(row.of.clone()).or_default().add(&row);
    }
    parts
}

fn template_row(
    template: &str,
    days: &BTreeMap<String, Sums>,
    batches: &BTreeMap<String, Sums>,
    links: &BTreeMap<String, Sums>,
    k: u64,
) -> TemplateRow {
    let mut whole = Sums::default();
    for day in days.values() {
        (0..Reader::ALL.len()).for_each(|class| {
            whole.opens[class] += day.opens[class];
            whole.clicks[class] += day.clicks[class];
        });
        whole.openers += day.openers;
    }
    let slices = |parts: &BTreeMap<String, Sums>, name: fn(String) -> (Option<String>, Option<String>)| -> Vec<Slice> {
        let opens = cells(&parts.values().map(Sums::opened).collect::<Vec<_>>(), k);
        let clicks = cells(&parts.values().map(Sums::clicked).collect::<Vec<_>>(), k);
        let cells = opens.into_iter().zip(clicks);
        let slice = |((of, sums), (opens, clicks)): ((&String, &Sums), (Cell, Cell))| {
            let (day, batch) = name(of.clone());
            Slice { day, batch, opens, openers: openers(opens, sums), clicks }
        };
        parts.iter().zip(cells).map(slice).collect()
    };
    let links_shown = cells(&links.values().map(Sums::clicked).collect::<Vec<_>>(), k);
    let (opens, clicks) = (cells(&[whole.opened()], k)[0], cells(&[whole.clicked()], k)[0]);
    TemplateRow {
        template: template.to_owned(),
        opens,
        openers: openers(opens, &whole),
        clicks,
        click_rate: click_rate(opens, clicks),
        days: slices(days, |day| (Some(day), None)),
        batches: slices(batches, |batch| (None, Some(batch))),
        links: links.keys().zip(links_shown).map(|(link, clicks)| LinkRow { link: link.clone(), clicks }).collect(),
    }
}

/// Nobody is told from anybody where nobody has a value: then direct openings have no opener at all.
fn openers(opens: Cell, sums: &Sums) -> Option<u64> {
    match opens {
        Cell::Shown { direct, .. } => (direct == 0 || sums.openers > 0).then_some(sums.openers),
        Cell::FewerThan { .. } => None,
    }
}

fn click_rate(opens: Cell, clicks: Cell) -> Option<f64> {
    match (opens, clicks) {
        (Cell::Shown { direct, proxied, .. }, Cell::Shown { direct: clicks, .. }) if direct + proxied > 0 => {
            let rate = clicks as f64 / (direct + proxied) as f64;
            Some((rate * 10_000.0).round() / 10_000.0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people_shown(parts: &[u64], k: u64) -> Vec<Option<u64>> {
        let parts: Vec<Part> = parts.iter().map(|people| Part { counts: [*people, 0, 9], people: *people }).collect();
        let people = |cell| match cell {
            Cell::Shown { direct, .. } => Some(direct),
            Cell::FewerThan { .. } => None,
        };
        cells(&parts, k).into_iter().map(people).collect()
    }

    #[test]
    fn what_fewer_than_k_did_is_hidden_and_the_next_smallest_with_it() {
        assert_eq!(people_shown(&[9, 0, 5], 5), [Some(9), Some(0), Some(5)]);
        assert_eq!(people_shown(&[9, 4, 5], 5), [Some(9), None, None]);
        assert_eq!(people_shown(&[9, 4, 3], 5), [Some(9), None, None]);
        assert_eq!(people_shown(&[1], 5), [None]);
        assert_eq!(people_shown(&[0, 0], 5), [Some(0), Some(0)]);
    }

    proptest! {
        #[test]
        fn the_whole_less_what_is_shown_tells_nobody(parts in prop::collection::vec(0_u64..12, 0..8), k in 2_u64..8) {
            let shown = people_shown(&parts, k);
            let hidden: u64 = parts.iter().zip(&shown).filter(|(_, shown)| shown.is_none()).map(|(people, _)| people).sum();
            let whole: u64 = parts.iter().sum();
            prop_assert!(hidden == 0 || hidden >= k || hidden == whole);
            prop_assert!(shown.iter().flatten().all(|people| *people == 0 || *people >= k));
        }
    }

    #[test]
    fn the_click_rate_is_of_people_and_is_not_told_of_few() {
        let shown = |direct, proxied, machine| Cell::Shown { direct, proxied, machine };
        assert_eq!(click_rate(shown(6, 6, 90), shown(3, 0, 50)), Some(0.25));
        assert_eq!(click_rate(shown(0, 0, 90), shown(0, 0, 0)), None);
        assert_eq!(click_rate(Cell::FewerThan { fewer_than: 5 }, shown(9, 0, 0)), None);
    }
}
