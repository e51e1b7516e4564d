use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

words! {
    /// How the platform signs what it says of somebody. One algorithm for one key: a token cannot choose.
    pub enum TokenAlgorithm {
        EdDsa = "EdDSA",
        Es256 = "ES256",
        Hs256 = "HS256",
    }
}

/// Whose word is believed about who somebody is.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    #[garde(skip)]
    pub token_algorithm: TokenAlgorithm,
    /// A public key in PEM, or the secret of HS256. Empty: no token is believed.
    #[garde(skip)]
    pub token_key: Secret,
    #[garde(skip)]
    pub token_key_file: String,
    #[garde(length(min = 1))]
    pub token_issuer: String,
    #[garde(length(min = 1))]
    pub token_audience: String,
}

/// The gate in front of an embedded BI tool.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Bi {
    /// Of an embedded dashboard, with `{token}`; empty for no gate.
    #[garde(custom(bi_url))]
    pub url: String,
    /// What signs the URL's token (HS256), as the BI tool knows it.
    #[garde(skip)]
    pub secret: Secret,
    #[garde(skip)]
    pub secret_file: String,
    #[garde(skip)]
    pub dashboard: u32,
    /// The role the platform's token must hold.
    #[garde(length(min = 1))]
    pub role: String,
}

fn bi_url(value: &str, _: &()) -> garde::Result {
    let ok = value.is_empty()
        || (value.matches("{token}").count() == 1
            && url::Url::parse(&value.replace("{token}", "x"))
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty or an http(s) URL with {token} once, such as https://bi.example/embed/dashboard/{token}",
        ))
    }
}
