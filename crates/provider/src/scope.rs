//! What a template may see.

use std::collections::BTreeMap;

use minijinja::Value as JinjaValue;
use minijinja::value::Serde;
use secrecy::ExposeSecret;
use serde_json::Value;
use tidegate_contracts::{Params, Primitive};

use crate::Credential;

/// A name that templates begin with: `item` in `{{ item.id }}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The item that a `for_each` step is done for.
    Item,
    /// Parameters of the fetch that the item came from.
    Parent,
    /// What the job or the provider file configures.
    Config,
    /// The fields of the credential.
    Credential,
    /// Parameters of the call.
    Params,
    /// The call: `page` from 1, `endpoint`, `size` (items asked for).
    Call,
}

impl Root {
    /// The name in templates.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Parent => "parent",
            Self::Config => "config",
            Self::Credential => "credential",
            Self::Params => "params",
            Self::Call => "call",
        }
    }
}

/// The call, as limits' expressions see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallFacts<'a> {
    /// From 1.
    pub(crate) page: u32,
    pub(crate) endpoint: &'a str,
    /// Items asked for; 0 where the provider decides.
    pub(crate) size: u32,
}

/// What a template may see, this time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) item: Option<&'a Value>,
    pub(crate) parent: Option<&'a Params>,
    pub(crate) config: Option<&'a BTreeMap<String, Primitive>>,
    pub(crate) credential: Option<&'a Credential>,
    pub(crate) params: Option<&'a Params>,
    pub(crate) call: Option<CallFacts<'a>>,
}

/// What a path leads to.
pub(crate) enum Found {
    Value(Primitive),
    Null,
    /// A list or map.
    Compound,
    Nothing,
}

impl<'a> Scope<'a> {
    /// Follows `path` below `root`, without building anything.
    pub(crate) fn find(&self, root: Root, path: &[String]) -> Found {
        let primitive = |value: Option<&Primitive>| value.cloned().map_or(Found::Nothing, Found::Value);
        match (root, path) {
            (Root::Item, path) => self.item.map_or(Found::Nothing, |item| find_json(item, path)),
            (Root::Parent, [name]) => primitive(self.parent.and_then(|params| params.get(name))),
            (Root::Params, [name]) => primitive(self.params.and_then(|params| params.get(name))),
            (Root::Config, [name]) => primitive(self.config.and_then(|config| config.get(name))),
            (Root::Credential, [name]) => match self.credential.and_then(|credential| credential.field(name)) {
                Some(secret) => Found::Value(Primitive::Text(secret.expose_secret().to_owned())),
                None => Found::Nothing,
            },
            (Root::Call, [name]) => match (self.call, name.as_str()) {
                (Some(call), "page") => Found::Value(Primitive::Integer(call.page.into())),
                (Some(call), "size") => Found::Value(Primitive::Integer(call.size.into())),
                (Some(call), "endpoint") => Found::Value(Primitive::Text(call.endpoint.to_owned())),
                _ => Found::Nothing,
            },
            (_, []) => Found::Compound,
            _ => Found::Nothing,
        }
    }

    /// The same for an expression that is more than a path: only the roots it names are built.
    pub(crate) fn to_jinja(self, roots: &[Root]) -> JinjaValue {
        JinjaValue::from_pairs(roots.iter().map(|root| (root.name(), self.root(*root))))
    }

    fn root(&self, root: Root) -> JinjaValue {
        let undefined = JinjaValue::UNDEFINED;
        match root {
            Root::Item => self.item.map_or(undefined, from_serde),
            Root::Parent => self.parent.map_or(undefined, from_serde),
            Root::Params => self.params.map_or(undefined, from_serde),
            Root::Config => self.config.map_or(undefined, from_serde),
            Root::Credential => self.credential.map_or(undefined, |credential| {
                JinjaValue::from_pairs(credential.fields().map(|(name, secret)| (name, secret.expose_secret())))
            }),
            Root::Call => self.call.map_or(undefined, |call| {
                let page = ("page", JinjaValue::from(call.page));
                let endpoint = ("endpoint", JinjaValue::from(call.endpoint));
                JinjaValue::from_pairs([page, endpoint, ("size", JinjaValue::from(call.size))])
            }),
        }
    }
}

fn from_serde(value: impl serde::Serialize) -> JinjaValue {
    JinjaValue::from(Serde(value))
}

fn find_json(item: &Value, path: &[String]) -> Found {
    let mut value = item;
    for name in path {
        match value.get(name) {
            Some(inner) => value = inner,
            None => return Found::Nothing,
        }
    }
    match value {
        Value::Null => Found::Null,
        Value::Bool(value) => Found::Value(Primitive::Bool(*value)),
        Value::String(value) => Found::Value(Primitive::Text(value.clone())),
        Value::Number(value) => Found::Value(match (value.as_i64(), value.is_f64(), value.as_f64()) {
            (Some(whole), ..) => Primitive::Integer(whole),
            (None, true, Some(float)) => Primitive::Float(float),
            // Above what an integer holds; as text it loses nothing.
            _ => Primitive::Text(value.to_string()),
        }),
        Value::Array(_) | Value::Object(_) => Found::Compound,
    }
}
