//! An endpoint, ready to use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tidegate_answer::{Classifier, CountCall, ErrorRule, Newness, Pages, Reader, Since, Slices};
use tidegate_contracts::{PagePointer, Primitive};
use tidegate_pagination::{Kind, Paging};

use crate::access::Access;
use crate::compile::Compiler;
use crate::file::{self, EndpointName, Period, Placement, ProviderFile, Timeouts};
use crate::header::{ENDPOINT_ROOTS, Headers, QueryField};
use crate::limit::Limits;
use crate::path::PathTemplate;
use crate::problem::{FieldPath, choices};

/// One kind of call that the provider answers, ready to use.
#[derive(Debug)]
pub struct Endpoint {
    name: String,
    idempotent: bool,
    deadlines: Deadlines,
    reader: Reader,
    classifier: Arc<Classifier>,
    pages: Option<Pages>,
    count: Option<Count>,
    since: Option<(Since, Newness)>,
    pub(crate) method: Method,
    path: PathTemplate,
    pub(crate) placement: Placement,
    pub(crate) headers: Headers,
    pub(crate) query: Vec<Arc<QueryField>>,
    /// Parameters that a step may give.
    pub(crate) params: BTreeMap<String, Known>,
}

/// The call that tells how many items there are.
#[derive(Debug)]
struct Count {
    path: PathTemplate,
    reader: Reader,
}

/// What is known of a parameter.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) in_path: bool,
    pub(crate) required: bool,
    pub(crate) default: Option<Primitive>,
}

/// Deadlines of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until connected.
    pub connect: Duration,
    /// Until the answer begins.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// For all of it.
    pub total: Duration,
}

impl Deadlines {
    fn of(timeouts: Timeouts) -> Self {
        let or = |said: Option<Period>, secs| said.map_or(Duration::from_secs(secs), Period::get);
        Self {
            connect: or(timeouts.connect, 5),
            first_byte: or(timeouts.first_byte, 30),
            idle: or(timeouts.idle, 30),
            total: or(timeouts.total, 120),
        }
    }
}

impl Endpoint {
    /// Its name in the provider file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// May be sent again when it is not known whether it arrived.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Deadlines of its requests.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Reads its pages.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads the answer for a pointer: a page, or how many items there are.
    #[must_use]
    pub fn reader_of(&self, pointer: &PagePointer) -> &Reader {
        match (&self.count, pointer.place()) {
            (Some(count), PagePointer::Count) => &count.reader,
            _ => &self.reader,
        }
    }

    /// The path that a pointer is asked for at.
    pub(crate) fn path_of(&self, pointer: &PagePointer) -> &PathTemplate {
        match (&self.count, pointer.place()) {
            (Some(count), PagePointer::Count) => &count.path,
            _ => &self.path,
        }
    }

    /// The range that it is read in slices of.
    pub(crate) fn slices(&self) -> Option<&Slices> {
        self.pages.as_ref()?.slices.as_ref()
    }

    /// Tells what is new on its pages.
    #[must_use]
    pub fn newness(&self) -> Option<&Newness> {
        self.since.as_ref().map(|(_, newness)| newness)
    }

    /// What is declared of what is new.
    pub(crate) fn since(&self) -> Option<&Since> {
        self.since.as_ref().map(|(since, _)| since)
    }

    /// Tells its pages from failures.
    #[must_use]
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// How it pages.
    #[must_use]
    pub fn paging(&self) -> Paging {
        self.pages.as_ref().map_or_else(|| Paging::new(Kind::Single), Pages::paging)
    }

    /// Items that each of its pages is asked for; 0 where the provider decides.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.pages.as_ref().and_then(|pages| pages.size.as_ref()).map_or(0, |size| size.max)
    }

    /// Cursors in its JSON bodies are numbers.
    pub(crate) fn cursor_is_number(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.numeric == Some(true))
    }

    /// The parameters that ask for a page.
    pub(crate) fn page_query(&self, pointer: &PagePointer) -> Vec<(String, String)> {
        self.pages.as_ref().map(|pages| pages.query(pointer)).unwrap_or_default()
    }
}

