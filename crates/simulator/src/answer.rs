//! What a call gets: decided from the endpoint, the page and the attempt alone.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HeaderValue, LINK};
use bytes::Bytes;
use serde_json::Value;

use crate::Style;
use crate::api::Endpoint;
use crate::draw::Draw;
use crate::fault::Fault;
use crate::item::escaped;
use crate::list::List;
use crate::page::{Page, page};
use crate::paging::{BadPage, Position};
use crate::reply::Reply;
use crate::shape::Said;

/// What a call gets.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    /// The one answer that there is.
    Always(Reply),
    /// There is no such parent.
    NotFound,
    /// A parameter cannot be.
    Invalid(String),
    /// More items than the endpoint can put together.
    TooMuchData,
    /// Elsewhere.
    Redirect(String),
    /// Blanks without end, packed small.
    GzipBomb,
    /// JSON of so many bytes.
    HugeBody(u64),
    /// The page at this place, or what a passing fault makes of it.
    Page(Position, Option<Fault>),
}

/// What tells a page from all others, and all chance that concerns it.
pub(crate) fn page_draw(list: &List, at: Position) -> Draw {
    list.draw.with(at.start).with(u64::from(at.size)).with(u64::from(at.round))
}

/// What the call for the page at `at` gets on this attempt, counted from 0.
pub(crate) fn decide(endpoint: &Endpoint, list: &List, at: Result<Position, BadPage>, attempt: u32) -> Decision {
    let faults = &endpoint.faults;
    if let Some(reply) = &endpoint.always {
        return Decision::Always(reply.clone());
    }
    if faults.loses(list.draw) {
        return Decision::NotFound;
    }
    let at = match at {
        Ok(at) => at,
        Err(BadPage(why)) => return Decision::Invalid(why),
    };
    if faults.too_much_above.is_some_and(|most| at.size > most) {
        return Decision::TooMuchData;
    }
    if let Some(address) = &faults.redirect_to {
        return Decision::Redirect(address.clone());
    }
    if endpoint.bomb.is_some() {
        return Decision::GzipBomb;
    }
    if let Some(bytes) = faults.huge_body_bytes {
        return Decision::HugeBody(bytes);
    }
    Decision::Page(at, faults.drawn(page_draw(list, at), attempt))
}

/// Where a call was sent, to make the addresses of other pages of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    /// Host and port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

/// A page, written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// Items in it.
    pub(crate) items: u64,
}

/// Writes the page at `at`.
pub(crate) fn write(endpoint: &Endpoint, list: &List, at: Position, called: Address<'_>) -> Written {
    let page = page(list, at, &endpoint.faults.lies);
    let next = page.next.map(|next| endpoint.paging.pointer(list, next));
    let origin = endpoint.faults.lies.next_to_other_host.clone().unwrap_or_else(|| format!("http://{}", called.host));
    let size = endpoint.paging.size_param.as_deref().filter(|_| endpoint.faults.lies.next_drops_size);
    let address = |pointer: Option<&str>| address(called, &origin, (endpoint.paging.pointer_param(), size), pointer);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let next = match endpoint.paging.style {
        Style::Link => {
            let rel = &endpoint.paging.link_rel;
            let links = next.map(|next| format!("<{}>; rel=\"{rel}\", ", address(Some(&next)))).unwrap_or_default();
            set(&mut headers, Some(&LINK), Some(format!("{links}<{}>; rel=\"first\"", address(None))));
            None
        }
        Style::NextUrl => next.map(|next| Value::from(address(Some(&next)))),
        Style::Offset | Style::Page => next.map(|next| next.parse::<u64>().map_or(Value::Null, Value::from)),
        Style::Single | Style::Cursor => next.map(Value::from),
    };
    let told = &endpoint.headers;
    let text = next.as_ref().map(|next| next.as_str().map_or_else(|| next.to_string(), str::to_owned));
    set(&mut headers, told.next.as_ref(), text);
    set(&mut headers, told.total.as_ref(), Some(page.total.to_string()));
    set(&mut headers, told.has_more.as_ref(), Some(page.has_more.to_string()));
    let said = Said { total: page.total, next, has_more: page.has_more };
    Written { body: body(endpoint, list, &page, &said), headers, items: page.positions.len() as u64 }
}

fn body(endpoint: &Endpoint, list: &List, page: &Page, said: &Said) -> Bytes {
    let frame = endpoint.envelope.frame(said);
    let parent = escaped(&list.parent);
    let mut out = Vec::with_capacity(
        frame.before.len() + frame.after.len() + page.positions.len() * (endpoint.template.bytes() + 32),
    );
    out.extend_from_slice(frame.before.as_bytes());
    for (number, position) in page.positions.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(frame.open.as_bytes());
        endpoint.template.write(&mut out, list, &parent, *position);
        out.extend_from_slice(frame.close.as_bytes());
    }
    out.extend_from_slice(frame.after.as_bytes());
    out.into()
}

