//! The book as a whole.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tidegate_integration_tests::reference::root;

use crate::markdown::{anchors, links};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Markdown files of a folder, at any depth.
fn pages(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path);
        }
    }
    found
}

#[test]
fn every_page_is_in_the_summary_once() {
    let docs = root().join("docs");
    let summary = docs.join("SUMMARY.md");
    let named: Vec<PathBuf> = links(&read(&summary)).iter().map(|link| docs.join(link)).collect();
    let once: BTreeSet<PathBuf> = named.iter().cloned().collect();
    assert_eq!(once.len(), named.len(), "a page is named twice");
    let mut there = pages(&docs);
    there.remove(&summary);
    let left_out: Vec<_> = there.difference(&once).collect();
    let missing: Vec<_> = once.difference(&there).collect();
    assert!(left_out.is_empty() && missing.is_empty(), "not in docs/SUMMARY.md: {left_out:?}; not there: {missing:?}");
}

/// The path without `..`, where no file has to be.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    })
}

/// Within the book, too: what it does not hold can be read in the repository alone.
#[test]
fn every_link_leads_to_what_is_there() {
    let (root, docs) = (root(), root().join("docs"));
    let mut all = pages(&docs);
    all.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name)));
    let mut broken = Vec::new();
    for page in all {
        let text = read(&page);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, at)| (file, Some(at)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = match anchor.filter(|_| target.extension().is_some_and(|extension| extension == "md")) {
                Some(anchor) => target.is_file() && anchors(&read(&target)).iter().any(|known| known == anchor),
                None => target.exists(),
            };
            let leads_out = page.starts_with(&docs) && !plain(&target).starts_with(&docs);
            if !is_there || leads_out {
                broken.push(format!("{}: {link}", page.strip_prefix(&root).unwrap_or(&page).display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
