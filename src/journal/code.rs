//! Encodes and decodes totals. Keys are sorted, so a row holds only what differs from the row
//! before it: about a dozen bytes.
//!
//! ```text
//! totals   base strings daily hourly money drops vitals faults mail
//! list     count row*
//! string   length UTF-8
//! daily    flags:u8 [site:u128] [day:u16] [item] counts
//!          flags: 1 another site, 2 another day, 4 8 subject
//! hourly   site:u128 hour counts
//! money    site:u128 day:u16 event currency:3 bytes hits minor
//! drops    hour reason:u8 hits
//! vitals   site:u128 day:u16 metric:u8 bucket:u8 path device hits
//! faults   site:u128 day:u16 kind:u8 path fault hits
//! mail     day:u16 batch:u16 action:u8 reader:u8 template link hits visitors
//! counts   mask:u8 number*             bit n: counter n is not zero, in the order of Counter::ALL;
//!                                      then a number for each bit that is set
//! ```
//!
//! Numbers without a width are varints: 7 bits per byte, the lowest first, the top bit set in all
//! bytes but the last. `strings` and what follows it are lists. Texts (item, event, path, device,
//! fault, template, link) are indices into the segment's strings, of which the first of this
//! payload is number `base`. Days count from 1970-01-01, hours are Unix times in seconds. `item` is
//! left out for the site itself.

use crate::aggregate::{DailyKey, Delta, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, Sums, Sym, VitalKey};
use crate::event::{self, Counter, Counts, Day, FaultKind, MailAction, Metric, Refusal, SiteId, Subject};

const OTHER_SITE: u8 = 1;
const OTHER_DAY: u8 = 2;

/// A payload that does not follow the format although its checksum is right, at this offset:
/// another version's file, or a defect.
#[derive(thiserror::Error, Debug, PartialEq)]
#[error("the payload does not follow the format at byte {0}")]
pub struct BadPayload(pub usize);

pub(super) fn encode(base: u32, sums: &Sums, out: &mut Vec<u8>) {
    varint(out, u64::from(base));
    put_strings(out, &sums.strings);

    varint(out, sums.daily.len() as u64);
    let mut before: Option<&DailyKey> = None;
    for (key, counts) in &sums.daily {
        daily(out, before, key);
        put_counts(out, counts);
        before = Some(key);
    }

    varint(out, sums.hourly.len() as u64);
    for (key, counts) in &sums.hourly {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        varint(out, u64::from(key.hour));
        put_counts(out, counts);
    }

    varint(out, sums.money.len() as u64);
    for (key, (hits, minor)) in &sums.money {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.number().to_le_bytes());
        varint(out, u64::from(key.event.0));
        out.extend_from_slice(&key.currency);
        varint(out, u64::from(*hits));
        varint(out, *minor);
    }

    varint(out, sums.drops.len() as u64);
    for (key, hits) in &sums.drops {
        varint(out, u64::from(key.hour));
        out.push(key.reason as u8);
        varint(out, u64::from(*hits));
    }

    varint(out, sums.vitals.len() as u64);
    for (key, hits) in &sums.vitals {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.number().to_le_bytes());
        out.extend_from_slice(&[key.metric as u8, key.bucket]);
        varint(out, u64::from(key.path.0));
        varint(out, u64::from(key.device.0));
        varint(out, u64::from(*hits));
    }

    varint(out, sums.faults.len() as u64);
    for (key, hits) in &sums.faults {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.number().to_le_bytes());
        out.push(key.kind as u8);
        varint(out, u64::from(key.path.0));
        varint(out, u64::from(key.fault.0));
        varint(out, u64::from(*hits));
    }

    varint(out, sums.mail.len() as u64);
    for (key, (hits, visitors)) in &sums.mail {
        out.extend_from_slice(&key.day.number().to_le_bytes());
        out.extend_from_slice(&key.batch.number().to_le_bytes());
        out.extend_from_slice(&[key.action as u8, key.reader as u8]);
        for number in [key.template.0, key.link.0, *hits, *visitors] {
            varint(out, u64::from(number));
        }
    }
}

fn daily(out: &mut Vec<u8>, before: Option<&DailyKey>, key: &DailyKey) {
    let other_site = before.is_none_or(|before| before.site != key.site);
    let other_day = before.is_none_or(|before| before.day != key.day);
    let flags = (u8::from(other_site) * OTHER_SITE) | (u8::from(other_day) * OTHER_DAY);
    out.push(flags | (key.subject as u8) << 2);

    if other_site {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
    }
    if other_day {
        out.extend_from_slice(&key.day.number().to_le_bytes());
    }
    if key.subject != Subject::Site {
        varint(out, u64::from(key.item.0));
    }
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts) {
    let mask = counts.0.iter().enumerate().fold(0, |mask, (n, count)| mask | u8::from(*count != 0) << n);
    out.push(mask);
    counts.0.iter().filter(|count| **count != 0).for_each(|count| varint(out, u64::from(*count)));
}

