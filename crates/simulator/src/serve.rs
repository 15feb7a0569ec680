//! Serves calls: recognise, let in, decide, wait, answer.

use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::answer::{Address, Decision, decide, page_draw, write};
use crate::api::Endpoint;
use crate::bomb::Bomb;
use crate::book::Served;
use crate::broken;
use crate::connection::Caller;
use crate::fault::Fault;
use crate::gate::{Admission, Visitor};
use crate::list::List;
use crate::paging::{BadPage, Position};
use crate::reply::Reply;
use crate::route::Params;
use crate::visit::{Site, Visit};
use crate::{TokensSpec, tokens};

/// Largest body of a request.
pub const REQUEST_BYTES_MAX: usize = 1_048_576;

/// A page that is no API's.
const HTML: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";

/// Where callers put their tokens, besides `Authorization`.
const TOKEN_HEADERS: [&str; 4] = ["x-api-key", "api-key", "x-auth-token", "private-token"];
const TOKEN_PARAMS: [&str; 4] = ["access_token", "api_key", "key", "token"];

/// A call that was understood.
struct Call {
    parts: Parts,
    params: Params,
    endpoint: usize,
    list: List,
    at: Result<Position, BadPage>,
}

/// Answers a call to the simulated API.
pub(crate) async fn serve(
    State(site): State<Arc<Site>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
) -> Response {
    let asked = |spec: &&TokensSpec| spec.is_asked(request.method(), request.uri().path());
    if let Some(spec) = site.tokens.as_ref().filter(asked) {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await.unwrap_or_default();
        return tokens::answer(&site, spec, &parts, &body, caller).await;
    }
    let Some(call) = read(&site, request).await else {
        site.book().miss();
        return reply(&site.api.answers.not_found, HeaderMap::new());
    };
    let (mut visit, attempt) = match admit(&site, &call, caller) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let endpoint = visit.endpoint();
    if let Some(latency) = &endpoint.latency {
        let draw = call.at.as_ref().map_or(call.list.draw, |at| page_draw(&call.list, *at));
        tokio::time::sleep(latency.drawn(draw.with_text("latency").with(u64::from(attempt)))).await;
    }
    if let Some(workers) = &site.workers {
        workers.work().await;
    }
    let answers = &site.api.answers;
    match decide(endpoint, &call.list, call.at.clone(), attempt) {
        Decision::Always(answer) => failure(&mut visit, "always", &answer),
        Decision::NotFound => failure(&mut visit, "not_found", &answers.not_found),
        Decision::Invalid(why) => {
            tracing::debug!(endpoint = endpoint.name, why, "refused a call");
            failure(&mut visit, "invalid", &answers.invalid)
        }
        Decision::TooMuchData => failure(&mut visit, "too_much_data", &answers.too_much_data),
        Decision::Redirect(address) => {
            visit.failed("redirect", 0);
            let location = HeaderValue::from_str(&address).unwrap_or(HeaderValue::from_static("/"));
            (StatusCode::FOUND, visit.headers.clone(), [(LOCATION, location)]).into_response()
        }
        Decision::GzipBomb => {
            let headers = [(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")];
            let bomb = endpoint.bomb.clone().unwrap_or_else(|| Bomb::plain(0));
            visit.failed("gzip_bomb", 0);
            (visit.headers.clone(), headers, broken::bomb(bomb, visit)).into_response()
        }
        Decision::HugeBody(bytes) => {
            visit.failed("huge_body", 0);
            (visit.headers.clone(), [(CONTENT_TYPE, "application/json")], broken::bomb(Bomb::plain(bytes), visit))
                .into_response()
        }
        Decision::Page(at, None) => whole(visit, &call, at),
        Decision::Page(at, Some(fault)) => faulty(visit, &call, at, fault).await,
    }
}

/// Understands a call; none if no endpoint is for it.
async fn read(site: &Site, request: Request) -> Option<Call> {
    let (parts, body) = request.into_parts();
    let (index, mut values) = site.api.find(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default())?;
    let body = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await.ok()?;
    let params = Params::read(parts.uri.query().unwrap_or_default(), &body);
    let endpoint = &site.api.endpoints[index];
    values.extend(endpoint.parent_param.as_ref().map(|name| params.get(name).unwrap_or_default()));
    let list = endpoint.list(&values.join("/"));
    let part = endpoint.range.as_ref().map(|range| range.part(&list, |name| params.get(name)));
    let (list, wrong) = match part {
        None => (list, None),
        Some(Ok(part)) => (part, None),
        Some(Err(wrong)) => (list, Some(wrong)),
    };
    let at = wrong.map_or_else(|| endpoint.paging.position(&list, |name| params.get(name)), Err);
    let at = at.and_then(|at| endpoint.range.as_ref().map_or(Ok(at), |range| range.reaches(at)));
    Some(Call { parts, params, endpoint: index, list, at })
}

/// Asks for the token and the limits.
#[expect(clippy::result_large_err, reason = "an answer is made once a call and handed straight on")]
fn admit(site: &Arc<Site>, call: &Call, caller: Caller) -> Result<(Visit, u32), Response> {
    let now_us = site.clock.now_us();
    let mut guard = site.book();
    let book = &mut *guard;
    book.arrive(call.endpoint, site.elapsed_ms(now_us));
    let since_first_ms = book.since_first_ms(site.elapsed_ms(now_us));
    if site.quirks.outage.as_ref().is_some_and(|outage| outage.is_on(since_first_ms)) {
        let down = &site.api.answers.error_503;
        book.fail(call.endpoint, "outage", down.body.len() as u64);
        return Err(reply(down, HeaderMap::new()));
    }
    let token = token(call);
    let is_dead = site.quirks.token_dies_after.is_some_and(|calls| book.uses(&token) >= calls);
    let is_over = site.tokens.as_ref().is_some_and(|spec| !book.issuer.takes(spec, &token, now_us));
    if is_dead || is_over || book.token.as_ref().is_some_and(|token| !bears(&call.parts, token)) {
        let unauthorized = &site.api.answers.unauthorized;
        book.fail(call.endpoint, "unauthorized", unauthorized.body.len() as u64);
        return Err(reply(unauthorized, HeaderMap::new()));
    }
    let visitor = Visitor {
        endpoint: call.endpoint,
        token: &token,
        ip: caller.address.ip(),
        parent: &call.list.parent,
        further_page: call.at.as_ref().is_ok_and(|at| at.start > 0),
    };
    let asked = &site.api.endpoints[call.endpoint].limits;
    match book.gate.admit(&site.api.limits, asked, visitor, now_us) {
        Admission::Refused { headers, by } => {
            let limited = site.api.limits[by].answer.as_ref().unwrap_or(&site.api.answers.limited);
            book.refuse(call.endpoint, limited.body.len() as u64);
            Err(reply(limited, headers))
        }
        Admission::Granted { headers, holds } => {
            let attempt = call.at.as_ref().map_or(0, |at| book.attempt(page_draw(&call.list, *at).bits()));
            drop(guard);
            Ok((Visit::begin(Arc::clone(site), call.endpoint, holds, headers, caller.cut), attempt))
        }
    }
}

/// A page as it should be.
fn whole(mut visit: Visit, call: &Call, at: Position) -> Response {
    let (headers, body, items) = written(&visit, call, at);
    visit.served(Served { page: page_draw(&call.list, at).bits(), items, bytes: body.len() as u64 });
    (headers, body).into_response()
}

/// A page, or what a passing fault makes of it.
async fn faulty(mut visit: Visit, call: &Call, at: Position, fault: Fault) -> Response {
    let (headers, body, items) = written(&visit, call, at);
    let kind = fault.name();
    let site = Arc::clone(&visit.site);
    let answers = &site.api.answers;
    let promised = (CONTENT_LENGTH, HeaderValue::from(body.len()));
    match fault {
        Fault::Error500 => failure(&mut visit, kind, &answers.error_500),
        Fault::Error503 => failure(&mut visit, kind, &answers.error_503),
        Fault::ErrorIn200 => failure(&mut visit, kind, &answers.error_in_200),
        Fault::Html => {
            visit.failed(kind, HTML.len());
            (visit.headers.clone(), [(CONTENT_TYPE, "text/html; charset=utf-8")], HTML).into_response()
        }
        Fault::Empty200 => {
            visit.failed(kind, 0);
            (visit.headers.clone(), [(CONTENT_TYPE, "application/json")]).into_response()
        }
        Fault::Truncated => {
            let (headers, body) = truncated(&visit, call, at);
            visit.failed(kind, body.len());
            (headers, body).into_response()
        }
        Fault::LyingLength => {
            visit.failed(kind, 0);
            (headers, [promised], broken::ended(broken::half(&body))).into_response()
        }
        Fault::Reset => {
            visit.failed(kind, 0);
            visit.cut.reset();
            // The connection is gone, so this reaches nobody.
            StatusCode::OK.into_response()
        }
        Fault::ResetBody => {
            visit.failed(kind, 0);
            (headers, [promised], broken::reset(broken::half(&body), visit.cut.clone())).into_response()
        }
        Fault::Hang => {
            visit.failed(kind, 0);
            // Dropped with the connection, and the visit with it.
            std::future::pending().await
        }
        Fault::StalledBody => {
            visit.failed(kind, 0);
            (headers, [promised], broken::stalled(broken::half(&body), visit)).into_response()
        }
        Fault::SlowBody => {
            visit.failed(kind, 0);
            let takes = visit.endpoint().faults.slow_body_takes.0;
            let served = Served { page: page_draw(&call.list, at).bits(), items, bytes: body.len() as u64 };
            (headers, [promised], broken::dripping(body, takes, move || visit.served(served))).into_response()
        }
    }
}

/// The page with its headers, packed if the endpoint and the client will, and how many items it holds.
fn written(visit: &Visit, call: &Call, at: Position) -> (HeaderMap, Bytes, u64) {
    let page = write(visit.endpoint(), &call.list, at, call.address());
    let mut headers = visit.headers.clone();
    headers.extend(page.headers);
    let body = packed(visit.endpoint(), call, &mut headers, page.body);
    (headers, body, page.items)
}

/// The page with half of its JSON.
fn truncated(visit: &Visit, call: &Call, at: Position) -> (HeaderMap, Bytes) {
    let page = write(visit.endpoint(), &call.list, at, call.address());
    let mut headers = visit.headers.clone();
    headers.extend(page.headers);
    let body = packed(visit.endpoint(), call, &mut headers, broken::half(&page.body));
    (headers, body)
}

/// `body`, gzipped where the endpoint does that and the client accepts it.
fn packed(endpoint: &Endpoint, call: &Call, headers: &mut HeaderMap, body: Bytes) -> Bytes {
    let accepted = call.parts.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if !endpoint.compress || !accepted.is_some_and(|value| value.contains("gzip")) {
        return body;
    }
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail; were it to, the plain body is as good.
    match gzip.write_all(&body).and_then(|()| gzip.finish()) {
        Ok(packed) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            packed.into()
        }
        Err(_) => body,
    }
}

fn failure(visit: &mut Visit, kind: &str, answer: &Reply) -> Response {
    visit.failed(kind, answer.body.len());
    reply(answer, std::mem::take(&mut visit.headers))
}

fn reply(answer: &Reply, mut headers: HeaderMap) -> Response {
    headers.extend(answer.headers.clone());
    (answer.status, headers, Body::from(answer.body.clone())).into_response()
}

/// The call comes with `token`, in whatever header or parameter.
fn bears(parts: &Parts, token: &str) -> bool {
    let in_header =
        parts.headers.values().filter_map(|value| value.to_str().ok()).any(|value| last_word(value) == token);
    in_header
        || url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .any(|(_, value)| value == token)
}

/// What limits tell callers apart by.
fn token(call: &Call) -> String {
    let header = |name: &str| call.parts.headers.get(name)?.to_str().ok().map(|value| last_word(value).to_owned());
    let in_header = std::iter::once(AUTHORIZATION.as_str()).chain(TOKEN_HEADERS).find_map(header);
    in_header.or_else(|| TOKEN_PARAMS.iter().find_map(|name| call.params.get(name))).unwrap_or_default()
}

/// Without a scheme such as `Bearer`.
fn last_word(value: &str) -> &str {
    value.rsplit(' ').next().unwrap_or_default()
}

impl Call {
    fn address(&self) -> Address<'_> {
        let uri = &self.parts.uri;
        let host = self
            .parts
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .or(uri.authority().map(|host| host.as_str()));
        Address { host: host.unwrap_or("localhost"), path: uri.path(), query: uri.query().unwrap_or_default() }
    }
}
