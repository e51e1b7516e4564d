//! Tokens by which the platform authenticates a user: signed JWTs, valid for a few minutes.
//!
//! The configuration determines the algorithm; the token's own header is only compared with it.
//! Issuer, audience and an expiry at most [`MAX_LIFETIME_SECS`] ahead are required; for a handover
//! also an id, so that it can be used only once. A token that is not yet valid (`nbf`) or that
//! requires an extension (`crit`) is rejected, because no extension is supported.

use jsonwebtoken::errors::Error;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::calendar::Millis;
use crate::config::{PlatformConfig, Secret, TokenAlgorithm};

const MAX_LIFETIME_SECS: i64 = 300;
/// The tolerated clock difference for `nbf`: many issuers write the moment of signing into it.
const MAX_CLOCK_SKEW_SECS: i64 = 5;
const MAX_ID_BYTES: usize = 256;

/// Verifies the tokens of the platform.
pub struct PlatformTokenVerifier {
    key: Option<DecodingKey>,
    validation: Validation,
}

type KeyParser = fn(&[u8]) -> Result<DecodingKey, Error>;

/// The claims of a token.
#[derive(Deserialize)]
pub struct TokenClaims {
    exp: i64,
    /// Not valid before this second. Some libraries write a fraction.
    #[serde(default)]
    nbf: f64,
    /// The role of the user; empty if the claim is missing.
    #[serde(default)]
    pub role: String,
}

/// The claims of a handover token. The user's identity (`sub`) is not read.
#[derive(Deserialize)]
pub struct HandoverClaims {
    /// The second it expires, since the Unix epoch.
    pub exp: i64,
    #[serde(default)]
    nbf: f64,
    /// The token's id, 1 to 256 bytes.
    pub jti: String,
    /// The role of the user; empty if the claim is missing.
    #[serde(default)]
    pub role: String,
    /// The names of the sites the user is the creator of.
    #[serde(default)]
    pub sites: Vec<String>,
}

