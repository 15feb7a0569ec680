//! Which tokens there are: issued, refreshed, ended, revoked. Pure; times are microseconds since 1970.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::TokensSpec;
use crate::draw::Draw;

/// Most tokens that are remembered; nothing more is issued above it.
pub(crate) const TOKENS_MAX: usize = 1_000_000;

/// What was asked of the token endpoint, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStats {
    /// Requests that came.
    pub requests: u64,
    /// Tokens that were issued, those included whose answer was lost.
    pub issued: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Refresh tokens that came again after they were replaced.
    pub reused: u64,
}

/// Who asks for a token, by what.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) grant: &'a str,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) client_secret: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
}

/// A new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) access_token: String,
    /// Where it is a new one.
    pub(crate) refresh_token: Option<String>,
}

/// The tokens of one simulator.
#[derive(Debug, Default)]
pub(crate) struct Issuer {
    /// Of each consent, whether it holds.
    consents: Vec<bool>,
    /// Numbers tokens; never begins again.
    made: u64,
    access: HashMap<String, (usize, u64)>,
    /// The consent, and when it was replaced.
    refresh: HashMap<String, (usize, Option<u64>)>,
    pub(crate) stats: TokenStats,
}

impl Issuer {
    /// Issues a token, or says by what code of RFC 6749, section 5.2, not.
    pub(crate) fn ask(
        &mut self,
        spec: &TokensSpec,
        seed: u64,
        asked: Asked<'_>,
        now_us: u64,
    ) -> Result<Issued, &'static str> {
        let consent = self.consent(spec, asked, now_us);
        let consent = consent.inspect_err(|_| self.stats.refused += 1)?;
        let rotates = spec.rotates && asked.grant == "refresh_token";
        if let (true, Some(used)) = (rotates, asked.refresh_token.and_then(|token| self.refresh.get_mut(token))) {
            used.1.get_or_insert(now_us);
        }
        self.stats.issued += 1;
        self.made += 1;
        let draw = Draw::seeded(seed).with_text("token").with(self.made);
        let access_token = format!("access-{:016x}", draw.with(1).bits());
        self.access.insert(access_token.clone(), (consent, now_us.saturating_add(spec.expires_in.us())));
        let refresh_token = rotates.then(|| format!("refresh-{:016x}", draw.with(2).bits()));
        if let Some(token) = &refresh_token {
            self.refresh.insert(token.clone(), (consent, None));
        }
        Ok(Issued { access_token, refresh_token })
    }

    /// The consent that a request is made by.
    fn consent(&mut self, spec: &TokensSpec, asked: Asked<'_>, now_us: u64) -> Result<usize, &'static str> {
        let wrong = |expected: &Option<String>, found: Option<&str>| expected.is_some() && expected.as_deref() != found;
        if wrong(&spec.client_id, asked.client_id) || wrong(&spec.client_secret, asked.client_secret) {
            return Err("invalid_client");
        }
        if self.access.len() >= TOKENS_MAX {
            return Err("temporarily_unavailable");
        }
        match (asked.grant, asked.refresh_token) {
            ("client_credentials", _) => Ok(self.begin()),
            ("refresh_token", Some(token)) => match self.refresh.get(token).copied() {
                Some((consent, _)) if !self.consents[consent] => Err("invalid_grant"),
                Some((consent, None)) => Ok(consent),
                Some((consent, Some(replaced_us))) => {
                    self.stats.reused += 1;
                    if now_us <= replaced_us.saturating_add(spec.grace.us()) && spec.grace.us() > 0 {
                        return Ok(consent);
                    }
                    // RFC 9700, section 4.14.2: one of the two who have it is a thief.
                    self.consents[consent] = false;
                    Err("invalid_grant")
                }
                None if spec.refresh_token.as_deref().is_none_or(|first| first == token) => {
                    let consent = self.begin();
                    self.refresh.insert(token.to_owned(), (consent, None));
                    Ok(consent)
                }
                None => Err("invalid_grant"),
            },
            ("refresh_token", None) => Err("invalid_request"),
            _ => Err("unsupported_grant_type"),
        }
    }

    fn begin(&mut self) -> usize {
        self.consents.push(true);
        self.consents.len() - 1
    }

    /// Whether a call with this token is let in.
    pub(crate) fn takes(&self, spec: &TokensSpec, token: &str, now_us: u64) -> bool {
        match self.access.get(token) {
            Some((consent, ends_us)) => self.consents[*consent] && now_us < *ends_us,
            None => !spec.only,
        }
    }

    /// Withdraws all consents: no token that was issued is taken any more.
    pub(crate) fn revoke(&mut self) {
        self.consents.fill(false);
    }

    /// All tokens that were issued.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.access.keys().chain(self.refresh.keys()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Period;

    const S: u64 = 1_000_000;

    fn refresh(token: &str) -> Asked<'_> {
        Asked { grant: "refresh_token", refresh_token: Some(token), ..Asked::default() }
    }

    #[test]
    fn a_token_is_taken_until_it_ends() {
        let spec = TokensSpec { expires_in: Period::from_ms(2_000), only: true, ..TokensSpec::default() };
        let mut issuer = Issuer::default();
        let issued = issuer.ask(&spec, 1, Asked { grant: "client_credentials", ..Asked::default() }, 0).unwrap();
        assert_eq!(issued.refresh_token, None);
        assert!(issuer.takes(&spec, &issued.access_token, 2 * S - 1));
        assert!(!issuer.takes(&spec, &issued.access_token, 2 * S) && !issuer.takes(&spec, "other", 0));
        assert!(issuer.takes(&TokensSpec::default(), "other", 0));
    }

    #[test]
    fn a_refresh_token_that_comes_twice_ends_the_consent() {
        let spec = TokensSpec { refresh_token: Some("first".to_owned()), ..TokensSpec::default() };
        let mut issuer = Issuer::default();
        assert_eq!(issuer.ask(&spec, 1, refresh("stranger"), 0), Err("invalid_grant"));
        let one = issuer.ask(&spec, 1, refresh("first"), 0).unwrap();
        let two = issuer.ask(&spec, 1, refresh(one.refresh_token.as_ref().unwrap()), S).unwrap();
        assert!(issuer.takes(&spec, &one.access_token, S) && issuer.takes(&spec, &two.access_token, S));
        assert_eq!(issuer.ask(&spec, 1, refresh("first"), S), Err("invalid_grant"));
        assert!(!issuer.takes(&spec, &two.access_token, S));
        assert_eq!(issuer.ask(&spec, 1, refresh(two.refresh_token.as_ref().unwrap()), S), Err("invalid_grant"));
        assert_eq!(issuer.stats, TokenStats { requests: 0, issued: 2, refused: 3, reused: 1 });
    }

    #[test]
    fn within_its_grace_a_refresh_token_may_come_again() {
        let spec = TokensSpec { grace: Period::from_ms(1_000), ..TokensSpec::default() };
        let mut issuer = Issuer::default();
        for at in [0, S] {
            assert!(issuer.ask(&spec, 1, refresh("any"), at).is_ok());
        }
        assert_eq!(issuer.ask(&spec, 1, refresh("any"), S + 1), Err("invalid_grant"));
    }

    #[test]
    fn a_refresh_token_that_does_not_rotate_stays() {
        let spec = TokensSpec { rotates: false, ..TokensSpec::default() };
        let mut issuer = Issuer::default();
        for _ in 0..3 {
            assert_eq!(issuer.ask(&spec, 1, refresh("any"), 0).unwrap().refresh_token, None);
        }
        issuer.revoke();
        assert_eq!(issuer.ask(&spec, 1, refresh("any"), 0), Err("invalid_grant"));
    }

    #[test]
    fn a_client_has_to_be_the_one() {
        let spec = TokensSpec {
            client_id: Some("me".to_owned()),
            client_secret: Some("secret".to_owned()),
            ..TokensSpec::default()
        };
        let asked = |id, secret| Asked {
            grant: "client_credentials",
            client_id: id,
            client_secret: secret,
            refresh_token: None,
        };
        let mut issuer = Issuer::default();
        assert!(issuer.ask(&spec, 1, asked(Some("me"), Some("secret")), 0).is_ok());
        for (id, secret) in [(Some("me"), Some("other")), (Some("me"), None), (None, None)] {
            assert_eq!(issuer.ask(&spec, 1, asked(id, secret), 0), Err("invalid_client"));
        }
        let asked = Asked { grant: "password", ..asked(Some("me"), Some("secret")) };
        assert_eq!(issuer.ask(&spec, 1, asked, 0), Err("unsupported_grant_type"));
    }
}
