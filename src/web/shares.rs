//! `/api/v1/sites/{site}/shares`: the share links of a site. A link's secret is only in the
//! response that creates it.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{changed_response, created_response, find_site, json_response};
use super::body::{JsonBody, bad_value};
use crate::access::{AuditAction, ShareLink, has_chars, random_id};
use crate::config::Secret;
use crate::event::Problem;

const MAX_BODY_BYTES: usize = 8192;
/// Maximum number of characters of a name.
const MAX_NAME_CHARS: usize = 64;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/sites/{site}/shares", web::get().to(list_shares))
        .route("/api/v1/sites/{site}/shares", web::post().to(create_share))
        .route(
            "/api/v1/sites/{site}/shares/{id}",
            web::delete().to(revoke_share),
        );
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

async fn list_shares(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ManageShareLinks(&name))?;
    find_site(&name, &site)?;
    let keys = site.require_access_keys()?;
    let shares = keys.share_links_of(|of| site.is_same_site(of, &name));
    let rows: Vec<Value> = shares.into_iter().map(|share| share_row(share)).collect();
    Ok(json_response(&request, false, &json!({ "rows": rows })))
}

fn share_row(share: &ShareLink) -> Value {
    json!({
        "id": share.id, "name": share.name, "from": share.from, "to": share.to, "expires": share.expires,
        "password": share.password.is_some(), "created": share.created, "revoked": share.revoked,
    })
}

async fn create_share(
    request: HttpRequest,
    name: web::Path<String>,
    new: JsonBody<NewShare, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ManageShareLinks(&name))?;
    let (_, zone) = find_site(&name, &site)?;
    let new = new.into_inner()?;
    if new.password.is_some() {
        // Hashing is expensive; the rate limit keeps it from delaying logins.
        site.check_login_rate(&request, &name)?;
    }
    let share = site.build_share(&name, &zone, new).await?;
    let answer = site.build_share_report(&share).await?;

    let (digest, secret) = ShareLink::generate_secret();
    let what = format!("{name} {} {}", share.id, share.name);
    let (id, by) = (
        share.id.clone(),
        site.audit_entry(&who, AuditAction::MakeShare, what.trim_end()),
    );
    let of_site = |of: &str| site.is_same_site(of, &name);
    site.registry
        .store_share(by, (digest, share, answer), (of_site, site.today_in(&zone)))
        .await?;
    Ok(created_response(
        &json!({"id": id, "url": format!("/share/{secret}")}),
    ))
}

async fn revoke_share(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (name, id) = path.into_inner();
    let who = site.authorize_request(&request, Permission::ManageShareLinks(&name))?;
    find_site(&name, &site)?;
    let keys = site.require_access_keys()?;
    let shares = keys.share_links_of(|of| site.is_same_site(of, &name));
    let share = shares
        .into_iter()
        .find(|share| share.id == id)
        .ok_or_else(super::share_page::unknown_share)?;

    if !share.revoked {
        let by = site.audit_entry(&who, AuditAction::RevokeShare, format!("{name} {id}"));
        site.registry.revoke_share(by, &id).await?;
    }
    Ok(changed_response())
}

impl AppState {
    async fn build_share(
        &self,
        name: &str,
        zone: &TimeZone,
        new: NewShare,
    ) -> Result<ShareLink, Problem> {
        let today = self.today_in(zone);
        // On an open day, repeated links would reveal what each visitor added.
        if new.to >= today {
            return Err(bad_value("to must be a day that is over"));
        }
        let oldest = self.site_report_limits(name).oldest_kept_date(today);
        if new.from < oldest {
            return Err(bad_value(format!(
                "from must be {oldest} or later: earlier days are not kept"
            )));
        }
        if new.expires.is_some_and(|last| last < today) {
            return Err(bad_value("expires must be today or later"));
        }
        let called = new.name.trim();
        if called.chars().count() > MAX_NAME_CHARS || called.chars().any(is_invisible) {
            return Err(bad_value(
                "name must be at most 64 characters, none of them a control character",
            ));
        }
        let password = match new.password {
            Some(password) if !has_chars(&password, PASSWORD_CHARS) => {
                return Err(bad_value("password must be 8 to 256 characters"));
            }
            Some(password) => Some(self.auth.passwords.hash_password(password).await?),
            None => None,
        };
        let share = ShareLink {
            id: random_id(),
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
        self.share_query(&share)?;
        Ok(share)
    }
}

/// Control characters, and those that change the direction of the text after them: with them, a
/// name could look like another one.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
