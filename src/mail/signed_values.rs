//! Values signed per template and batch day, so that no recipient gets a link, target or instant of
//! their own.
//!
//! The mails of one template and batch day share their values: all of them together may have as
//! many names and targets as one mail can need, and a few instants. A platform that sends a
//! thousand mails with a name each gets an error for the first one beyond that.
//!
//! The values are kept in a file beside the journal, for the last days only, so they survive a
//! restart; the command line uses the same file. Each collector has its own. It contains digests
//! that are too short to find a value by trial.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Span;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::link_signer::{MAX_BATCH_AGE_DAYS, SignRequest, SignedMail};
use crate::disk;

/// A batch is sent at once or in a few rounds, so it has few instants.
const MAX_SENT_INSTANTS: usize = 8;
const MAX_EXPIRES: usize = 4;

/// Kinds of values that all mails of one template and batch day share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedValueKind {
    /// Names of links.
    Link,
    /// Targets of links.
    Target,
    /// Instants of sending.
    Sent,
    /// Last days on which links work.
    Expires,
}

impl SharedValueKind {
    const ALL: [SharedValueKind; 4] = [
        SharedValueKind::Link,
        SharedValueKind::Target,
        SharedValueKind::Sent,
        SharedValueKind::Expires,
    ];

    const fn plural_name(self) -> &'static str {
        match self {
            SharedValueKind::Link => "names of links",
            SharedValueKind::Target => "targets",
            SharedValueKind::Sent => "instants",
            SharedValueKind::Expires => "last days",
        }
    }
}

/// Why mails are not signed.
#[derive(thiserror::Error, Debug)]
pub enum SignedValuesError {
    /// The mails of one template and batch day would have too many different values of a kind.
    #[error(
        "mails[{mail}].{field}: all mails of one template and batch day share what they hold, at \
         most {most} {} together, and {template} of {batch} has as many: one of each recipient's \
         own is never signed",
        .shared.plural_name()
    )]
    LimitReached {
        /// Index of the mail in the request.
        mail: usize,
        /// The field of that mail.
        field: String,
        /// The kind of value.
        shared: SharedValueKind,
        /// Maximum number of different values.
        most: usize,
        /// The template.
        template: String,
        /// The day of the mail batch.
        batch: Date,
    },
    /// The file of signed values cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The error below it.
        source: io::Error,
    },
}

/// Digests by kind, in the order of [`SharedValueKind::ALL`].
type ValueDigests = [BTreeSet<u32>; SharedValueKind::ALL.len()];
type MailingValues = BTreeMap<(String, Date), ValueDigests>;

/// A template and batch day, as in the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MailingRow {
    /// The template.
    template: String,
    /// The day of the mail batch.
    batch: Date,
    values: ValueDigests,
}

/// The values signed so far, in memory and in `mails-signed.json`.
pub struct SignedValues {
    path: PathBuf,
    max_links: usize,
    /// The file's content as of its last read.
    known: Mutex<MailingValues>,
}

/// One value of one mail, at `mails[mail].field` of the request.
struct ValueClaim<'a> {
    /// Index of the mail in the request.
    mail: usize,
    /// The field of that mail.
    field: String,
    mailing: (&'a str, Date),
    /// The kind of value.
    shared: SharedValueKind,
    digest: u32,
}

impl SignedValues {
    /// `dir` is the journal's folder; `most_links` limits the names, and likewise the targets, of
    /// one template and batch day. The file is read on the first [`SignedValues::record_values`].
    pub fn open(dir: &Path, most_links: usize) -> SignedValues {
        SignedValues {
            path: dir.join("mails-signed.json"),
            max_links: most_links,
            known: Mutex::default(),
        }
    }

