//! What is read out of Markdown: fenced blocks, links and headings.

use std::collections::HashMap;

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Line of its fence, from 1.
    pub(crate) line: usize,
    /// The first word after the fence.
    pub(crate) language: &'a str,
    /// The other words.
    pub(crate) marks: Vec<&'a str>,
    pub(crate) text: String,
}

impl Block<'_> {
    /// The value of the mark `name=value`.
    pub(crate) fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn is(&self, language: &str, mark: &str) -> bool {
        self.language == language && self.marks.contains(&mark)
    }
}

/// All blocks, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(info), false) => {
                let mut words = info.split_whitespace();
                let language = words.next().unwrap_or_default();
                blocks.push(Block { line: number + 1, language, marks: words.collect(), text: String::new() });
                open = true;
            }
            (None, true) => {
                if let Some(block) = blocks.last_mut() {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a fence is not closed");
    blocks
}

/// The page without blocks and code.
fn prose(page: &str) -> String {
    let mut open = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        open ^= fence;
        !fence && !open
    });
    let joined = lines.collect::<Vec<_>>().join("\n");
    // Every other piece between backticks is code.
    joined.split('`').enumerate().filter(|(place, _)| place % 2 == 0).map(|(_, text)| text).collect()
}

/// Where links and images lead, except to other sites.
pub(crate) fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let to = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(to, _)| to.trim().to_owned()));
    to.filter(|to| !to.contains("://") && !to.starts_with("mailto:")).collect()
}

/// Anchors of headings, as GitHub and mdBook make them.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut open = false;
    let mut seen = HashMap::<String, usize>::new();
    let mut anchors = Vec::new();
    for line in page.lines() {
        open ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if open || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        let anchor: String = kept.map(|char| if char == ' ' { '-' } else { char }).collect();
        let times = seen.entry(anchor.clone()).or_default();
        anchors.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
        *times += 1;
    }
    anchors
}
