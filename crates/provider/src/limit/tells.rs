//! What an answer tells of a limit, in its headers and in its body.

use http::HeaderMap;
use tidegate_answer::Values;
use tidegate_limits::{HeaderNames, Reading, headers};

use crate::file::{BodyTells, Limit};

/// Where answers speak of a limit.
#[derive(Debug, Default)]
pub(crate) struct Tells {
    pub(crate) headers: Option<HeaderNames>,
    body: Option<InBody>,
}

/// Places in bodies, by what stands there.
#[derive(Debug)]
struct InBody {
    names: HeaderNames,
    places: Vec<&'static str>,
    values: Values,
}

impl Tells {
    pub(crate) fn of(limit: &Limit) -> Self {
        Self { headers: limit.headers.clone(), body: limit.body.as_ref().map(InBody::of) }
    }

    pub(crate) fn standard() -> Self {
        Self { headers: Some(HeaderNames::standard()), body: None }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.headers.is_none() && self.body.is_none()
    }

    pub(crate) fn read(&self, sent: &HeaderMap, body: &[u8], now_ms: i64) -> Reading {
        let header = |name: &str| sent.get(name).and_then(|value| value.to_str().ok());
        let reading = self.headers.as_ref().map(|names| headers::read(names, now_ms, &header));
        let in_body = self.body.as_ref().map(|place| place.read(body, now_ms));
        match (reading, in_body) {
            (Some(reading), Some(in_body)) => reading.or(in_body),
            (reading, in_body) => reading.or(in_body).unwrap_or_default(),
        }
    }
}

impl InBody {
    fn of(tells: &BodyTells) -> Self {
        let BodyTells { limit, remaining, used, reset, reset_as, cost } = tells;
        let (mut places, mut paths) = (Vec::new(), Vec::new());
        let mut place = |name, path: &Option<_>| {
            let path = Option::clone(path)?;
            places.push(name);
            paths.push(path);
            Some(String::from(name))
        };
        let names = HeaderNames {
            limit: place("limit", limit),
            remaining: place("remaining", remaining),
            used: place("used", used),
            reset: place("reset", reset),
            cost: place("cost", cost),
            reset_as: *reset_as,
            ..HeaderNames::default()
        };
        Self { names, places, values: Values::new(paths) }
    }

    /// As headers are read: their names are the places'.
    fn read(&self, body: &[u8], now_ms: i64) -> Reading {
        let texts = self.values.texts(body);
        let text = |name: &str| texts.get(self.places.iter().position(|place| *place == name)?)?.as_deref();
        headers::read(&self.names, now_ms, &text)
    }
}
