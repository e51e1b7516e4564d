//! Opens and clicks of the platform's mails, by template, day, batch and link.
//!
//! Readers are reported in three classes that are never added up. Counts that fewer than k people
//! may have caused are hidden: a password reset on a quiet day is a mail to one person, and the
//! platform knows to whom. The measure is openers. Loads and clicks, which may all come from one
//! person, need [`LOADS`] times as many.

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::Question;
use crate::event::{MailAction, Reader};
use crate::store::{Mailed, MailedBy, Store, StoreError};

/// Opens and clicks of all templates in a range of days.
#[derive(Serialize, Debug)]
pub struct MailAnswer {
    /// IANA name of the zone that the days are in.
    pub zone: String,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Least number of openers behind a count that is shown.
    pub k: u64,
    /// Least number of loads or clicks behind a count where people cannot be told apart (clicks,
    /// openings through a proxy).
    pub k_loads: u64,
    /// One row per template that was opened or clicked in the range, by name.
    pub templates: Vec<TemplateRow>,
}

/// The mails of one template.
#[derive(Serialize, Debug)]
pub struct TemplateRow {
    /// Name of the template.
    pub template: String,
    /// Loads of the tracking pixel.
    pub opens: Cell,
    /// Distinct openers per day, summed over the days. `None` where openers cannot be told apart
    /// (`visitor.mode` is `none`), or where the count is hidden.
    pub openers: Option<u64>,
    /// Followed links.
    pub clicks: Cell,
    /// Direct clicks divided by openings that may be a person's (direct and proxied), to four
    /// decimals. `None` where a part is hidden or nothing was opened.
    pub click_rate: Option<f64>,
    /// By day of the action, in order.
    pub days: Vec<Slice>,
    /// By batch day (the day the mail was signed for), in order.
    pub batches: Vec<Slice>,
    /// By link, in the order of their names.
    pub links: Vec<LinkRow>,
}

/// The share of one day or one batch in a template's row. Exactly one of `day` and `batch` is set.
#[derive(Serialize, Debug)]
pub struct Slice {
    /// Day of the opens and clicks, as `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Batch day, as `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Loads of the tracking pixel.
    pub opens: Cell,
    /// As in [`TemplateRow::openers`].
    pub openers: Option<u64>,
    /// Followed links.
    pub clicks: Cell,
}

/// Clicks on one link of a template.
#[derive(Serialize, Debug)]
pub struct LinkRow {
    /// Name of the link, as it was signed.
    pub link: String,
    /// How often it was followed.
    pub clicks: Cell,
}

/// A count by class of reader. `None` (JSON `null`) hides a count that too few people may have
/// caused. Machines are not people, so their count is never hidden.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub struct Cell {
    /// By people's own programs.
    pub direct: Option<u64>,
    /// Through a mail provider's image proxy.
    pub proxied: Option<u64>,
    /// By software: scanners, link checkers, robots.
    pub machine: u64,
}

/// Loads whose openers cannot be told apart may all come from one person: this many of them weigh
/// as much as one opener.
const LOADS: u64 = 4;

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

    /// Openings. A person who opens a mail five times counts once where that can be known: not
    /// behind a proxy, and not if `visitor.mode` is `none`.
    fn opened(&self) -> Counted {
        let [direct, proxied, machine] = self.opens;
        let loads = if self.openers > 0 { self.openers * LOADS } else { direct };
        Counted { direct: Part { count: direct, loads }, proxied: Part::of(proxied), machine }
    }

    /// Clicks have no openers, so each class is weighed by its clicks.
    fn clicked(&self) -> Counted {
        let [direct, proxied, machine] = self.clicks;
        Counted { direct: Part::of(direct), proxied: Part::of(proxied), machine }
    }
}

/// A count of one class, and its weight in loads: the figure that is compared with `k * LOADS`.
#[derive(Clone, Copy)]
struct Part {
    count: u64,
    loads: u64,
}

impl Part {
    fn of(count: u64) -> Part {
        Part { count, loads: count }
    }
}

/// Openings or clicks by class.
#[derive(Clone, Copy)]
struct Counted {
    direct: Part,
    proxied: Part,
    machine: u64,
}

