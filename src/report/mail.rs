//! Opens and clicks of the platform's mails, by template, day, batch and link.
//!
//! Readers are reported in three classes that are never added up. Counts that fewer than k people
//! may have caused are hidden: a password reset on a quiet day is a mail to one person, and the
//! platform knows to whom. The measure is openers. Loads and clicks, which may all come from one
//! person, need [`LOADS_PER_OPENER`] times as many.

use std::collections::BTreeMap;

use serde::Serialize;

use super::query::ReportQuery;
use crate::event::{LOADS_PER_OPENER, MailAction, ReaderKind};
use crate::store::{MailCountRow, MailGrouping, Store, StoreError};

/// Opens and clicks of all templates in a range of days.
#[derive(Serialize, Debug)]
pub struct MailReportResponse {
    /// IANA name of the zone that the days are in.
    pub zone: String,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Minimum number of openers behind a count that is shown.
    pub k: u64,
    /// Minimum number of loads or clicks behind a count where people cannot be distinguished
    /// (clicks, openings through a proxy).
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
    pub opens: ReaderCounts,
    /// Distinct openers per day, summed over the days. `None` where openers cannot be distinguished
    /// (`visitor.mode` is `none`), or where the count is hidden.
    pub openers: Option<u64>,
    /// Followed links.
    pub clicks: ReaderCounts,
    /// Direct clicks divided by openings that may be a person's (direct and proxied), to four
    /// decimals. `None` where a part is hidden or nothing was opened.
    pub click_rate: Option<f64>,
    /// By day of the action, in order.
    pub days: Vec<TemplateSlice>,
    /// By batch day (the day the mail was signed for), in order.
    pub batches: Vec<TemplateSlice>,
    /// By link, in the order of their names.
    pub links: Vec<LinkRow>,
}

/// The share of one day or one batch in a template's row. Exactly one of `day` and `batch` is set.
#[derive(Serialize, Debug)]
pub struct TemplateSlice {
    /// Day of the opens and clicks, as `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Batch day, as `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Loads of the tracking pixel.
    pub opens: ReaderCounts,
    /// As in [`TemplateRow::openers`].
    pub openers: Option<u64>,
    /// Followed links.
    pub clicks: ReaderCounts,
}

/// Clicks on one link of a template.
#[derive(Serialize, Debug)]
pub struct LinkRow {
    /// Name of the link, as it was signed.
    pub link: String,
    /// How often it was followed.
    pub clicks: ReaderCounts,
}

/// A count by class of reader. `None` (JSON `null`) hides a count that too few people may have
/// caused. Machines are not people, so their count is never hidden.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub struct ReaderCounts {
    /// By people's own programs.
    pub direct: Option<u64>,
    /// Through a mail provider's image proxy.
    pub proxied: Option<u64>,
    /// By software: scanners, link checkers, robots.
    pub machine: u64,
}

/// Sums of one template, day, batch or link.
#[derive(Default, Clone, Copy)]
struct MailSums {
    opens: [u64; ReaderKind::ALL.len()],
    clicks: [u64; ReaderKind::ALL.len()],
    openers: u64,
}

impl MailSums {
    fn add_row(&mut self, row: &MailCountRow) {
        let place = ReaderKind::ALL
            .iter()
            .position(|reader| reader.name() == row.reader);
        let counts = if row.action == MailAction::Open.name() {
            &mut self.opens
        } else {
            &mut self.clicks
        };
        if let Some(place) = place {
            counts[place] += row.hits;
        }
        self.openers += row.visitors;
    }

    /// Openings. A person who opens a mail five times counts once where openers can be
    /// distinguished: not behind a proxy, and not if `visitor.mode` is `none`.
    fn open_counts(&self) -> WeightedReaderCounts {
        let [direct, proxied, machine] = self.opens;
        let loads = if self.openers > 0 {
            self.openers * LOADS_PER_OPENER
        } else {
            direct
        };
        WeightedReaderCounts {
            direct: WeightedCount {
                count: direct,
                loads,
            },
            proxied: WeightedCount::from_count(proxied),
            machine,
        }
    }

    /// Clicks have no openers, so each class is weighed by its clicks.
    fn click_counts(&self) -> WeightedReaderCounts {
        let [direct, proxied, machine] = self.clicks;
        WeightedReaderCounts {
            direct: WeightedCount::from_count(direct),
            proxied: WeightedCount::from_count(proxied),
            machine,
        }
    }
}

