//! Templates: text with `{{ expression }}` in it.
//!
//! Expressions are minijinja's (paths, operators, filters, `a if b else c`); there are no statements, so no
//! loops, includes or macros, and no function reaches files, environment or clock. Work is bounded by
//! [`crate::FUEL`], output by [`OUTPUT_MAX_BYTES`]. A template that is one expression keeps its value's type, any
//! other is text. What is undefined or null is an error, never an empty text.

use tidegate_contracts::Primitive;

use crate::expression::{Hole, RenderError, SyntaxError};
use crate::scope::{Root, Scope};

/// Longest text that a template may make, in bytes.
pub const OUTPUT_MAX_BYTES: usize = 64 * 1024;

/// A template, ready to render.
#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Hole(Hole),
}

impl Template {
    /// Reads a template that may see `allowed`.
    pub(crate) fn compile(source: &str, allowed: &[Root]) -> Result<Self, SyntaxError> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some(start) = rest.find("{{").or_else(|| rest.find("{%")) {
            if rest.find("{%").is_some_and(|statement| statement <= start) {
                return Err(SyntaxError::Statement);
            }
            let inner = &rest[start + 2..];
            let end = hole_end(inner).ok_or(SyntaxError::Open)?;
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            pieces.push(Piece::Hole(Hole::of_template(&inner[..end], allowed)?));
            rest = &inner[end + 2..];
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The variables it names.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Root> {
        self.holes().flat_map(|hole| hole.roots.iter().copied())
    }

    /// Names of fields it takes from `root`, as far as they can be told without rendering it.
    pub(crate) fn fields(&self, root: Root) -> Vec<String> {
        self.holes().flat_map(|hole| hole.fields(root)).collect()
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<Primitive, RenderError> {
        match self.pieces.as_slice() {
            [Piece::Hole(hole)] => match hole.eval(scope)? {
                Primitive::Text(text) if text.len() > OUTPUT_MAX_BYTES => Err(RenderError::TooLong),
                value => Ok(value),
            },
            _ => self.render_text(scope).map(Primitive::Text),
        }
    }

    pub(crate) fn render_text(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Hole(hole) => match hole.eval(scope)? {
                    Primitive::Text(piece) => text.push_str(&piece),
                    other => text.push_str(&other.to_string()),
                },
            }
            if text.len() > OUTPUT_MAX_BYTES {
                return Err(RenderError::TooLong);
            }
        }
        Ok(text)
    }

    fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text(_) => None,
        })
    }
}

