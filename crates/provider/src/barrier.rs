//! `for_each` and `after`: how deep steps stand below each other, and what each waits for. Pure.
//!
//! The scope of "S after T" is the nearest item that both follow from: the longest common prefix of their `for_each`
//! ancestries; without one, the whole job. Waited for is the fetch, right below that item, whose branch holds T.

use std::collections::HashMap;

use crate::compile::Compiler;
use crate::file::{self, Name};
use crate::problem::{FieldPath, choices};

/// Most `for_each` between a step and the root it follows from.
pub const FOR_EACH_DEPTH_MAX: usize = 8;

/// What a step's fetches wait for: a fetch, with all that is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barrier {
    /// The one fetch of this root step.
    Root(String),
    /// The fetch of this step that was made for the same item.
    Sibling(String),
}

/// Resolves `after` of each step, in order; notes what is wrong with it, and with the depth of `for_each`.
pub(crate) fn barriers(steps: &[file::Step], compiler: &mut Compiler<'_>) -> Vec<Vec<Barrier>> {
    let order = Order::of(steps);
    let mut waits: Vec<Vec<Wait>> = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let at = FieldPath::root().key("steps").index(index);
        let depth = order.above[index].len();
        if depth > FOR_EACH_DEPTH_MAX {
            let message = format!("expected at most {FOR_EACH_DEPTH_MAX} for_each one below the other, found {depth}");
            compiler.add(&at.key("for_each"), message);
        }
        let mut of_step: Vec<Wait> = Vec::new();
        for (place, name) in step.after.iter().enumerate() {
            match order.resolve(index, name) {
                Ok(wait) if of_step.iter().any(|known| known.branch == wait.branch) => {}
                Ok(wait) => of_step.push(Wait { place, ..wait }),
                Err(message) => compiler.add(&at.key("after").index(place), message),
            }
        }
        waits.push(of_step);
    }
    if let Some((index, place, path)) = order.circle(&waits) {
        let at = FieldPath::root().key("steps").index(index).key("after").index(place);
        compiler.add(&at, format!("expected steps that do not wait for each other, found {path}"));
    }
    let barrier = |wait: &Wait| {
        let step = steps[wait.branch].id.to_string();
        if wait.of_root { Barrier::Root(step) } else { Barrier::Sibling(step) }
    };
    waits.iter().map(|of_step| of_step.iter().map(barrier).collect()).collect()
}

/// A step waits.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// In its `after`.
    place: usize,
    /// The top of its own branch below what both follow from.
    own: usize,
    /// The top of the branch that it waits for.
    branch: usize,
    of_root: bool,
}

/// Steps by what they follow from.
struct Order<'a> {
    steps: &'a [file::Step],
    /// Of each step, the steps it follows from, the root first.
    above: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    fn of(steps: &'a [file::Step]) -> Self {
        let mut above: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
        for step in steps {
            // Steps follow from those above them; anything else is told of elsewhere.
            let parent = step.for_each.as_ref().and_then(|id| steps[..above.len()].iter().position(|s| s.id == *id));
            above.push(parent.map_or(Vec::new(), |parent| above[parent].iter().copied().chain([parent]).collect()));
        }
        Self { steps, above }
    }

    fn resolve(&self, step: usize, name: &Name) -> Result<Wait, String> {
        let id = |index: usize| &self.steps[index].id;
        let Some(awaited) = self.steps.iter().position(|other| other.id == *name) else {
            let others = self.steps.iter().filter(|other| other.id != *id(step)).map(|other| other.id.as_str());
            return Err(format!("unknown step {name}; expected {}", choices(name.as_str(), others)));
        };
        if awaited == step {
            return Err("expected another step; a step can't wait for itself".to_owned());
        }
        if self.above[step].contains(&awaited) {
            return Err(format!("expected a step that this one does not follow from; {name} can't end before it"));
        }
        if self.above[awaited].contains(&step) {
            return Err(format!("expected a step that does not follow from this one; {name} is done for its items"));
        }
        let path = |of: usize| self.above[of].iter().copied().chain([of]).collect::<Vec<_>>();
        let (own, other) = (path(step), path(awaited));
        // Neither is above the other, so they part before either ends.
        let shared = own.iter().zip(&other).take_while(|(own, other)| own == other).count();
        let wait = Wait { place: 0, own: own[shared], branch: other[shared], of_root: shared == 0 };
        if shared > 0 && wait.own != step {
            let (own, item) = (id(wait.own), id(own[shared - 1]));
            return Err(format!(
                "expected it at {own}: both follow from the same item of {item}, {} further below; {own} can wait for {name}",
                id(step)
            ));
        }
        Ok(wait)
    }

    /// Branches that wait for each other, as far as there are any: the step and the place in its `after` that closes the
    /// circle, and the way round. Branches wait for their neighbours below the same item only, so a circle lies among
    /// neighbours.
    fn circle(&self, waits: &[Vec<Wait>]) -> Option<(usize, usize, String)> {
        let mut edges: HashMap<usize, Vec<(usize, usize, usize)>> = HashMap::new();
        for (step, of_step) in waits.iter().enumerate() {
            for wait in of_step {
                edges.entry(wait.own).or_default().push((wait.branch, step, wait.place));
            }
        }
        let mut cleared = vec![false; self.steps.len()];
        (0..self.steps.len()).find_map(|start| self.walk(start, &edges, &mut vec![start], &mut cleared))
    }

    fn walk(
        &self,
        from: usize,
        edges: &HashMap<usize, Vec<(usize, usize, usize)>>,
        way: &mut Vec<usize>,
        cleared: &mut [bool],
    ) -> Option<(usize, usize, String)> {
        if cleared[from] {
            return None;
        }
        for (to, step, place) in edges.get(&from).into_iter().flatten() {
            if let Some(begin) = way.iter().position(|seen| seen == to) {
                let names = way[begin..].iter().chain([to]).map(|index| self.steps[*index].id.as_str());
                return Some((*step, *place, names.collect::<Vec<_>>().join(" after ")));
            }
            way.push(*to);
            let found = self.walk(*to, edges, way, cleared);
            way.pop();
            if found.is_some() {
                return found;
            }
        }
        cleared[from] = true;
        None
    }
}