impl PlatformTokenVerifier {
    /// Reads the platform's key and the required claims. Without a key, no token is valid.
    ///
    /// # Errors
    ///
    /// The key is not one of the configured algorithm.
    pub fn new(platform: &PlatformConfig) -> Result<PlatformTokenVerifier, Error> {
        let key = platform.token_key.expose_secret();
        let (algorithm, read) = match platform.token_algorithm {
            TokenAlgorithm::EdDsa => (Algorithm::EdDSA, DecodingKey::from_ed_pem as KeyParser),
            TokenAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem as KeyParser),
            TokenAlgorithm::Hs256 => (
                Algorithm::HS256,
                (|secret| Ok(DecodingKey::from_secret(secret))) as KeyParser,
            ),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&platform.token_issuer]);
        validation.set_audience(&[&platform.token_audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Expiry is checked below, by the collector's own clock.
        validation.validate_exp = false;
        Ok(PlatformTokenVerifier {
            key: if key.is_empty() {
                None
            } else {
                Some(read(key.as_bytes())?)
            },
            validation,
        })
    }

    /// The claims of a valid token at `now`; `None` for every invalid one, whatever the reason.
    pub fn verify_token(&self, token: &str, now: Millis) -> Option<TokenClaims> {
        self.decode_claims(token, now, |claims: &TokenClaims| (claims.nbf, claims.exp))
    }

    /// The claims of a valid handover token. The caller must check that it was not used before.
    pub fn verify_handover(&self, token: &Secret, now: Millis) -> Option<HandoverClaims> {
        let handover =
            self.decode_claims(token.expose_secret(), now, |claims: &HandoverClaims| {
                (claims.nbf, claims.exp)
            })?;
        (1..=MAX_ID_BYTES)
            .contains(&handover.jti.len())
            .then_some(handover)
    }

    fn decode_claims<C: DeserializeOwned>(
        &self,
        token: &str,
        now: Millis,
        times: fn(&C) -> (f64, i64),
    ) -> Option<C> {
        let TokenData { header, claims, .. } =
            decode::<C>(token, self.key.as_ref()?, &self.validation).ok()?;
        if header.crit.is_some() {
            return None;
        }

        let (nbf, exp) = times(&claims);
        let now = now.div_euclid(1000);
        let left = exp.checked_sub(now)?;
        let begun = nbf <= (now + MAX_CLOCK_SKEW_SECS) as f64;
        (begun && (1..=MAX_LIFETIME_SECS).contains(&left)).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const SECRET: &str = "a secret of thirty-two characters";

    fn tokens() -> PlatformTokenVerifier {
        let platform = PlatformConfig {
            token_algorithm: TokenAlgorithm::Hs256,
            token_key: Secret::new(SECRET.to_owned()),
            token_key_file: String::new(),
            token_issuer: "platform".into(),
            token_audience: "footfall".into(),
        };
        PlatformTokenVerifier::new(&platform).unwrap()
    }

    fn claims() -> Value {
        json!({"iss":"platform","aud":"footfall","exp":1_800_000_060,"role":"admin"})
    }

    fn sign(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
        encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .unwrap()
    }

    fn with(key: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[key] = value;
        claims
    }

    #[test]
    fn a_token_of_the_platform_is_believed_for_its_minutes() {
        let token = sign(Algorithm::HS256, &claims(), SECRET);
        assert_eq!(tokens().verify_token(&token, NOW).unwrap().role, "admin");
        assert!(tokens().verify_token(&token, NOW + 59_999).is_some());
        assert!(tokens().verify_token(&token, NOW + 60_000).is_none());
    }

    #[test]
    fn a_token_is_none_before_its_time() {
        for (nbf, believed) in [
            (json!(1_800_000_000), true),
            (json!(1_800_000_000.5), true),
            (json!(1_800_000_005), true),
            (json!(1_800_000_006), false),
            (json!(1_800_000_030), false),
            (json!(1e300), false),
            (json!("now"), false),
            (json!(null), false),
        ] {
            let token = sign(Algorithm::HS256, &with("nbf", nbf.clone()), SECRET);
            assert_eq!(
                tokens().verify_token(&token, NOW).is_some(),
                believed,
                "{nbf}"
            );
        }
    }

    #[test]
    fn a_token_that_asks_for_an_extension_is_none() {
        for crit in [
            vec![],
            vec!["exp".to_owned()],
            vec!["b64".to_owned()],
            vec!["https://x.example".to_owned()],
        ] {
            let header = Header {
                crit: Some(crit.clone()),
                ..Header::new(Algorithm::HS256)
            };
            let token = encode(
                &header,
                &claims(),
                &EncodingKey::from_secret(SECRET.as_bytes()),
            )
            .unwrap();
            assert!(tokens().verify_token(&token, NOW).is_none(), "{crit:?}");
        }
    }

    #[test]
    fn whatever_else_claims_to_be_one_is_not() {
        let signed = sign(Algorithm::HS256, &claims(), SECRET);
        let body = signed.split('.').nth(1).unwrap();
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIn0.{body}.");
        let cases = [
            sign(Algorithm::HS256, &claims(), "another secret"),
            sign(Algorithm::HS512, &claims(), SECRET),
            unsigned,
            format!("{}x", signed),
            sign(Algorithm::HS256, &with("iss", json!("evil")), SECRET),
            sign(Algorithm::HS256, &with("aud", json!("other")), SECRET),
            sign(
                Algorithm::HS256,
                &with("exp", json!(1_800_000_301_i64)),
                SECRET,
            ),
            sign(Algorithm::HS256, &with("exp", json!("soon")), SECRET),
            sign(
                Algorithm::HS256,
                &json!({"iss":"platform","aud":"footfall","role":"admin"}),
                SECRET,
            ),
            sign(
                Algorithm::HS256,
                &json!({"exp":1_800_000_060,"role":"admin"}),
                SECRET,
            ),
            String::new(),
        ];
        for token in cases {
            assert!(tokens().verify_token(&token, NOW).is_none(), "{token}");
        }
    }
}