/// The address that was called, with `pointer` in `param`, or without one; and without `dropped`.
fn address(called: Address<'_>, origin: &str, (param, dropped): (&str, Option<&str>), pointer: Option<&str>) -> String {
    let kept = url::form_urlencoded::parse(called.query.as_bytes())
        .filter(|(name, _)| name != param && Some(name.as_ref()) != dropped);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .extend_pairs(pointer.map(|pointer| (param, pointer)))
        .finish();
    format!("{origin}{}{}{query}", called.path, if query.is_empty() { "" } else { "?" })
}

fn set(headers: &mut HeaderMap, name: Option<&axum::http::HeaderName>, value: Option<String>) {
    if let (Some(name), Some(Ok(value))) = (name, value.map(|value| value.parse::<HeaderValue>())) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Api;
    use crate::{EndpointSpec, Faults, Lies, SimulatorSpec};

    const CALLED: Address<'_> = Address { host: "h:1", path: "/x", query: "n=2&cursor=old&q=a%20b" };

    fn written(endpoint: EndpointSpec, at: Position) -> (Value, HeaderMap) {
        let api = Api::of(&SimulatorSpec::seeded(1).with("x", endpoint.item(json!("{{n}}")))).unwrap();
        let endpoint = &api.endpoints[0];
        let written = write(endpoint, &endpoint.list(""), at, CALLED);
        (serde_json::from_slice(&written.body).unwrap(), written.headers)
    }

    const AT: Position = Position { start: 2, size: 2, round: 0 };

    #[test]
    fn each_style_names_the_next_page_in_its_way() {
        let list = || EndpointSpec::at("/x").items(5);
        let next = |endpoint| written(endpoint, AT).0["next"].clone();
        let shape = crate::Shape { next: Some("$.next".into()), ..crate::Shape::default() };
        assert_eq!(next(EndpointSpec { shape: Some(shape.clone()), ..list().offset("o") }), json!(4));
        assert_eq!(next(EndpointSpec { shape: Some(shape), ..list().page_number("p", 0) }), json!(2));
        let cursor = next(list().cursor("c", "$.next"));
        assert!(cursor.as_str().unwrap().starts_with("4+0/"), "{cursor}");
        let url = next(list().next_url("$.next"));
        assert!(url.as_str().unwrap().starts_with("http://h:1/x?n=2&q=a+b&cursor=4%2B0%2F"), "{url}");
        let (_, headers) = written(list().link(), AT);
        let link = headers["link"].to_str().unwrap();
        assert!(
            link.starts_with("<http://h:1/x?n=2&q=a+b&cursor=4%2B0%2F") && link.contains(">; rel=\"next\", <"),
            "{link}"
        );
    }

    #[test]
    fn the_last_page_names_no_next_one() {
        let (body, headers) =
            written(EndpointSpec::at("/x").items(5).link().total_in_header("X-Total"), Position { start: 4, ..AT });
        assert_eq!((body, &headers["x-total"]), (json!({ "items": [5] }), &HeaderValue::from_static("5")));
        assert_eq!(headers["link"], "<http://h:1/x?n=2&q=a+b>; rel=\"first\"");
    }

    #[test]
    fn what_an_answer_tells_may_stand_in_headers() {
        let shape = crate::Shape {
            next_header: Some("X-Next".into()),
            has_more_header: Some("X-More".into()),
            ..crate::Shape::default()
        };
        let (body, headers) =
            written(EndpointSpec { shape: Some(shape), ..EndpointSpec::at("/x").items(5).offset("o") }, AT);
        assert_eq!(
            (body, &headers["x-next"], &headers["x-more"]),
            (json!({ "items": [3, 4] }), &"4".parse().unwrap(), &"true".parse().unwrap())
        );
    }

    #[test]
    fn next_addresses_may_lead_to_another_host() {
        let lies = Lies { next_to_other_host: Some("http://10.0.0.1".into()), ..Lies::default() };
        let (body, _) = written(
            EndpointSpec::at("/x").items(5).next_url("$.next").faults(Faults { lies, ..Faults::default() }),
            AT,
        );
        assert!(body["next"].as_str().unwrap().starts_with("http://10.0.0.1/x?"), "{body}");
    }

    #[test]
    fn what_lasts_comes_on_each_attempt_and_what_passes_ceases() {
        let api = |faults| Api::of(&SimulatorSpec::seeded(1).with("x", EndpointSpec::at("/x").faults(faults))).unwrap();
        let decided = |faults, attempt| {
            let api = api(faults);
            decide(&api.endpoints[0], &api.endpoints[0].list(""), Ok(AT), attempt)
        };
        for attempt in [0, 1, 9] {
            assert_eq!(decided(Faults { not_found: 1.0, ..Faults::default() }, attempt), Decision::NotFound);
            assert_eq!(
                decided(Faults { too_much_above: Some(1), ..Faults::default() }, attempt),
                Decision::TooMuchData
            );
            assert_eq!(
                decided(Faults { huge_body_bytes: Some(9), ..Faults::default() }, attempt),
                Decision::HugeBody(9)
            );
        }
        let hang = |attempt| decided(Faults { hang: 1.0, ..Faults::default() }, attempt);
        assert_eq!(hang(1), Decision::Page(AT, Some(Fault::Hang)));
        assert_eq!(hang(2), Decision::Page(AT, None));
        assert_eq!(decided(Faults { too_much_above: Some(2), ..Faults::default() }, 0), Decision::Page(AT, None));
    }
}
