//! `/api/v1/tokens` and `/api/v1/audit`, for operators. A token's secret is only in the answer that
//! creates it.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::access::Right;
use super::api::{bad_question, pairs, shown};
use super::body::{bad_value, json_body};
use super::registry::done;
use crate::access::{Act, ApiToken, Scope, new_id};
use crate::event::Problem;
use crate::http::refuse;
use crate::store::Audited;

const BODY_BYTES: usize = 8192;
const AUDITED: usize = 100;
const MOST_AUDITED: usize = 1000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/tokens", web::get().to(list))
        .route("/api/v1/tokens", web::post().to(make))
        .route("/api/v1/tokens/{id}", web::delete().to(revoke))
        .route("/api/v1/audit", web::get().to(audit));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    site: Option<String>,
    #[serde(default)]
    expires: Option<Date>,
}

async fn list(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let rows = site.allow(&request, Right::Keys).and_then(|()| {
        let keys = site.registry.keys().ok_or_else(Problem::store_unavailable)?;
        let rows: Vec<Value> = keys.tokens().into_iter().map(|token| row(token)).collect();
        Ok(json!({ "rows": rows }))
    });
    shown(&request, false, rows).await
}

fn row(token: &ApiToken) -> Value {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
    json!({
        "id": token.id, "name": token.name, "scopes": scopes, "site": token.site,
        "expires": token.expires, "created": token.created, "revoked": token.revoked,
    })
}

async fn make(request: HttpRequest, mut payload: web::Payload, site: web::Data<Site>) -> HttpResponse {
    let new = json_body::<NewToken>(&mut payload, BODY_BYTES, site.deadline).await;
    let made = async {
        let who = site.permit(&request, Right::Keys)?;
        let token = site.new_token(new?)?;
        let (digest, secret) = ApiToken::secret();
        let (id, by) = (token.id.clone(), site.entry(&who, Act::MakeToken, &*token.name));
        site.registry.put_token(by, digest, token).await?;
        Ok(json!({"id": id, "token": secret}))
    };

    match made.await {
        Ok(made) => HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(made),
        Err(problem) => refuse(&problem, None).await,
    }
}

async fn revoke(request: HttpRequest, id: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    done(async {
        let who = site.permit(&request, Right::Keys)?;
        let keys = site.registry.keys().ok_or_else(Problem::store_unavailable)?;
        let token = keys.tokens().into_iter().find(|token| token.id == *id).ok_or_else(unknown_token)?;
        match token.revoked {
            true => Ok(()),
            false => site.registry.revoke_token(site.entry(&who, Act::RevokeToken, &*token.name), &id).await,
        }
    })
    .await
}

async fn audit(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let rows = async {
        site.allow(&request, Right::Keys)?;
        let limit = limit_of(&request)?;
        let rows: Vec<Value> = site.registry.audit(limit).await?.into_iter().map(audited).collect();
        Ok(json!({ "rows": rows }))
    };
    shown(&request, false, rows.await).await
}

fn limit_of(request: &HttpRequest) -> Result<usize, Problem> {
    let accepted = || bad_question("accepted is limit, 1 to 1000");
    match &pairs(request).map_err(|_| accepted())?[..] {
        [] => Ok(AUDITED),
        [(key, value)] if key == "limit" => {
            value.parse().ok().filter(|limit| (1..=MOST_AUDITED).contains(limit)).ok_or_else(accepted)
        }
        _ => Err(accepted()),
    }
}

fn audited(row: Audited) -> Value {
    let at = Timestamp::from_millisecond(row.millis).unwrap_or_default();
    json!({"at": at.to_string(), "who": row.who, "act": row.act, "what": row.what})
}

impl Site {
    fn new_token(&self, new: NewToken) -> Result<ApiToken, Problem> {
        let name = new.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ._~-".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) || name.trim() != name {
            return Err(bad_value("name must be 1 to 64 of letters, digits, spaces and . _ ~ -"));
        }

        let mut scopes: Vec<Scope> = Vec::new();
        for scope in &new.scopes {
            match Scope::from_name(scope) {
                Some(scope) if !scopes.contains(&scope) => scopes.push(scope),
                _ => return Err(bad_value("scopes must be of read, manage and mail, once each")),
            }
        }
        if scopes.is_empty() {
            return Err(bad_value("scopes must be of read, manage and mail, once each"));
        }
        if let Some(of) = &new.site {
            super::api::named(of, self)?;
        }

        let created = self.today();
        if new.expires.is_some_and(|last| last < created) {
            return Err(bad_value("expires must be today or later, in UTC"));
        }
        Ok(ApiToken { id: new_id(), name, scopes, site: new.site, expires: new.expires, created, revoked: false })
    }
}

fn unknown_token() -> Problem {
    Problem::new(404, "unknown_token", "No such token")
}