/// Where the `}}` stands that ends a hole; one inside a text in quotes does not.
fn hole_end(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if inner[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Credential;

    const ALL: &[Root] = &[Root::Item, Root::Config, Root::Credential];

    fn render(source: &str, item: &serde_json::Value) -> Result<Primitive, RenderError> {
        let config = BTreeMap::from([("host".to_owned(), Primitive::from("social.example"))]);
        let credential = Credential::new("alice", [("token".to_owned(), "s3cret".into())]);
        let scope =
            Scope { item: Some(item), config: Some(&config), credential: Some(&credential), ..Scope::default() };
        Template::compile(source, ALL).unwrap().render(&scope)
    }

    #[test]
    fn one_expression_keeps_its_type_and_anything_more_is_text() {
        let item = json!({ "id": 7, "price": 1.5, "on": true, "name": "Ann", "big": 18_446_744_073_709_551_615_u64 });
        let text = |text: &str| Primitive::Text(text.to_owned());
        for (source, value) in [
            ("{{ item.id }}", Primitive::Integer(7)),
            ("{{item.id}}", Primitive::Integer(7)),
            ("{{ item.id + 1 }}", Primitive::Integer(8)),
            ("{{ item.price }}", Primitive::Float(1.5)),
            ("{{ item.price * 2 }}", Primitive::Float(3.0)),
            ("{{ item.on }}", Primitive::Bool(true)),
            ("{{ not item.on }}", Primitive::Bool(false)),
            ("{{ item.name }}", text("Ann")),
            ("{{ item.name | upper }}", text("ANN")),
            ("{{ item['name'] }}", text("Ann")),
            ("{{ item.big }}", text("18446744073709551615")),
            ("{{ item.big + 0 }}", text("18446744073709551615")),
            ("{{ item.gone or 'none' }}", text("none")),
            ("{{ item.gone | default('x') }}", text("x")),
            ("{{ '}}' }}", text("}}")),
            ("id {{ item.id }}", text("id 7")),
            ("{{ item.id }}{{ item.on }}", text("7true")),
            (" {{ item.id }}", text(" 7")),
            ("{{ config.host }}/{{ item.name }}", text("social.example/Ann")),
            ("plain { text }", text("plain { text }")),
            ("", text("")),
        ] {
            assert_eq!(render(source, &item), Ok(value), "{source}");
        }
    }

    #[test]
    fn what_is_no_primitive_is_refused_by_name() {
        let item = json!({ "none": null, "list": [1], "map": {}, "name": "x" });
        let named = |make: fn(String) -> RenderError, name: &str| make(name.to_owned());
        for (source, error) in [
            ("{{ item.none }}", named(RenderError::Null, "item.none")),
            ("a{{ item.none }}", named(RenderError::Null, "item.none")),
            ("{{ item['none'] }}", named(RenderError::Null, "item['none']")),
            ("{{ item.gone }}", named(RenderError::Missing, "item.gone")),
            ("{{ item.gone.more }}", named(RenderError::Missing, "item.gone.more")),
            ("{{ item.name.more }}", named(RenderError::Missing, "item.name.more")),
            ("{{ item['gone'] }}", named(RenderError::Missing, "item['gone']")),
            ("{{ item.list }}", named(RenderError::Compound, "item.list")),
            ("{{ item.map }}", named(RenderError::Compound, "item.map")),
            ("{{ item.list + [2] }}", named(RenderError::Compound, "item.list + [2]")),
            ("{{ credential }}", named(RenderError::Compound, "credential")),
        ] {
            assert_eq!(render(source, &item), Err(error), "{source}");
        }
    }

    #[test]
    fn work_without_end_runs_out_of_fuel() {
        let item = json!({ "name": "x".repeat(1_000), "list": vec![1; 1_000] });
        for source in [
            "{{ 'x' * 1000000000 }}",
            "{{ item.name * 100000 }}",
            "{{ (item.list * 1000) | sort | join(',') }}",
            "{{ item.list | map('string') | join(item.name) * 100 }}",
        ] {
            let begun = std::time::Instant::now();
            assert!(
                matches!(render(source, &item), Err(RenderError::Fuel(_))),
                "{source}: {:?}",
                render(source, &item)
            );
            assert!(begun.elapsed().as_secs() < 2, "{source}");
        }
    }

    #[test]
    fn output_has_a_limit() {
        let of = |length| json!({ "name": "x".repeat(length) });
        assert!(render("{{ item.name }}", &of(OUTPUT_MAX_BYTES)).is_ok());
        for (source, length) in [("a{{ item.name }}", OUTPUT_MAX_BYTES), ("{{ item.name }}", OUTPUT_MAX_BYTES + 1)] {
            assert!(render(source, &of(length)) == Err(RenderError::TooLong), "{source}");
        }
    }

    #[test]
    fn there_are_no_statements_functions_or_foreign_names() {
        for source in [
            "{% for i in item %}{% endfor %}",
            "{% include 'x' %}",
            "a {% if item %}",
            "{{ item",
            "{{ item } }",
            "{{ }}",
            "{{ params.x }}",
            "{{ range(3) }}",
            "{{ debug() }}",
            "{{ env('HOME') }}",
            "{{ item | nosuch }}",
            "{{ item is nosuch }}",
        ] {
            let compiled = Template::compile(source, ALL);
            let refused = compiled.is_err() || render(source, &json!({ "a": 1 })).is_err();
            assert!(refused, "{source}");
        }
    }

    #[test]
    fn an_error_about_a_secret_does_not_show_it() {
        for source in ["{{ credential.token | int }}", "{{ credential.token + 1 }}", "{{ credential.token | nosuch }}"]
        {
            let Err(error) = render(source, &json!({})) else { continue };
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
