//! The endpoints that a limit applies to, and whether what it says fits them.

use std::collections::BTreeSet;

use crate::compile::Compiler;
use crate::expression::Hole;
use crate::file::{self, EndpointName, Limit, ProviderFile};
use crate::path::PathTemplate;
use crate::problem::{FieldPath, choices};
use crate::scope::Root;

/// Fields of `call`.
const CALL_FIELDS: [&str; 3] = ["page", "endpoint", "size"];
/// The endpoints that a limit applies to, to check what is said of them.
pub(super) struct Reach<'a> {
    endpoints: Vec<(&'a EndpointName, &'a file::Endpoint)>,
}

impl<'a> Reach<'a> {
    pub(super) fn of(limit: &Limit, provider: &'a ProviderFile, at: &FieldPath, compiler: &mut Compiler<'_>) -> Self {
        let known = || provider.endpoints.keys().map(EndpointName::as_str);
        for (index, pattern) in limit.endpoints.iter().enumerate() {
            if !provider.endpoints.is_empty() && !known().any(|name| glob(pattern, name)) {
                let known = choices(pattern, known());
                compiler
                    .add(&at.key("endpoints").index(index), format!("unknown endpoint {pattern}; expected {known}"));
            }
        }
        let within = |name: &EndpointName| {
            limit.endpoints.is_empty() || limit.endpoints.iter().any(|pattern| glob(pattern, name.as_str()))
        };
        Self { endpoints: provider.endpoints.iter().filter(|(name, _)| within(name)).collect() }
    }

    /// A parameter has to be one of an endpoint in reach; a file without endpoints can't tell.
    pub(super) fn check_param(&self, name: &str, field: &FieldPath, compiler: &mut Compiler<'_>) {
        let names = |endpoint: &file::Endpoint| -> Vec<String> {
            let placed = PathTemplate::parse(endpoint.route.path()).ok();
            let placed = placed.iter().flat_map(PathTemplate::params).map(str::to_owned).collect::<Vec<_>>();
            placed.into_iter().chain(endpoint.params.names().map(str::to_owned)).collect()
        };
        let known: BTreeSet<String> = self.endpoints.iter().flat_map(|(_, endpoint)| names(endpoint)).collect();
        if !self.endpoints.is_empty() && !known.contains(name) {
            let known = choices(name, known.iter().map(String::as_str));
            compiler.add(field, format!("unknown parameter {name}; expected {known}"));
        }
    }

    pub(super) fn check_expression(&self, hole: &Hole, field: &FieldPath, compiler: &mut Compiler<'_>) {
        for name in hole.fields(Root::Call).iter().filter(|name| !CALL_FIELDS.contains(&name.as_str())) {
            compiler.add(field, format!("unknown call.{name}; expected {}", choices(name, CALL_FIELDS)));
        }
        for name in hole.fields(Root::Params) {
            self.check_param(&name, field, compiler);
        }
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_suffix(tail) else { return false };
    // Each piece at its first place leaves the most for those after it.
    middle.split('*').try_fold(text, |text, piece| text.find(piece).map(|at| &text[at + piece.len()..])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b", true),
            ("a.*", "a.", true),
            ("a.*", "b.a", false),
            ("*.list", "users.list", true),
            ("*", "anything", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} on {text}");
        }
    }
}
