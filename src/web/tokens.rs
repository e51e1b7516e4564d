//! `/api/v1/tokens` and `/api/v1/audit`, for operators. A token's secret is only in the response
//! that creates it.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::access::Permission;
use super::api::{
    QueryPairs, changed_response, created_response, into_pairs, invalid_query, json_response,
};
use super::body::{JsonBody, bad_value};
use crate::access::{ApiToken, AuditAction, TokenScope, random_id};
use crate::event::{Problem, ProblemCode};
use crate::store::AuditRow;

const MAX_BODY_BYTES: usize = 8192;
const DEFAULT_AUDIT_ROWS: usize = 100;
const MAX_AUDIT_ROWS: usize = 1000;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/tokens", web::get().to(list_tokens))
        .route("/api/v1/tokens", web::post().to(create_token))
        .route("/api/v1/tokens/{id}", web::delete().to(revoke_token))
        .route("/api/v1/audit", web::get().to(list_audit));
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

async fn list_tokens(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ManageTokens)?;
    let keys = site.require_access_keys()?;
    let rows: Vec<Value> = keys
        .list_tokens()
        .into_iter()
        .map(|token| token_row(token))
        .collect();
    Ok(json_response(&request, false, &json!({ "rows": rows })))
}

fn token_row(token: &ApiToken) -> Value {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
    json!({
        "id": token.id, "name": token.name, "scopes": scopes, "site": token.site,
        "expires": token.expires, "created": token.created, "revoked": token.revoked,
    })
}

async fn create_token(
    request: HttpRequest,
    new: JsonBody<NewToken, MAX_BODY_BYTES>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ManageTokens)?;
    let token = site.build_token(new.into_inner()?)?;
    let (digest, secret) = ApiToken::generate_secret();
    let (id, by) = (
        token.id.clone(),
        site.audit_entry(&who, AuditAction::MakeToken, &*token.name),
    );
    site.registry.store_token(by, digest, token).await?;
    Ok(created_response(&json!({"id": id, "token": secret})))
}

async fn revoke_token(
    request: HttpRequest,
    id: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let who = site.authorize_request(&request, Permission::ManageTokens)?;
    let keys = site.require_access_keys()?;
    let token = keys
        .list_tokens()
        .into_iter()
        .find(|token| token.id == *id)
        .ok_or_else(|| Problem::new(ProblemCode::UnknownToken))?;

    if !token.revoked {
        let by = site.audit_entry(&who, AuditAction::RevokeToken, &*token.name);
        site.registry.revoke_token(by, &id).await?;
    }
    Ok(changed_response())
}

async fn list_audit(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ManageTokens)?;
    let limit = parse_limit(query)?;
    let rows: Vec<Value> = site
        .registry
        .read_audit(limit)
        .await?
        .into_iter()
        .map(audit_row)
        .collect();
    Ok(json_response(&request, false, &json!({ "rows": rows })))
}

fn parse_limit(query: QueryPairs) -> Result<usize, Problem> {
    let accepted = || invalid_query("accepted is limit, 1 to 1000");
    match &into_pairs(query).map_err(|_| accepted())?[..] {
        [] => Ok(DEFAULT_AUDIT_ROWS),
        [(key, value)] if key == "limit" => value
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_AUDIT_ROWS).contains(limit))
            .ok_or_else(accepted),
        _ => Err(accepted()),
    }
}

fn audit_row(row: AuditRow) -> Value {
    let at = Timestamp::from_millisecond(row.millis).unwrap_or_default();
    json!({"at": at.to_string(), "actor": row.who, "action": row.act, "target": row.what})
}

impl AppState {
    fn build_token(&self, new: NewToken) -> Result<ApiToken, Problem> {
        let name = new.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ._~-".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) || name.trim() != name {
            return Err(bad_value(
                "name must be 1 to 64 of letters, digits, spaces and . _ ~ -",
            ));
        }

        let mut scopes: Vec<TokenScope> = Vec::new();
        for scope in &new.scopes {
            match TokenScope::from_name(scope) {
                Some(scope) if !scopes.contains(&scope) => scopes.push(scope),
                _ => {
                    return Err(bad_value(
                        "scopes must be of read, manage, mail and bi, once each",
                    ));
                }
            }
        }
        if scopes.is_empty() {
            return Err(bad_value(
                "scopes must be of read, manage, mail and bi, once each",
            ));
        }
        if let Some(of) = &new.site {
            super::api::find_site(of, self)?;
        }

        let created = self.today_utc();
        if new.expires.is_some_and(|last| last < created) {
            return Err(bad_value("expires must be today or later, in UTC"));
        }
        Ok(ApiToken {
            id: random_id(),
            name,
            scopes,
            site: new.site,
            expires: new.expires,
            created,
            revoked: false,
        })
    }
}