    /// Records the values of these mails, all or none. Waits for the disk if one of them is new.
    ///
    /// # Errors
    ///
    /// A mail has a value for which its template and batch day have no capacity, or the file cannot
    /// be read or written. Nothing is recorded then.
    pub fn record_values(
        &self,
        mails: &[(&SignRequest, &SignedMail)],
        today: Date,
    ) -> Result<(), SignedValuesError> {
        let claims: Vec<ValueClaim<'_>> = mails
            .iter()
            .enumerate()
            .flat_map(|(mail, signed)| claims_of_mail(mail, *signed))
            .collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.iter().all(|claim| claim.is_recorded_in(&known)) {
            return Ok(());
        }

        // The command line may write to the same file.
        let _alone = disk::FileLock::lock_blocking(&self.path.with_extension("lock"))
            .map_err(|source| self.to_file_error(source))?;
        *known = self.read_file(today)?;
        let mut more = known.clone();
        for claim in &claims {
            self.add_claim(claim, &mut more)?;
        }
        if more != *known {
            self.write_file(&more)?;
            *known = more;
        }
        Ok(())
    }

    fn add_claim(
        &self,
        claim: &ValueClaim<'_>,
        batches: &mut MailingValues,
    ) -> Result<(), SignedValuesError> {
        let (template, batch) = claim.mailing;
        let values = batches.entry((template.to_owned(), batch)).or_default();
        let values = &mut values[claim.shared as usize];

        let most = match claim.shared {
            SharedValueKind::Link | SharedValueKind::Target => self.max_links,
            SharedValueKind::Sent => MAX_SENT_INSTANTS,
            SharedValueKind::Expires => MAX_EXPIRES,
        };

        if values.len() >= most && !values.contains(&claim.digest) {
            let (field, shared, template) =
                (claim.field.clone(), claim.shared, template.to_owned());
            return Err(SignedValuesError::LimitReached {
                mail: claim.mail,
                field,
                shared,
                most,
                template,
                batch,
            });
        }
        values.insert(claim.digest);
        Ok(())
    }

    /// Reads the file, without batch days that can no longer be signed.
    fn read_file(&self, today: Date) -> Result<MailingValues, SignedValuesError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(MailingValues::new()),
            Err(error) => return Err(self.to_file_error(error)),
        };
        let rows: Vec<MailingRow> =
            serde_json::from_slice(&text).map_err(|error| self.to_file_error(error.into()))?;
        let first = today
            .checked_sub(Span::new().days(MAX_BATCH_AGE_DAYS))
            .unwrap_or(Date::MIN);
        let rows = rows.into_iter().filter(|row| row.batch >= first);
        Ok(rows
            .map(|row| ((row.template, row.batch), row.values))
            .collect())
    }

    fn write_file(&self, batches: &MailingValues) -> Result<(), SignedValuesError> {
        let row = |((template, batch), values): (&(String, Date), &ValueDigests)| MailingRow {
            template: template.clone(),
            batch: *batch,
            values: values.clone(),
        };
        let rows: Vec<MailingRow> = batches.iter().map(row).collect();
        let text = serde_json::to_vec(&rows).map_err(|error| self.to_file_error(error.into()))?;
        disk::write_atomic(&self.path, &text).map_err(|source| self.to_file_error(source))
    }

    fn to_file_error(&self, source: io::Error) -> SignedValuesError {
        SignedValuesError::File {
            path: self.path.clone(),
            source,
        }
    }
}

impl ValueClaim<'_> {
    fn is_recorded_in(&self, batches: &MailingValues) -> bool {
        let values = batches.get(&(self.mailing.0.to_owned(), self.mailing.1));
        values.is_some_and(|values| values[self.shared as usize].contains(&self.digest))
    }
}

/// The values of one mail. The trap link has no extra capacity.
fn claims_of_mail<'a>(
    mail: usize,
    (order, minted): (&'a SignRequest, &'a SignedMail),
) -> Vec<ValueClaim<'a>> {
    let of = (&*minted.template, minted.batch);
    let claim = |field: String, shared, value: &str| ValueClaim {
        mail,
        field,
        mailing: of,
        shared,
        digest: short_digest(value),
    };
    let mut claims = vec![claim(
        "expires".to_owned(),
        SharedValueKind::Expires,
        &minted.expires,
    )];
    if let Some(sent) = order.sent {
        claims.push(claim(
            "sent".to_owned(),
            SharedValueKind::Sent,
            &sent.to_string(),
        ));
    }
    for (place, target) in order.links.iter().enumerate() {
        claims.push(claim(
            format!("links[{place}].link"),
            SharedValueKind::Link,
            &target.link,
        ));
        claims.push(claim(
            format!("links[{place}].url"),
            SharedValueKind::Target,
            &target.url,
        ));
    }
    claims
}