pub(super) fn put_strings(out: &mut Vec<u8>, strings: &[Box<str>]) {
    varint(out, strings.len() as u64);
    for string in strings {
        varint(out, string.len() as u64);
        out.extend_from_slice(string.as_bytes());
    }
}

pub(super) fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Decodes forward. `None` from any method means that the bytes do not follow the format.
pub(super) struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
    ids: Ids,
}

/// Width of site ids.
#[derive(Clone, Copy)]
pub(super) enum Ids {
    /// Version 1.
    Bits64,
    Bits128,
}

impl<'a> Reader<'a> {
    /// Decodes a payload, which `read` must consume completely.
    pub(super) fn all<T>(payload: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Result<T, BadPayload> {
        let mut reader = Reader { payload, at: 0, ids: Ids::Bits128 };
        match read(&mut reader) {
            Some(value) if reader.at == payload.len() => Ok(value),
            _ => Err(BadPayload(reader.at)),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.payload.len()
    }

    /// The remaining bytes, which are consumed; may be empty.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.payload[self.at..];
        self.at = self.payload.len();
        rest
    }

    /// The totals of a batch or of a sealed segment.
    pub(super) fn totals(&mut self) -> Option<Delta> {
        let base = self.number()?;
        let strings = self.list(Self::string)?;
        let mut before = None;
        let daily = self.list(|read| {
            let (key, counts) = read.daily(before)?;
            before = Some(key);
            Some((key, counts))
        })?;
        let sums = Sums { strings, daily, ..self.below_daily()? };
        Some(Delta { base, attribute_base: 0, sums })
    }

    /// The lists after the totals by day, which both versions share.
    pub(super) fn below_daily(&mut self) -> Option<Sums> {
        let hourly = self.list(|read| {
            let key = HourlyKey { site: read.site()?, hour: read.number()? };
            Some((key, read.counts()?))
        })?;
        let money = self.list(|read| {
            let (site, day) = (read.site()?, read.day()?);
            let key = MoneyKey { site, day, event: Sym(read.number()?), currency: read.bytes()? };
            Some((key, (read.number()?, read.varint()?)))
        })?;
        let drops = self.list(|read| {
            let key = DropKey { hour: read.number()?, reason: Refusal::from_u8(read.byte()?)? };
            Some((key, read.number()?))
        })?;
        let vitals = self.list(|read| {
            let (site, day) = (read.site()?, read.day()?);
            let (metric, bucket) = (Metric::from_u8(read.byte()?)?, read.byte()?);
            let (path, device) = (Sym(read.number()?), Sym(read.number()?));
            Some((VitalKey { site, day, metric, path, device, bucket }, read.number()?))
        })?;
        let faults = self.list(|read| {
            let (site, day) = (read.site()?, read.day()?);
            let kind = FaultKind::from_u8(read.byte()?)?;
            let (path, fault) = (Sym(read.number()?), Sym(read.number()?));
            Some((FaultKey { site, day, kind, path, fault }, read.number()?))
        })?;
        let mail = self.list(|read| {
            let (day, batch) = (read.day()?, read.day()?);
            let (action, reader) = (MailAction::from_u8(read.byte()?)?, event::Reader::from_u8(read.byte()?)?);
            let (template, link) = (Sym(read.number()?), Sym(read.number()?));
            let key = MailKey { day, template, batch, action, link, reader };
            Some((key, (read.number()?, read.number()?)))
        })?;
        Some(Sums { hourly, money, drops, vitals, faults, mail, ..Sums::default() })
    }

    fn daily(&mut self, before: Option<DailyKey>) -> Option<(DailyKey, Counts)> {
        let flags = self.byte()?;
        let site = if flags & OTHER_SITE != 0 { self.site()? } else { before?.site };
        let day = if flags & OTHER_DAY != 0 { self.day()? } else { before?.day };
        let subject = Subject::from_u8(flags >> 2)?;
        let item = if subject == Subject::Site { Sym::EMPTY } else { Sym(self.number()?) };
        Some((DailyKey { site, day, subject, item }, self.counts()?))
    }

    pub(super) fn counts(&mut self) -> Option<Counts> {
        let mask = self.byte()?;
        let mut counts = Counts::none();
        for n in 0..Counter::ALL.len() {
            if mask & 1 << n != 0 {
                counts.0[n] = self.number()?;
            }
        }
        (mask >> Counter::ALL.len() == 0).then_some(counts)
    }

    pub(super) fn list<T>(&mut self, mut row: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.varint()?).ok()?;
        // A row takes at least one byte: a larger count is damage, not a reason to reserve memory.
        let mut rows = Vec::with_capacity(count.min(self.payload.len() - self.at));
        for _ in 0..count {
            rows.push(row(self)?);
        }
        Some(rows)
    }