/// Cells of the parts of a whole that is itself shown. Each class is suppressed on its own.
fn cells(parts: &[Counted], k: u64) -> Vec<Cell> {
    let class = |of: fn(&Counted) -> Part| shown(&parts.iter().map(of).collect::<Vec<_>>(), k);
    let classes = class(|part| part.direct).into_iter().zip(class(|part| part.proxied));
    let cell = |((direct, proxied), part): ((Option<u64>, Option<u64>), &Counted)| Cell {
        direct,
        proxied,
        machine: part.machine,
    };
    classes.zip(parts).map(cell).collect()
}

/// Hides each part under `k` people, and then the next smallest parts until the hidden ones
/// together reach `k`. Otherwise the whole minus what is shown would reveal them.
fn shown(parts: &[Part], k: u64) -> Vec<Option<u64>> {
    let least = k * LOADS;
    let mut order: Vec<usize> = (0..parts.len()).filter(|part| parts[*part].loads > 0).collect();
    order.sort_by_key(|part| parts[*part].loads);
    let mut hidden = 0;
    let many = order.iter().take_while(|part| {
        let loads = parts[**part].loads;
        let hide = loads < least || (1..least).contains(&hidden);
        hidden += if hide { loads } else { 0 };
        hide
    });
    let hide: Vec<usize> = many.copied().collect();
    parts.iter().enumerate().map(|(place, part)| (!hide.contains(&place)).then_some(part.count)).collect()
}

type Parts = BTreeMap<String, BTreeMap<String, Sums>>;

/// Opens and clicks of the templates in the question's range. Site and filter of the question are
/// not used.
///
/// # Errors
///
/// One of the three queries failed, see [`StoreError`].
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
        k_loads: question.k * LOADS,
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

/// `None` where the count is hidden, or where openers cannot be told apart: then there are direct
/// opens without any opener.
fn openers(opens: Cell, sums: &Sums) -> Option<u64> {
    opens.direct.filter(|direct| *direct == 0 || sums.openers > 0).map(|_| sums.openers)
}

fn click_rate(opens: Cell, clicks: Cell) -> Option<f64> {
    let (opened, clicked) = (opens.direct? + opens.proxied?, clicks.direct?);
    (opened > 0).then(|| ((clicked as f64 / opened as f64) * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people_shown(people: &[u64], k: u64) -> Vec<Option<u64>> {
        let parts: Vec<Part> = people.iter().map(|people| Part { count: *people, loads: people * LOADS }).collect();
        shown(&parts, k)
    }

    #[test]
    fn what_fewer_than_k_did_is_hidden_and_the_next_smallest_with_it() {
        assert_eq!(people_shown(&[9, 0, 5], 5), [Some(9), Some(0), Some(5)]);
        assert_eq!(people_shown(&[9, 4, 5], 5), [Some(9), None, None]);
        assert_eq!(people_shown(&[9, 4, 3], 5), [Some(9), None, None]);
        assert_eq!(people_shown(&[1], 5), [None]);
        assert_eq!(people_shown(&[0, 0], 5), [Some(0), Some(0)]);
    }

    #[test]
    fn where_nobody_is_told_from_anybody_it_takes_four_times_as_many() {
        assert_eq!(shown(&[Part::of(19), Part::of(0)], 5), [None, Some(0)]);
        assert_eq!(shown(&[Part::of(20), Part::of(60)], 5), [Some(20), Some(60)]);
        // Without values direct openings are loads as well.
        let opened = |opens: [u64; 3], openers| cells(&[Sums { opens, openers, ..Sums::default() }.opened()], 5)[0];
        assert_eq!(opened([19, 0, 3], 0), Cell { direct: None, proxied: Some(0), machine: 3 });
        assert_eq!(opened([5, 19, 0], 5), Cell { direct: Some(5), proxied: None, machine: 0 });
        assert_eq!(opened([90, 20, 0], 4), Cell { direct: None, proxied: Some(20), machine: 0 });
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
        let shown = |direct, proxied, machine| Cell { direct: Some(direct), proxied: Some(proxied), machine };
        assert_eq!(click_rate(shown(6, 6, 90), shown(3, 0, 50)), Some(0.25));
        assert_eq!(click_rate(shown(0, 0, 90), shown(0, 0, 0)), None);
        let few = Cell { direct: None, ..shown(0, 9, 0) };
        assert_eq!((click_rate(few, shown(9, 0, 0)), click_rate(shown(9, 9, 0), few)), (None, None));
    }
}