/// 32 bits on purpose: many values share each digest, so it does not identify one. A value with the
/// digest of another counts as the same.
fn short_digest(value: &str) -> u32 {
    let hash = blake3::hash(value.as_bytes());
    u32::from_le_bytes(
        hash.as_bytes()[..4]
            .try_into()
            .expect("4 of 32 bytes are 4"),
    )
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::mail::MailLink;

    const TODAY: Date = date(2026, 3, 10);

    fn mail(template: &str, batch: Date, links: &[(&str, &str)]) -> (SignRequest, SignedMail) {
        let links: Vec<MailLink> = links
            .iter()
            .map(|(link, url)| MailLink {
                link: (*link).into(),
                url: (*url).into(),
            })
            .collect();
        let order = SignRequest {
            template: template.into(),
            consent: true,
            batch: Some(batch),
            expires: None,
            sent: None,
            links: links.clone(),
        };
        let minted = SignedMail {
            template: template.into(),
            batch,
            expires: "2026-06-08".into(),
            pixel: None,
            html: None,
            links,
        };
        (order, minted)
    }

    fn take(
        signed: &SignedValues,
        (order, minted): &(SignRequest, SignedMail),
    ) -> Result<(), String> {
        signed
            .record_values(&[(order, minted)], TODAY)
            .map_err(|error| error.to_string())
    }

    fn numbered(n: usize) -> (SignRequest, SignedMail) {
        mail(
            "welcome",
            TODAY,
            &[(&format!("l{n}"), "https://a.example/")],
        )
    }

    #[test]
    fn the_mails_of_a_batch_share_so_many_names_and_no_more_also_after_a_restart_and_from_elsewhere()
     {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (
            SignedValues::open(dir.path(), 3),
            SignedValues::open(dir.path(), 3),
        );
        for n in [0, 1, 0, 1] {
            take(&one, &numbered(n)).unwrap();
        }
        take(&other, &numbered(2)).unwrap();
        for signed in [&one, &other, &SignedValues::open(dir.path(), 3)] {
            let error = take(signed, &numbered(3)).unwrap_err();
            assert!(
                error.starts_with("mails[0].links[0].link: all mails of one template"),
                "{error}"
            );
            (0..3).for_each(|n| take(signed, &numbered(n)).unwrap());
        }
        // Another day and another template have their own capacity.
        take(
            &one,
            &mail("welcome", date(2026, 3, 9), &[("l9", "https://a.example/")]),
        )
        .unwrap();
        take(
            &one,
            &mail("receipt", TODAY, &[("l9", "https://a.example/")]),
        )
        .unwrap();
    }

    #[test]
    fn a_refused_order_takes_no_room_for_what_stood_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let signed = SignedValues::open(dir.path(), 2);
        let mails: Vec<_> = (0..3).map(numbered).collect();
        let mails: Vec<_> = mails
            .iter()
            .map(|(order, minted)| (order, minted))
            .collect();
        assert!(signed.record_values(&mails, TODAY).is_err());
        (3..5).for_each(|n| take(&signed, &numbered(n)).unwrap());
    }

    #[test]
    fn days_that_are_over_are_forgotten_and_a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let signed = SignedValues::open(dir.path(), 1);
        take(&signed, &mail("welcome", date(2026, 3, 1), &[])).unwrap();
        take(&signed, &numbered(0)).unwrap();
        let text = fs::read_to_string(dir.path().join("mails-signed.json")).unwrap();
        assert!(
            text.contains("2026-03-10")
                && !text.contains("2026-03-01")
                && !text.contains("a.example"),
            "{text}"
        );
        fs::write(dir.path().join("mails-signed.json"), "{").unwrap();
        assert!(
            take(&SignedValues::open(dir.path(), 1), &numbered(0))
                .unwrap_err()
                .contains("mails-signed.json")
        );
    }
}
