//! What a body is, before its JSON is looked at.

use crate::unreadable::Unreadable;

/// How much of a body is searched for HTML's tell-tale tags, in bytes.
const HTML_SEARCH_MAX_BYTES: usize = 1024;

/// The body without byte order mark and white space around it.
pub(crate) fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// Whether the (trimmed) body looks like an HTML page: it has the tag of a whole page near its start, or begins with
/// one that error pages without such a tag begin with.
pub(crate) fn is_html(trimmed: &[u8]) -> bool {
    const ANYWHERE: [&[u8]; 2] = [b"<!doctype html", b"<html"];
    const FIRST: [&[u8]; 7] = [b"<head", b"<body", b"<title", b"<h1", b"<center", b"<div", b"<p>"];
    let start = &trimmed[..trimmed.len().min(HTML_SEARCH_MAX_BYTES)];
    let at = |at: usize, tag: &[u8]| start[at..].get(..tag.len()).is_some_and(|it| it.eq_ignore_ascii_case(tag));
    let mut tags = (0..start.len()).filter(|place| start[*place] == b'<');
    start.first() == Some(&b'<')
        && (FIRST.iter().any(|tag| at(0, tag)) || tags.any(|place| ANYWHERE.iter().any(|tag| at(place, tag))))
}

/// The body as text that may be JSON.
///
/// # Errors
///
/// It is empty, HTML, XML or no UTF-8, so it certainly is none.
pub(crate) fn json_text(body: &[u8]) -> Result<&str, Unreadable> {
    let trimmed = trimmed(body);
    match trimmed.first() {
        None => return Err(Unreadable::Empty),
        Some(b'<') if is_html(trimmed) => return Err(Unreadable::Html),
        Some(b'<') => return Err(Unreadable::Xml),
        Some(_) => {}
    }
    // Positions are those in the whole body, so that a person finds them.
    let before = body.len() - body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().len();
    std::str::from_utf8(trimmed).map_err(|error| Unreadable::NotUtf8 { at: before + error.valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_json_says_what_it_is() {
        let table: [(&[u8], Result<&str, Unreadable>); 14] = [
            (b"", Err(Unreadable::Empty)),
            (b" \r\n\t", Err(Unreadable::Empty)),
            (b"\xef\xbb\xbf", Err(Unreadable::Empty)),
            (b"\xef\xbb\xbf {} ", Ok("{}")),
            (b"<!DOCTYPE html><p>", Err(Unreadable::Html)),
            (b"\n<HTML lang=en>", Err(Unreadable::Html)),
            (b"<!-- x --><html>", Err(Unreadable::Html)),
            (b"<?xml version='1.0'?><Error/>", Err(Unreadable::Xml)),
            (b"<rss><channel><title>x", Err(Unreadable::Xml)),
            (b"<h1>Bad gateway</h1>", Err(Unreadable::Html)),
            (b"<", Err(Unreadable::Xml)),
            (b"{\"a\":\"\xff\"}", Err(Unreadable::NotUtf8 { at: 6 })),
            (b"\xef\xbb\xbf\n{\"\xff\"}", Err(Unreadable::NotUtf8 { at: 6 })),
            (b"oops", Ok("oops")),
        ];
        for (body, text) in table {
            assert_eq!(json_text(body), text, "{}", String::from_utf8_lossy(body));
        }
    }
}