/// Compiles endpoints of one provider.
pub(crate) struct Endpoints<'a> {
    provider: &'a ProviderFile,
    access: &'a Access,
    limits: &'a Limits,
    /// The provider's own rules, for all endpoints that have none.
    classifier: Arc<Classifier>,
}

impl<'a> Endpoints<'a> {
    /// Reads what all endpoints share.
    pub(crate) fn new(
        provider: &'a ProviderFile,
        access: &'a Access,
        limits: &'a Limits,
        compiler: &mut Compiler<'_>,
    ) -> Self {
        let endpoints =
            Self { provider, access, limits, classifier: Arc::new(Classifier::new(&provider.errors, None)) };
        endpoints.check_rules(&provider.errors, &FieldPath::root().key("errors"), compiler);
        endpoints
    }

    /// `None` when something in it is wrong.
    pub(crate) fn compile(&self, name: &EndpointName, compiler: &mut Compiler<'_>) -> Option<Endpoint> {
        let declared = self.provider.endpoints.get(name)?;
        let at = FieldPath::root().key("endpoints").key(name.as_str());
        let path = compiler.take(&at.key(declared.route.key()), PathTemplate::parse(declared.route.path()));
        let mut headers = self.access.headers.clone();
        headers.add(&declared.headers, ENDPOINT_ROOTS, &at.key("headers"), compiler);
        headers.append(&self.access.auth);
        let query = self.query(declared, &at, compiler);
        if let Some(pages) = &declared.pages {
            for problem in pages.check() {
                let field = below(&at.key("pages"), problem.field);
                compiler.add(&field, format!("expected {}", problem.expected));
            }
        }
        self.check_rules(&declared.errors, &at.key("errors"), compiler);
        let path = path?;
        let params = params(declared, &path, &at, compiler);
        let count = declared.pages.as_ref().and_then(|pages| pages.count.as_ref());
        let count = count.and_then(|count| compile_count(count, &params, &at.key("pages").key("count"), compiler));
        if let Some(slices) = declared.pages.as_ref().and_then(|pages| pages.slices.as_ref()) {
            check_slices(slices, declared, &params, &at.key("pages"), compiler);
        }
        if let Some(since) = &declared.since {
            check_since(since, declared, &at.key("since"), compiler);
        }
        let method = declared.route.method();
        let is_safe = matches!(method, Method::GET | Method::HEAD);
        if is_safe && declared.send != Placement::Query {
            compiler.add(&at.key("send"), format!("expected query; {method} has no body"));
        }
        Some(Endpoint {
            name: name.to_string(),
            idempotent: declared.idempotent.unwrap_or(is_safe),
            deadlines: Deadlines::of(declared.timeouts.or(self.provider.timeouts)),
            reader: Reader::new(declared.items.as_ref(), declared.key.as_ref(), declared.pages.as_ref())
                .or_blank(&declared.no_items),
            classifier: self.classifier(declared, compiler.complete),
            pages: declared.pages.clone(),
            count,
            since: declared.since.clone().map(|since| (since.clone(), Newness::new(&since))),
            method,
            path,
            placement: declared.send,
            headers,
            query,
            params,
        })
    }

    fn query(&self, declared: &file::Endpoint, at: &FieldPath, compiler: &mut Compiler<'_>) -> Vec<Arc<QueryField>> {
        let own: Vec<_> = declared
            .query
            .iter()
            .filter_map(|(name, source)| {
                let field = at.key("query").key(name);
                if declared.params.names().any(|param| param == name) {
                    compiler.add(&field, format!("expected {name} under query or under params, found it under both"));
                }
                QueryField::compile((name, source), ENDPOINT_ROOTS, &field, compiler).map(Arc::new)
            })
            .collect();
        let inherited = self.access.query.iter().filter(|field| !declared.query.contains_key(&field.name));
        inherited.map(Arc::clone).chain(own.iter().map(Arc::clone)).collect()
    }

