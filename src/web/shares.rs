//! `/api/v1/sites/{site}/shares`: the share links of a site. A link's secret is only in the answer
//! that creates it.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::access::Right;
use super::api::{named, shown};
use super::body::{bad_value, json_body};
use super::registry::done;
use crate::access::{Act, Share, has_chars, new_id};
use crate::config::Secret;
use crate::event::Problem;
use crate::http::refuse;

const BODY_BYTES: usize = 8192;
/// In characters.
const LONGEST_NAME: usize = 64;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites/{site}/shares", web::get().to(list))
        .route("/api/v1/sites/{site}/shares", web::post().to(make))
        .route("/api/v1/sites/{site}/shares/{id}", web::delete().to(revoke));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewShare {
    #[serde(default)]
    name: String,
    from: Date,
    to: Date,
    #[serde(default)]
    expires: Option<Date>,
    #[serde(default)]
    password: Option<Secret>,
}

async fn list(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let rows = site.allow(&request, Right::Shares(&name)).and_then(|()| {
        named(&name, &site)?;
        let keys = site.registry.keys().ok_or_else(Problem::store_unavailable)?;
        let shares = keys.shares_of(|of| site.is_same_site(of, &name));
        let rows: Vec<Value> = shares.into_iter().map(|share| row(share)).collect();
        Ok(json!({ "rows": rows }))
    });
    shown(&request, false, rows).await
}

fn row(share: &Share) -> Value {
    json!({
        "id": share.id, "name": share.name, "from": share.from, "to": share.to, "expires": share.expires,
        "password": share.password.is_some(), "created": share.created, "revoked": share.revoked,
    })
}

async fn make(
    request: HttpRequest,
    name: web::Path<String>,
    mut payload: web::Payload,
    site: web::Data<Site>,
) -> HttpResponse {
    let new = json_body::<NewShare>(&mut payload, BODY_BYTES, site.deadline).await;
    let made = async {
        let who = site.permit(&request, Right::Shares(&name))?;
        let (_, zone) = named(&name, &site)?;
        let new = new?;
        if new.password.is_some() {
            // Hashing is expensive; the rate limit keeps it from delaying logins.
            site.may_try(&request, &name)?;
        }
        let share = site.new_share(&name, &zone, new).await?;
        let answer = site.made_answer(&share).await?;
        let (digest, secret) = Share::secret();
        let what = format!("{name} {} {}", share.id, share.name);
        let (id, by) = (share.id.clone(), site.entry(&who, Act::MakeShare, what.trim_end()));
        let of_site = |of: &str| site.is_same_site(of, &name);
        site.registry.put_share(by, (digest, share, answer), (of_site, site.today_in(&zone))).await?;
        Ok(json!({"id": id, "url": format!("/share/{secret}")}))
    };
    match made.await {
        Ok(made) => HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(made),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn revoke(request: HttpRequest, path: web::Path<(String, String)>, site: web::Data<Site>) -> HttpResponse {
    let (name, id) = path.into_inner();
    done(async {
        let who = site.permit(&request, Right::Shares(&name))?;
        named(&name, &site)?;
        let keys = site.registry.keys().ok_or_else(Problem::store_unavailable)?;
        let shares = keys.shares_of(|of| site.is_same_site(of, &name));
        let share = shares.into_iter().find(|share| share.id == id).ok_or_else(super::shared::unknown_share)?;
        let by = || site.entry(&who, Act::RevokeShare, format!("{name} {id}"));
        if share.revoked { Ok(()) } else { site.registry.revoke_share(by(), &id).await }
    })
    .await
}

impl Site {
    async fn new_share(&self, name: &str, zone: &TimeZone, new: NewShare) -> Result<Share, Problem> {
        let today = self.today_in(zone);
        // On an open day, repeated links would reveal what each visitor added.
        if new.to >= today {
            return Err(bad_value("to must be a day that is over"));
        }
        if new.expires.is_some_and(|last| last < today) {
            return Err(bad_value("expires must be today or later"));
        }
        let called = new.name.trim();
        if called.chars().count() > LONGEST_NAME || called.chars().any(is_invisible) {
            return Err(bad_value("name must be at most 64 characters, none of them a control character"));
        }
        let password = match new.password {
            Some(password) if !has_chars(&password, PASSWORD_CHARS) => {
                return Err(bad_value("password must be 8 to 256 characters"));
            }
            Some(password) => Some(self.access.passwords.hash(password).await?),
            None => None,
        };
        let share = Share {
            id: new_id(),
            name: called.to_owned(),
            site: name.to_owned(),
            from: new.from,
            to: new.to,
            expires: new.expires,
            password,
            created: today,
            revoked: false,
        };
        // Validates the report query before the link exists.
        self.shared_question(&share)?;
        Ok(share)
    }
}

/// Control characters, and those that turn the direction of what follows them: a name could look like another one.
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