    pub(super) fn string(&mut self) -> Option<Box<str>> {
        let length = usize::try_from(self.varint()?).ok()?;
        let bytes = self.payload.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        std::str::from_utf8(bytes).ok().map(Into::into)
    }

    /// The width of site ids from here on.
    pub(super) fn ids_of(&mut self, ids: Ids) {
        self.ids = ids;
    }

    pub(super) fn site(&mut self) -> Option<SiteId> {
        let id = match self.ids {
            Ids::Bits64 => u64::from_le_bytes(self.bytes()?).into(),
            Ids::Bits128 => u128::from_le_bytes(self.bytes()?),
        };
        Some(SiteId::from_u128(id))
    }

    pub(super) fn day(&mut self) -> Option<Day> {
        Some(Day::from_number(u16::from_le_bytes(self.bytes()?)))
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.payload.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::AttributeSums;

    pub fn counts() -> impl Strategy<Value = Counts> {
        prop::array::uniform7(prop_oneof![Just(0), 1_u32..300, any::<u32>()]).prop_map(Counts)
    }

    prop_compose! {
        fn key()(site: u128, day: u16, subject in 0_u8..4, item: u32) -> DailyKey {
            let subject = Subject::from_u8(subject).unwrap();
            let item = if subject == Subject::Site { Sym::EMPTY } else { Sym(item) };
            DailyKey { site: SiteId::from_u128(site % 3), day: Day::from_number(day % 3), subject, item }
        }
    }

    prop_compose! {
        pub(in crate::journal) fn delta()(
            base: u32,
            strings in prop::collection::vec(".{0,20}", 0..5),
            daily in prop::collection::vec((key(), counts()), 0..20),
            hourly in prop::collection::vec(((any::<u128>(), any::<u32>()), counts()), 0..5),
            money in prop::collection::vec(((any::<u128>(), any::<u16>(), any::<u32>()), any::<(u32, u64)>()), 0..5),
            drops in prop::collection::vec(((any::<u32>(), 0_u8..7), any::<u32>()), 0..5),
            vitals in prop::collection::vec(((any::<u128>(), any::<u16>(), 0_u8..5, any::<u8>()), any::<[u32; 3]>()), 0..5),
            faults in prop::collection::vec(((any::<u128>(), any::<u16>(), 0_u8..2), any::<[u32; 3]>()), 0..5),
            mail in prop::collection::vec(((any::<u16>(), any::<u16>(), 0_u8..2, 0_u8..3), any::<[u32; 4]>()), 0..5),
        ) -> Delta {
            let site = SiteId::from_u128;
            Delta { base, attribute_base: 0, sums: Sums {
                attributes: AttributeSums::default(),
                strings: strings.into_iter().map(Into::into).collect(),
                daily,
                hourly: hourly.into_iter().map(|((s, hour), c)| (HourlyKey { site: site(s), hour }, c)).collect(),
                money: money.into_iter().map(|((s, d, e), sum)| {
                    (MoneyKey { site: site(s), day: Day::from_number(d), event: Sym(e), currency: *b"EUR" }, sum)
                }).collect(),
                drops: drops.into_iter().map(|((hour, reason), n)| {
                    (DropKey { hour, reason: Refusal::from_u8(reason).unwrap() }, n)
                }).collect(),
                vitals: vitals.into_iter().map(|((s, d, metric, bucket), [path, device, n])| {
                    let (day, metric) = (Day::from_number(d), Metric::from_u8(metric).unwrap());
                    (VitalKey { site: site(s), day, metric, path: Sym(path), device: Sym(device), bucket }, n)
                }).collect(),
                faults: faults.into_iter().map(|((s, d, kind), [path, fault, n])| {
                    let (day, kind) = (Day::from_number(d), FaultKind::from_u8(kind).unwrap());
                    (FaultKey { site: site(s), day, kind, path: Sym(path), fault: Sym(fault) }, n)
                }).collect(),
                mail: mail.into_iter().map(|((d, b, action, reader), [template, link, hits, visitors])| {
                    let (day, batch) = (Day::from_number(d), Day::from_number(b));
                    let (action, reader) = (MailAction::from_u8(action).unwrap(), event::Reader::from_u8(reader).unwrap());
                    let key = MailKey { day, template: Sym(template), batch, action, link: Sym(link), reader };
                    (key, (hits, visitors))
                }).collect(),
            }}
        }
    }

    proptest! {
        #[test]
        fn totals_read_back_as_they_were(delta in delta()) {
            let mut bytes = Vec::new();
            encode(delta.base, &delta.sums, &mut bytes);
            prop_assert_eq!(Reader::all(&bytes, Reader::totals), Ok(delta));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Reader::all(&bytes, Reader::totals);
        }
    }
}
