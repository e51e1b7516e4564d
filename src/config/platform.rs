//! `[platform]` and `[bi]`: tokens of the host platform, and the gate in front of an embedded BI
//! tool.

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

string_enum! {
    /// Signature algorithm of the platform's tokens. It is fixed by the key: a token cannot choose.
    pub enum TokenAlgorithm {
        EdDsa = "EdDSA",
        Es256 = "ES256",
        Hs256 = "HS256",
    }
}

/// `[platform]`: which tokens prove a person's identity.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct PlatformConfig {
    /// Algorithm of `token_key`.
    #[garde(skip)]
    pub token_algorithm: TokenAlgorithm,
    /// Public key in PEM, or the secret of HS256. Empty: no token is valid.
    #[garde(skip)]
    pub token_key: Secret,
    /// File that holds `token_key`; empty for none.
    #[garde(skip)]
    pub token_key_file: String,
    /// Required `iss` claim.
    #[garde(length(min = 1))]
    pub token_issuer: String,
    /// Required `aud` claim.
    #[garde(length(min = 1))]
    pub token_audience: String,
}

/// `[bi]`: the gate in front of an embedded BI tool.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct BiConfig {
    /// URL of an embedded dashboard, with `{token}`; empty for no gate.
    #[garde(custom(validate_bi_url))]
    pub url: String,
    /// Secret that signs the URL's token (HS256), as the BI tool knows it.
    #[garde(skip)]
    pub secret: Secret,
    /// File that holds `secret`; empty for none.
    #[garde(skip)]
    pub secret_file: String,
    /// Number of the dashboard in the BI tool.
    #[garde(skip)]
    pub dashboard: u32,
    /// Role that the platform's token must have.
    #[garde(length(min = 1))]
    pub role: String,
}

fn validate_bi_url(value: &str, _: &()) -> garde::Result {
    let ok = value.is_empty()
        || (value.matches("{token}").count() == 1
            && url::Url::parse(&value.replace("{token}", "x"))
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty or an http(s) URL with {token} once, such as \
             https://bi.example/embed/dashboard/{token}",
        ))
    }
}
