//! The `Link` header (RFC 8288).

use std::borrow::Cow;

use http::HeaderMap;
use http::header::LINK;

/// The target of the first link with the relation `rel`, as it was written.
///
/// Read as by RFC 8288, appendix B.2: several headers, several links in one, quoted or bare parameters, several
/// relations in one `rel`; names and relations in any case. Of a parameter that is there twice the first counts. A
/// link with an `anchor` speaks of another resource than the one that was asked for, and is passed over.
pub(crate) fn target(headers: &HeaderMap, rel: &str) -> Option<String> {
    headers.get_all(LINK).iter().find_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut rest = Rest(&value);
        std::iter::from_fn(|| rest.link()).find(|link| link.has(rel)).map(|link| link.target.to_owned())
    })
}

#[derive(Debug, Default)]
struct Link<'a> {
    target: &'a str,
    rel: Option<Cow<'a, str>>,
    anchored: bool,
}

impl Link<'_> {
    fn has(&self, rel: &str) -> bool {
        let mut relations = self.rel.as_deref().unwrap_or_default().split_ascii_whitespace();
        !self.anchored && relations.any(|one| one.eq_ignore_ascii_case(rel))
    }
}

/// What is still to be read of a header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The next link; none where the header ends or is no longer understood.
    fn link(&mut self) -> Option<Link<'a>> {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        let (target, rest) = self.0.strip_prefix('<')?.split_once('>')?;
        self.0 = rest;
        let mut link = Link { target: target.trim(), ..Link::default() };
        while self.eat(';') {
            let (name, value) = self.parameter();
            if name.eq_ignore_ascii_case("rel") && link.rel.is_none() {
                link.rel = Some(value);
            } else if name.eq_ignore_ascii_case("anchor") {
                link.anchored = true;
            }
        }
        Some(link)
    }

    fn parameter(&mut self) -> (&'a str, Cow<'a, str>) {
        self.skip_space();
        let name = self.until(&['=', ';', ',', ' ', '\t']);
        if !self.eat('=') {
            return (name, Cow::Borrowed(""));
        }
        self.skip_space();
        match self.0.strip_prefix('"') {
            Some(rest) => {
                self.0 = rest;
                (name, self.quoted())
            }
            None => (name, Cow::Borrowed(self.until(&[';', ',', ' ', '\t']))),
        }
    }

    /// A quoted text whose opening quote is behind; up to the header's end if it is never closed.
    fn quoted(&mut self) -> Cow<'a, str> {
        let mut escaped = false;
        let end = self.0.find(|one| {
            let ends = one == '"' && !escaped;
            escaped = one == '\\' && !escaped;
            ends
        });
        let (inner, rest) = end.map_or((self.0, ""), |at| (&self.0[..at], &self.0[at + 1..]));
        self.0 = rest;
        if inner.contains('\\') { Cow::Owned(unescaped(inner)) } else { Cow::Borrowed(inner) }
    }

    fn eat(&mut self, one: char) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(one);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn until(&mut self, ends: &[char]) -> &'a str {
        let (before, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        before
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}

fn unescaped(inner: &str) -> String {
    let mut escaped = false;
    inner
        .chars()
        .filter(|one| {
            escaped = *one == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn next_of(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_bytes(value).unwrap());
        }
        target(&headers, "next")
    }

    #[test]
    fn a_link_is_found_however_the_header_is_written() {
        let found: &[&str] = &[
            r#"</n>; rel="next""#,
            r#"</n>;rel=next"#,
            r#"</n> ; rel = "next""#,
            r#"  </n>; REL="NEXT""#,
            r#"</n>; rel="prev next last""#,
            r#"</n>; rel=" next	last ""#,
            r#"</n>; title="a, <b>; rel=\"prev\""; rel="next""#,
            r#"</n>; title*=UTF-8''n%c3%a4chste; rel=next"#,
            r#"</n>; rel="next"; rel="prev""#,
            r#"</n>;; rel="next";"#,
            r#"</n>; crossorigin; rel="next""#,
            r#"</n>; rel="ne\xt""#,
            r#"</n>; rel="next"#,
            r#"</p>; rel="prev", </n>; rel="next", </x>; rel="next""#,
            r#"</p>; rel="prev",</n>; rel="next""#,
            r#", , </p>; rel=prev , ,, </n>; rel=next"#,
            r#"</p>; rel="prev"; title="x,y", </n>; rel="next""#,
            r#"< /n >; rel="next""#,
            r#"</p>, </n>; rel=next"#,
            r#"</c>; rel="next"; anchor="/other", </n>; rel="next""#,
        ];
        for value in found {
            assert_eq!(next_of(&[value.as_bytes()]).as_deref(), Some("/n"), "{value}");
        }
    }

    #[test]
    fn what_only_looks_like_the_link_is_not_taken() {
        let not: &[&str] = &[
            "",
            ",",
            "/n; rel=next",
            r#"</n; rel="next""#,
            r#"</n>; rel="prev"; rel="next""#,
            r#"</n>; rel="nextish""#,
            r#"</n>; rel="prev,next""#,
            r#"</n>; title="rel=next""#,
            r#"</n>; rev="next""#,
            r#"</n>; rel"#,
            r#"</n>"#,
            r#"garbage, </n>; rel="next""#,
        ];
        for value in not {
            assert_eq!(next_of(&[value.as_bytes()]), None, "{value}");
        }
    }

    #[test]
    fn targets_keep_their_commas_and_semicolons() {
        let value = br#"<https://api.example/x?ids=1,2;v=3&q="a">; rel="next""#;
        assert_eq!(next_of(&[value]).unwrap(), r#"https://api.example/x?ids=1,2;v=3&q="a""#);
    }

    #[test]
    fn several_headers_are_read_in_their_order() {
        assert_eq!(next_of(&[b"</p>; rel=prev", b"</n>; rel=next", b"</x>; rel=next"]).as_deref(), Some("/n"));
        assert_eq!(next_of(&[b"<broken", b"</n>; rel=next"]).as_deref(), Some("/n"));
        assert_eq!(next_of(&[b"</\xe4>; rel=prev, </n>; rel=next"]).as_deref(), Some("/n"), "bytes that are no UTF-8");
    }

    proptest! {
        #[test]
        fn any_header_ends(value in proptest::collection::vec(prop_oneof![
            proptest::sample::select(&b"<>;,=\"\\ \tnrel"[..]), 0x80_u8..,
        ], 0..40)) {
            next_of(&[&value]);
        }

        #[test]
        fn every_written_link_is_read_back(target in "[a-z/?=,;&]{1,20}", others in "[a-z]{0,5}( [a-z]{1,5}){0,2}") {
            let value = format!("<{target}>; title=\"{others}\"; rel=\"{others} next\"");
            prop_assert_eq!(next_of(&[value.as_bytes()]), Some(target));
        }
    }
}
