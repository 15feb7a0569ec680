//! Specs as tests write them: what a list has, in the words one would say it in.

use serde_json::Value;

use crate::{
    Aligned, Bucket, By, Cursors, Each, EndpointSpec, Faults, Items, Latency, LimitHeaders, LimitSpec, Method, Paging,
    Period, Quota, Range, Shape, SimulatorSpec, Sliding, Style, TokensSpec, Whose, Window,
};

impl SimulatorSpec {
    /// Nothing yet, with this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// With an endpoint of this name.
    #[must_use]
    pub fn with(mut self, name: &str, endpoint: EndpointSpec) -> Self {
        self.endpoints.insert(name.to_owned(), endpoint);
        self
    }

    /// Every answer takes as long.
    #[must_use]
    pub fn latency_ms(mut self, ms: u64) -> Self {
        self.latency = Some(Latency::Fixed(Period::from_ms(ms)));
        self
    }

    /// Only calls with this token are let in.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// With a token endpoint, whose tokens alone are let in.
    #[must_use]
    pub fn tokens(mut self, tokens: TokensSpec) -> Self {
        self.tokens = Some(TokensSpec { only: true, ..tokens });
        self
    }

    /// With a limit that all endpoints share.
    #[must_use]
    pub fn limit(mut self, limit: LimitSpec) -> Self {
        self.limits.get_or_insert_default().push(limit);
        self
    }
}

impl EndpointSpec {
    /// A list at `path`, unpaged until told otherwise, its items at `$.items[*]`.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..Self::default() }
    }

    /// Called by `method`.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Lists so many items, for each parent if there are parents.
    #[must_use]
    pub fn items(mut self, count: u64) -> Self {
        self.items = Some(Items::Count(count));
        self
    }

    /// Lists from `min` to `max` items, drawn for each parent.
    #[must_use]
    pub fn items_between(mut self, min: u64, max: u64) -> Self {
        self.items = Some(Items::Between(crate::Between { min, max }));
        self
    }

    /// Items look like this; see [`EndpointSpec::item`].
    #[must_use]
    pub fn item(mut self, item: Value) -> Self {
        self.item = Some(item);
        self
    }

    /// Pages by number of items before the page, in the parameter `param`.
    #[must_use]
    pub fn offset(self, param: &str) -> Self {
        self.style(Style::Offset, param)
    }

    /// Pages by page number from `first`, in the parameter `param`.
    #[must_use]
    pub fn page_number(mut self, param: &str, first: u64) -> Self {
        self = self.style(Style::Page, param);
        self.paging_mut().first_page = first;
        self
    }

    /// Pages by a cursor at `next` in the body, given back in the parameter `param`.
    #[must_use]
    pub fn cursor(mut self, param: &str, next: &str) -> Self {
        self = self.style(Style::Cursor, param);
        self.shape_mut().next = Some(next.to_owned());
        self
    }

    /// Pages by the id of the last item, given back in the parameter `param`; the body does not name a next page.
    #[must_use]
    pub fn last_id(mut self, param: &str) -> Self {
        self = self.style(Style::Cursor, param);
        self.paging_mut().cursors = Cursors::LastId;
        self
    }

    /// The same, and each page begins with the item that ended the one before.
    #[must_use]
    pub fn last_id_again(mut self, param: &str) -> Self {
        self = self.last_id(param);
        self.paging_mut().cursors = Cursors::LastIdAgain;
        self
    }

    /// Calls ask for a part of a range: items made from `from` until `until`, `per_second` of them in each second of 1970,
    /// of which `reach` can be reached.
    #[must_use]
    pub fn range(mut self, (from, until): (&str, &str), per_second: u64, reach: u64) -> Self {
        self.range = Some(Range { from: from.to_owned(), until: until.to_owned(), per_second, reach: Some(reach) });
        self
    }

    /// Pages by an address in the `Link` header.
    #[must_use]
    pub fn link(self) -> Self {
        self.style(Style::Link, "cursor")
    }

    /// Pages by an address at `next` in the body.
    #[must_use]
    pub fn next_url(mut self, next: &str) -> Self {
        self = self.style(Style::NextUrl, "cursor");
        self.shape_mut().next = Some(next.to_owned());
        self
    }

    /// A call asks for so many items in the parameter `param`, and gets at most `max`.
    #[must_use]
    pub fn size(mut self, param: &str, max: u32) -> Self {
        let paging = self.paging_mut();
        paging.size_param = Some(param.to_owned());
        paging.max_size = max;
        paging.default_size = paging.default_size.min(max);
        self
    }

    /// Items stand at `path`, such as `$.data.users[*]`.
    #[must_use]
    pub fn items_at(mut self, path: &str) -> Self {
        self.shape_mut().items = Some(path.to_owned());
        self
    }

    /// Tells the size of the list at `path` of the body.
    #[must_use]
    pub fn total_in_body(mut self, path: &str) -> Self {
        self.shape_mut().total = Some(path.to_owned());
        self
    }

    /// Tells the size of the list in the header `name`.
    #[must_use]
    pub fn total_in_header(mut self, name: &str) -> Self {
        self.shape_mut().total_header = Some(name.to_owned());
        self
    }

    /// Tells whether there are more at `path` of the body.
    #[must_use]
    pub fn has_more_in_body(mut self, path: &str) -> Self {
        self.shape_mut().has_more = Some(path.to_owned());
        self
    }

    /// With a limit of its own.
    #[must_use]
    pub fn limit(mut self, limit: LimitSpec) -> Self {
        self.limits.get_or_insert_default().push(limit);
        self
    }

    /// This goes wrong.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    fn style(mut self, style: Style, param: &str) -> Self {
        let paging = self.paging_mut();
        paging.style = style;
        paging.param = Some(param.to_owned());
        self
    }

    fn paging_mut(&mut self) -> &mut Paging {
        self.paging.get_or_insert_default()
    }

    fn shape_mut(&mut self) -> &mut Shape {
        self.shape.get_or_insert_default()
    }
}

