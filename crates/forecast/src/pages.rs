//! How many pages and items a fetch of a step has.

use tidegate_contracts::{NewPages, PageFacts, PagePointer};
use tidegate_pagination::{Kind, Paging, advance, begin};
use tidegate_provider::{Spec, Step};

use crate::{Amount, Assumed, Basis};

/// A fetch of a step.
pub(crate) struct Shape {
    pub(crate) pages: Amount,
    pub(crate) items: Amount,
    /// Pages of which each can only be asked for when the one before is there.
    pub(crate) in_a_row: u64,
    /// Where the numbers are from.
    pub(crate) basis: String,
}

pub(crate) fn shape(spec: &Spec, step: &Step, basis: &Basis) -> Shape {
    let paging = step.paging();
    let of = Of { spec, step, paging: &paging };
    let (pages, items, told) = match (basis.probed.get(step.id()), basis.assumptions.of(step.id())) {
        (Some(probed), assumed) => of.probed(&probed.facts, assumed),
        (None, Some(assumed)) => of.assumed(assumed),
        (None, None) if paging.kind == Kind::Single => (Amount::exact(1), Amount::at_least(0), of.nothing("one call")),
        (None, None) => (Amount::at_least(1), Amount::at_least(0), of.nothing("length not known")),
    };
    let pages = pages.at_most(paging.max_pages.into());
    let in_a_row = match paging.kind {
        Kind::Chain => pages.n,
        _ => pages.n.min(2),
    };
    Shape { pages, items, in_a_row, basis: told }
}

struct Of<'a> {
    spec: &'a Spec,
    step: &'a Step,
    paging: &'a Paging,
}

impl Of<'_> {
    /// What can be done about it, where the number of items matters.
    fn nothing(&self, said: &str) -> String {
        let id = self.step.id();
        let has_children = self.spec.children(id).next().is_some();
        let wanted = has_children || self.paging.kind != Kind::Single;
        if wanted { format!("{said}; --probe or --assume {id}=ITEMS") } else { said.to_owned() }
    }

    fn assumed(&self, assumed: Assumed) -> (Amount, Amount, String) {
        match assumed {
            Assumed::Items(items) => {
                let (pages, size) = self.pages_for(items);
                let each = size.map(|size| format!(" at {size} a page")).unwrap_or_default();
                (pages, Amount::estimated(items), format!("assumed: {items} items{each}"))
            }
            Assumed::Pages(pages) => {
                let items = match self.size() {
                    Some(size) => Amount::estimated(pages.saturating_mul(size)),
                    None => Amount::at_least(0),
                };
                let told = format!("assumed: {pages} pages");
                if self.paging.kind == Kind::Single {
                    return (Amount::exact(1), Amount::at_least(0), "one call".to_owned());
                }
                (Amount::estimated(pages.max(1)), items, told)
            }
        }
    }

    /// Items on a page, if that is declared.
    fn size(&self) -> Option<u64> {
        let size = match self.paging.kind {
            Kind::Single => 0,
            Kind::Offset { size } | Kind::Number { size, .. } => size,
            Kind::Chain => self.step.endpoint().page_size(),
        };
        (size > 0).then_some(u64::from(size))
    }

    fn pages_for(&self, items: u64) -> (Amount, Option<u64>) {
        if self.paging.kind == Kind::Single {
            return (Amount::exact(1), None);
        }
        let Some(size) = self.size() else { return (Amount::at_least(1), None) };
        let pages = items.div_ceil(size).max(1);
        (Amount::estimated(pages.saturating_add(self.waste())), Some(size))
    }

    /// Blank pages at the end of strides, where nothing tells how long the list is.
    fn waste(&self) -> u64 {
        if self.paging.kind == Kind::Chain {
            return 0;
        }
        let name = self.step.endpoint().name();
        let declared = self.spec.provider().endpoints.get(name).and_then(|endpoint| endpoint.pages.as_ref());
        let strides = u64::from(self.paging.parallel.max(1));
        match declared {
            Some(pages) if pages.total.is_some() => 0,
            Some(pages) if pages.has_more.is_some() || pages.next.is_some() => strides - 1,
            _ if self.paging.short_page_ends => strides - 1,
            _ => strides,
        }
    }

    /// By the planner's own rules: what follows from the first page.
    fn probed(&self, facts: &PageFacts, assumed: Option<Assumed>) -> (Amount, Amount, String) {
        let Some((pointer, _)) = begin(self.paging).pointers().next() else {
            return (Amount::exact(0), Amount::exact(0), "no pages".to_owned());
        };
        let next = advance(self.paging, &pointer, 0, facts);
        let planned: u64 = next.pages.iter().map(NewPages::count).sum();
        let on_page = u64::from(facts.items);
        if planned == 0 {
            return (
                Amount::exact(1),
                Amount::exact(on_page),
                format!("the first page is the last, with {on_page} items"),
            );
        }
        let random_access = !matches!(self.paging.kind, Kind::Chain) && is_grid(&next.pages);
        match facts.total.filter(|total| *total >= on_page) {
            Some(total) if random_access => {
                (Amount::exact(planned + 1), Amount::exact(total), format!("the first page told {total} items"))
            }
            Some(total) => {
                let pages = total.div_ceil(on_page.max(1)).max(1);
                (Amount::estimated(pages), Amount::exact(total), format!("the first page told {total} items"))
            }
            None => match assumed {
                Some(assumed) => self.assumed(assumed),
                None => {
                    let told = self.nothing(&format!("{on_page} items on the first page, more to come"));
                    (Amount::at_least(planned + 1), Amount::at_least(on_page), told)
                }
            },
        }
    }
}

fn is_grid(pages: &[NewPages]) -> bool {
    pages.iter().all(|pages| match pages {
        NewPages::One { pointer, .. } => {
            matches!(pointer.place(), PagePointer::Offset { .. } | PagePointer::Number { .. })
        }
        NewPages::Offsets { .. } | NewPages::Numbers { .. } => true,
        // How much is in the other slices is not known from one.
        NewPages::Sliced { .. } => false,
    })
}
