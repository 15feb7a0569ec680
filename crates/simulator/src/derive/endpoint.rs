//! An endpoint as a provider file declares it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidegate_answer::{Pages, Selector};
use tidegate_provider::file::{Endpoint, Route};

use crate::item::Template;
use crate::shape::{Envelope, Path};
use crate::{Cursors, EndpointSpec, Method, Paging, Shape, Style};

/// The one field of what the next page is asked for with, where a provider has any.
const CONTINUE: &str = "continue_from";

/// What cannot be simulated: field and problem.
type Problem = (&'static str, String);

/// The simulated endpoint that `declared` declares. What `given` says is not derived, and may so replace what is too
/// complex.
pub(super) fn derive(declared: &Endpoint, given: &EndpointSpec) -> Result<EndpointSpec, Problem> {
    if declared.success.as_ref().is_some_and(|success| !success.contains(200)) {
        return Err(("success", "pages are simulated with status 200 only".to_owned()));
    }
    let paging = match &given.paging {
        Some(paging) => paging.clone(),
        None => paging(declared.pages.as_ref()),
    };
    let shape = match &given.shape {
        Some(_) => None,
        None => Some(shape(declared).map_err(|why| ("shape", why))?),
    };
    let item = match &given.item {
        Some(_) => None,
        None => Some(item(declared).map_err(|why| ("item", why))?),
    };
    // Fixed ones tell endpoints of one path apart; a template may become anything.
    let fixed = declared.query.iter().filter(|(_, value)| !value.contains("{{"));
    let query: BTreeMap<String, String> = fixed.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(EndpointSpec {
        query: (!query.is_empty()).then_some(query),
        method: Some(method(&declared.route).map_err(|why| ("method", why))?),
        path: Some(format!("/{}", declared.route.path().trim_start_matches('/'))),
        paging: Some(paging),
        shape,
        item,
        ..EndpointSpec::default()
    })
}

fn method(route: &Route) -> Result<Method, String> {
    Ok(match route {
        Route::Get(_) => Method::Get,
        Route::Post(_) => Method::Post,
        Route::Put(_) => Method::Put,
        Route::Patch(_) => Method::Patch,
        Route::Delete(_) => Method::Delete,
        Route::Head(_) => return Err("an answer to HEAD has no body to simulate".to_owned()),
    })
}

fn paging(pages: Option<&Pages>) -> Paging {
    let usual = Paging::default();
    let Some(pages) = pages else { return usual };
    let (style, param) = if pages.offset.is_some() {
        (Style::Offset, pages.offset.clone())
    } else if pages.page.is_some() {
        (Style::Page, pages.page.clone())
    } else if pages.cursor.is_some() {
        (Style::Cursor, pages.cursor.clone())
    } else if pages.next_query.is_some() {
        (Style::Cursor, Some(CONTINUE.to_owned()))
    } else if pages.link.is_some() {
        (Style::Link, None)
    } else {
        (Style::NextUrl, None)
    };
    let by_last_id = style == Style::Cursor && matches!(pages.next, Some(Selector::LastItem(_)));
    // Ids are numbers, which opaque cursors are not.
    let numeric = style == Style::Cursor && pages.numeric == Some(true);
    let max_size = pages.size.as_ref().map_or(usual.max_size, |size| size.max);
    Paging {
        style,
        param,
        size_param: pages.size.as_ref().map(|size| size.param.clone()),
        max_size,
        default_size: usual.default_size.min(max_size),
        first_page: pages.first.unwrap_or(usual.first_page),
        cursors: if by_last_id || numeric { Cursors::LastId } else { Cursors::Opaque },
        link_rel: pages.link.clone().unwrap_or(usual.link_rel),
        ..Paging::default()
    }
}

fn shape(declared: &Endpoint) -> Result<Shape, String> {
    let mut shape = Shape { items: Some(items(declared)?), ..Shape::default() };
    if let Some(pages) = &declared.pages {
        let next = pages.next_url.as_ref().or(pages.next.as_ref());
        (shape.next, shape.next_header) = place(next);
        if let Some(Selector::Body(path)) = &pages.next_query {
            shape.next = Some(format!("{path}.{CONTINUE}"));
        }
        (shape.total, shape.total_header) = place(pages.total.as_ref());
        (shape.has_more, shape.has_more_header) = place(pages.has_more.as_ref());
    }
    // Too complex a path is found here, where the endpoint can still be named or left out.
    Envelope::read(&shape)?;
    Ok(shape)
}

/// In a provider file, a path of names leads to a list or to a single item, whichever stands there.
fn items(declared: &Endpoint) -> Result<String, String> {
    match declared.items.as_ref().map(ToString::to_string) {
        None if declared.pages.is_some() => Err("items: a page without a path of its items is too complex".to_owned()),
        None => Ok("$".to_owned()),
        Some(path) if path.contains("[*]") => Ok(path),
        Some(path) => Ok(format!("{path}[*]")),
    }
}

/// Path and header.
fn place(selector: Option<&Selector>) -> (Option<String>, Option<String>) {
    match selector {
        Some(Selector::Body(path)) => (Some(path.to_string()), None),
        Some(Selector::Header(name)) => (None, Some(name.as_str().to_owned())),
        // The item itself is made to hold it.
        Some(Selector::LastItem(_)) | None => (None, None),
    }
}

/// An item that holds its id wherever the file looks for it.
fn item(declared: &Endpoint) -> Result<Value, String> {
    let key = declared.key.as_ref().map(ToString::to_string);
    let cursor = match declared.pages.as_ref().and_then(|pages| pages.next.as_ref()) {
        Some(Selector::LastItem(path)) => Some(path.to_string()),
        _ => None,
    };
    let mut item = Value::Null;
    for path in [key.clone(), cursor.filter(|path| Some(path) != key.as_ref())].into_iter().flatten() {
        item = Path::read(&path)?.put(item, "{{id}}".into())?;
    }
    if let (Value::Null | Value::Object(_), Value::Object(plain)) = (&item, Template::plain()) {
        let mut own = item.as_object().cloned().unwrap_or_else(Map::new);
        for (name, value) in plain {
            own.entry(name).or_insert(value);
        }
        item = Value::Object(own);
    }
    Ok(item)
}