/// A count of one class, and its weight in loads, which is compared with `k * LOADS_PER_OPENER`.
#[derive(Clone, Copy)]
struct WeightedCount {
    count: u64,
    loads: u64,
}

impl WeightedCount {
    fn from_count(count: u64) -> WeightedCount {
        WeightedCount {
            count,
            loads: count,
        }
    }
}

/// Openings or clicks by class.
#[derive(Clone, Copy)]
struct WeightedReaderCounts {
    direct: WeightedCount,
    proxied: WeightedCount,
    machine: u64,
}

/// Cells of the parts of a whole that is shown too. Each class is suppressed independently.
fn suppress_reader_counts(parts: &[WeightedReaderCounts], k: u64) -> Vec<ReaderCounts> {
    let class = |of: fn(&WeightedReaderCounts) -> WeightedCount| {
        suppress_small_parts(&parts.iter().map(of).collect::<Vec<_>>(), k)
    };
    let classes = class(|part| part.direct)
        .into_iter()
        .zip(class(|part| part.proxied));
    let cell = |((direct, proxied), part): ((Option<u64>, Option<u64>), &WeightedReaderCounts)| {
        ReaderCounts {
            direct,
            proxied,
            machine: part.machine,
        }
    };
    classes.zip(parts).map(cell).collect()
}

/// Hides each part under `k` people, and then the next smallest parts until the hidden ones
/// together reach `k`. Otherwise the whole minus what is shown would reveal them.
fn suppress_small_parts(parts: &[WeightedCount], k: u64) -> Vec<Option<u64>> {
    let least = k * LOADS_PER_OPENER;
    let mut order: Vec<usize> = (0..parts.len())
        .filter(|part| parts[*part].loads > 0)
        .collect();
    order.sort_by_key(|part| parts[*part].loads);
    let mut hidden = 0;
    let many = order.iter().take_while(|part| {
        let loads = parts[**part].loads;
        let hide = loads < least || (1..least).contains(&hidden);
        hidden += if hide { loads } else { 0 };
        hide
    });
    let hide: Vec<usize> = many.copied().collect();
    parts
        .iter()
        .enumerate()
        .map(|(place, part)| (!hide.contains(&place)).then_some(part.count))
        .collect()
}

type TemplateParts = BTreeMap<String, BTreeMap<String, MailSums>>;

/// Opens and clicks of the templates in the query's range. Site and filter of the query are not
/// used.
///
/// # Errors
///
/// One of the three queries failed, see [`StoreError`].
pub async fn run_mail_report(
    store: &Store,
    question: &ReportQuery,
) -> Result<MailReportResponse, StoreError> {
    let range = question.days;
    let [days, batches, links] = [MailGrouping::Day, MailGrouping::Batch, MailGrouping::Link]
        .map(|by| store.mail_counts(by, range));
    let (days, batches, links) = (
        group_by_template(days.await?),
        group_by_template(batches.await?),
        group_by_template(links.await?),
    );

    let of =
        |parts: &TemplateParts, template: &str| parts.get(template).cloned().unwrap_or_default();
    let row = |template: &String| {
        build_template_row(
            template,
            &days[template],
            &of(&batches, template),
            &of(&links, template),
            question.k,
        )
    };

    Ok(MailReportResponse {
        zone: question.zone_name(),
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        k: question.k,
        k_loads: question.k * LOADS_PER_OPENER,
        templates: days.keys().map(row).collect(),
    })
}

fn group_by_template(rows: Vec<MailCountRow>) -> TemplateParts {
    let mut parts = TemplateParts::new();
    for row in rows {
        parts
            .entry(row.template.clone())
            .or_default()
            .entry(row.of.clone())
            .or_default()
            .add_row(&row);
    }
    parts
}