    fn check_rules(&self, rules: &[ErrorRule], at: &FieldPath, compiler: &mut Compiler<'_>) {
        // Limits of a file that extends another, or is there to be extended, may stand in the other.
        let whole = self.provider.extends.is_none() && !self.provider.endpoints.is_empty();
        for (index, rule) in rules.iter().enumerate() {
            let at = at.index(index);
            for problem in rule.check() {
                compiler.add(&below(&at, problem.field), format!("expected {}", problem.expected));
            }
            let unknown = rule.scope.as_deref().filter(|scope| whole && !self.limits.ids().any(|id| id == *scope));
            if let Some(scope) = unknown {
                let known = choices(scope, self.limits.ids());
                compiler.add(&at.key("scope"), format!("unknown limit {scope}; expected {known}"));
            }
        }
    }

    /// `in_use`: there is a job that calls it. Without, the rules have been checked, and that is all.
    fn classifier(&self, declared: &file::Endpoint, in_use: bool) -> Arc<Classifier> {
        if !in_use || (declared.errors.is_empty() && declared.success.is_none()) {
            return Arc::clone(&self.classifier);
        }
        let rules: Vec<ErrorRule> = declared.errors.iter().chain(&self.provider.errors).cloned().collect();
        Arc::new(Classifier::new(&rules, declared.success.as_ref()))
    }
}

/// Placeholders of the path, and what is declared besides.
fn params(
    declared: &file::Endpoint,
    path: &PathTemplate,
    at: &FieldPath,
    compiler: &mut Compiler<'_>,
) -> BTreeMap<String, Known> {
    let mut params: BTreeMap<String, Known> =
        declared.params.names().map(|name| (name.to_owned(), Known::default())).collect();
    for (name, details) in declared.params.details() {
        let default = details.default.clone();
        params.insert(
            name.to_owned(),
            Known { required: details.required && default.is_none(), default, in_path: false },
        );
    }
    for name in path.params() {
        let known = params.entry(name.to_owned()).or_default();
        known.in_path = true;
        known.required = known.default.is_none();
    }
    if let Some(name) = params.keys().find(|name| name.trim().is_empty()) {
        compiler.add(&at.key("params"), format!("expected names of parameters, found {name:?}"));
    }
    params
}

fn compile_count(
    count: &CountCall,
    params: &BTreeMap<String, Known>,
    at: &FieldPath,
    compiler: &mut Compiler<'_>,
) -> Option<Count> {
    let path = compiler.take(&at.key("path"), PathTemplate::parse(&count.path))?;
    for name in path.params().filter(|name| !params.contains_key(*name)) {
        let known = choices(name, params.keys().map(String::as_str));
        compiler.add(&at.key("path"), format!("unknown parameter {name}; expected {known}"));
    }
    Some(Count { path, reader: Reader::of_count(&count.total) })
}

/// Bounds are parameters; and where no page tells the total, what is split comes again and is known by its key.
fn check_slices(
    slices: &Slices,
    declared: &file::Endpoint,
    params: &BTreeMap<String, Known>,
    at: &FieldPath,
    compiler: &mut Compiler<'_>,
) {
    for (field, name) in [("from", &slices.from), ("until", &slices.until)] {
        if !params.contains_key(name) {
            let known = choices(name, params.keys().map(String::as_str));
            compiler.add(&at.key("slices").key(field), format!("unknown parameter {name}; expected {known}"));
        }
    }
    if declared.key.is_none() && declared.pages.as_ref().is_some_and(|pages| pages.total.is_none()) {
        compiler.add(&at.key("total"), "expected a total, or a key of the endpoint's items, needed with slices");
    }
}

/// A range has an order and bounds of its own; and what asks for a page can't ask for what is new as well.
fn check_since(since: &Since, declared: &file::Endpoint, at: &FieldPath, compiler: &mut Compiler<'_>) {
    if declared.pages.as_ref().is_some_and(|pages| pages.slices.is_some()) {
        compiler.add(at, "expected none, since its pages are read in slices");
    }
    let Some(param) = &since.param else { return };
    if param.trim().is_empty() {
        compiler.add(&at.key("param"), format!("expected the name of a parameter, found {param:?}"));
    }
    if declared.query.contains_key(param) {
        compiler.add(&at.key("param"), format!("expected {param} under query or here, found it in both"));
    }
}

/// `size.max` below a path.
fn below(at: &FieldPath, field: &str) -> FieldPath {
    field.split('.').filter(|name| !name.is_empty()).fold(at.clone(), |path, name| path.key(name))
}
