//! Provider files without files: what a name means is looked up among the tenant's own, then among packs, never on a
//! disk.

use std::collections::BTreeSet;

use tidegate_provider::file::Name;
use tidegate_provider::{ProviderFile, check_provider, inherit, is_path, pack};
use tidegate_registry::{Registry, Tenant};

use crate::problem::{FieldProblem, Problem};

/// Most files in a chain of `extends`.
const EXTENDS_MAX: usize = 8;

/// The tenant's provider file of this name, as it was stored; else the pack.
pub(crate) async fn known(
    registry: &dyn Registry,
    tenant: &Tenant,
    name: &str,
) -> Result<Option<ProviderFile>, Problem> {
    let Ok(name) = Name::try_from(name.to_owned()) else { return Ok(None) };
    let Some(row) = registry.provider(tenant, &name).await? else {
        // Tests see to it that packs can be read.
        return Ok(pack(name.as_str()).and_then(|pack| pack.read().ok()).map(|source| source.file));
    };
    let unreadable = |error: serde_json::Error| Problem::ours(crate::problem::Kind::Internal, &error);
    serde_json::from_str(&row.file).map(Some).map_err(unreadable)
}

/// The file with all that it extends merged in, and checked as a whole. `at` is the pointer to the file in the body.
pub(crate) async fn resolve(
    registry: &dyn Registry,
    tenant: &Tenant,
    file: ProviderFile,
    at: &str,
) -> Result<ProviderFile, Problem> {
    let mut file = file;
    let mut seen = BTreeSet::from([file.provider.to_string()]);
    let at_extends = format!("{at}/extends");
    while let Some(reference) = file.extends.take() {
        if is_path(&reference) {
            return Err(Problem::field(&at_extends, "expected the name of a stored provider or a pack, found a path"));
        }
        if !seen.insert(reference.clone()) || seen.len() > EXTENDS_MAX {
            let detail = format!("it extends itself by {reference}, or more than {EXTENDS_MAX} others");
            return Err(Problem::field(&at_extends, detail));
        }
        let Some(parent) = known(registry, tenant, &reference).await? else {
            return Err(Problem::field(&at_extends, format!("there is no provider {reference}")));
        };
        let next = parent.extends.clone();
        file = ProviderFile { extends: next, ..inherit(file, parent) };
    }
    let problems = check_provider(&file);
    if problems.is_empty() {
        return Ok(file);
    }
    let error = |problem: &tidegate_provider::Problem| {
        FieldProblem::new(format!("{at}{}", problem.field.pointer()), problem.message.clone())
    };
    Err(Problem::invalid(problems.iter().map(error).collect()))
}