fn build_template_row(
    template: &str,
    days: &BTreeMap<String, MailSums>,
    batches: &BTreeMap<String, MailSums>,
    links: &BTreeMap<String, MailSums>,
    k: u64,
) -> TemplateRow {
    let mut whole = MailSums::default();
    for day in days.values() {
        (0..ReaderKind::ALL.len()).for_each(|class| {
            whole.opens[class] += day.opens[class];
            whole.clicks[class] += day.clicks[class];
        });
        whole.openers += day.openers;
    }

    let slices = |parts: &BTreeMap<String, MailSums>,
                  name: fn(String) -> (Option<String>, Option<String>)|
     -> Vec<TemplateSlice> {
        let opens = suppress_reader_counts(
            &parts
                .values()
                .map(MailSums::open_counts)
                .collect::<Vec<_>>(),
            k,
        );
        let clicks = suppress_reader_counts(
            &parts
                .values()
                .map(MailSums::click_counts)
                .collect::<Vec<_>>(),
            k,
        );
        let cells = opens.into_iter().zip(clicks);
        let slice = |((of, sums), (opens, clicks)): (
            (&String, &MailSums),
            (ReaderCounts, ReaderCounts),
        )| {
            let (day, batch) = name(of.clone());
            TemplateSlice {
                day,
                batch,
                opens,
                openers: shown_openers(opens, sums),
                clicks,
            }
        };
        parts.iter().zip(cells).map(slice).collect()
    };

    let links_shown = suppress_reader_counts(
        &links
            .values()
            .map(MailSums::click_counts)
            .collect::<Vec<_>>(),
        k,
    );
    let (opens, clicks) = (
        suppress_reader_counts(&[whole.open_counts()], k)[0],
        suppress_reader_counts(&[whole.click_counts()], k)[0],
    );
    TemplateRow {
        template: template.to_owned(),
        opens,
        openers: shown_openers(opens, &whole),
        clicks,
        click_rate: click_rate(opens, clicks),
        days: slices(days, |day| (Some(day), None)),
        batches: slices(batches, |batch| (None, Some(batch))),
        links: links
            .keys()
            .zip(links_shown)
            .map(|(link, clicks)| LinkRow {
                link: link.clone(),
                clicks,
            })
            .collect(),
    }
}

/// `None` where the count is hidden, or where openers cannot be distinguished: direct opens without
/// any opener.
fn shown_openers(opens: ReaderCounts, sums: &MailSums) -> Option<u64> {
    opens
        .direct
        .filter(|direct| *direct == 0 || sums.openers > 0)
        .map(|_| sums.openers)
}

fn click_rate(opens: ReaderCounts, clicks: ReaderCounts) -> Option<f64> {
    let (opened, clicked) = (opens.direct? + opens.proxied?, clicks.direct?);
    (opened > 0).then(|| ((clicked as f64 / opened as f64) * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people_shown(people: &[u64], k: u64) -> Vec<Option<u64>> {
        let parts: Vec<WeightedCount> = people
            .iter()
            .map(|people| WeightedCount {
                count: *people,
                loads: people * LOADS_PER_OPENER,
            })
            .collect();
        suppress_small_parts(&parts, k)
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
        assert_eq!(
            suppress_small_parts(
                &[WeightedCount::from_count(19), WeightedCount::from_count(0)],
                5
            ),
            [None, Some(0)]
        );
        assert_eq!(
            suppress_small_parts(
                &[WeightedCount::from_count(20), WeightedCount::from_count(60)],
                5
            ),
            [Some(20), Some(60)]
        );
        // Without openers, direct openings are loads as well.
        let opened = |opens: [u64; 3], openers| {
            suppress_reader_counts(
                &[MailSums {
                    opens,
                    openers,
                    ..MailSums::default()
                }
                .open_counts()],
                5,
            )[0]
        };
        assert_eq!(
            opened([19, 0, 3], 0),
            ReaderCounts {
                direct: None,
                proxied: Some(0),
                machine: 3
            }
        );
        assert_eq!(
            opened([5, 19, 0], 5),
            ReaderCounts {
                direct: Some(5),
                proxied: None,
                machine: 0
            }
        );
        assert_eq!(
            opened([90, 20, 0], 4),
            ReaderCounts {
                direct: None,
                proxied: Some(20),
                machine: 0
            }
        );
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
        let shown = |direct, proxied, machine| ReaderCounts {
            direct: Some(direct),
            proxied: Some(proxied),
            machine,
        };
        assert_eq!(click_rate(shown(6, 6, 90), shown(3, 0, 50)), Some(0.25));
        assert_eq!(click_rate(shown(0, 0, 90), shown(0, 0, 0)), None);
        let few = ReaderCounts {
            direct: None,
            ..shown(0, 9, 0)
        };
        assert_eq!(
            (
                click_rate(few, shown(9, 0, 0)),
                click_rate(shown(9, 9, 0), few)
            ),
            (None, None)
        );
    }
}