impl LimitSpec {
    /// `calls` in each fixed window of `per_ms`, from the first call on, for each token.
    #[must_use]
    pub fn window(calls: u64, per_ms: u64) -> Self {
        let window = Window { calls, per: Period::from_ms(per_ms), aligned: Aligned::FirstCall };
        Self { window: Some(window), ..Self::default() }
    }

    /// `calls` in each period of the calendar in `zone`, for each token.
    #[must_use]
    pub fn quota(calls: u64, per: Each, zone: &str) -> Self {
        Self { quota: Some(Quota { calls, per, zone: zone.to_owned() }), ..Self::default() }
    }

    /// `calls` in any span of `per_ms`, for each token.
    #[must_use]
    pub fn sliding(calls: u64, per_ms: u64) -> Self {
        Self { sliding: Some(Sliding { calls, per: Period::from_ms(per_ms) }), ..Self::default() }
    }

    /// A bucket of `capacity` calls, of which `refill_per_s` come back each second, for each token.
    #[must_use]
    pub fn bucket(capacity: u64, refill_per_s: f64) -> Self {
        Self { bucket: Some(Bucket { capacity, refill_per_s }), ..Self::default() }
    }

    /// `calls` at once, for each token.
    #[must_use]
    pub fn concurrency(calls: u64) -> Self {
        Self { concurrency: Some(calls), headers: LimitHeaders::NONE, ..Self::default() }
    }

    /// Windows start at multiples of their length since 1970.
    #[must_use]
    pub fn aligned_to_epoch(mut self) -> Self {
        if let Some(window) = &mut self.window {
            window.aligned = Aligned::Epoch;
        }
        self
    }

    /// Called so in statistics.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Counts apart calls that differ in any of these.
    #[must_use]
    pub fn by(mut self, by: &[By]) -> Self {
        self.by = Whose::Each(by.to_vec());
        self
    }

    /// Spoken of by these headers.
    #[must_use]
    pub fn headers(mut self, headers: LimitHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Nothing in an answer speaks of it: no header, and no `Retry-After` with a refusal.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.headers = LimitHeaders::NONE;
        self.retry_after = false;
        self
    }
}
