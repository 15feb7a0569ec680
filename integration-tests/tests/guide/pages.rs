//! The pages of `docs/guide`: their blocks say what is tried.
//!
//! | block | what is done |
//! | --- | --- |
//! | `yaml file=NAME` (or any language) | the file is written |
//! | `sh run` | its commands are run, and end well; with `exit=N`, so |
//! | `sh serve` | its command is started, and runs until the page's end |
//! | `text out` | what was run, or started, says these lines |
//! | `sh seen=PATH` | nothing: the file at PATH of the repository tries it |
//!
//! Ports of loopback are exchanged for free ones.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_integration_tests::reference::root;

use crate::markdown::{Block, blocks};
use crate::shell::{Shell, free_port, has, is_there};

const LOOPBACK: &str = "127.0.0.1:";

/// The page's text, with free ports.
fn with_free_ports(text: &str) -> String {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let ports: BTreeSet<String> = text.split(LOOPBACK).skip(1).map(digits).filter(|port| !port.is_empty()).collect();
    let ports: BTreeMap<String, u16> = ports.into_iter().map(|port| (port, free_port())).collect();
    let mut pieces = text.split(LOOPBACK);
    let mut exchanged = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let port = digits(piece);
        exchanged.push_str(LOOPBACK);
        match ports.get(&port) {
            Some(free) => exchanged.push_str(&format!("{free}{}", &piece[port.len()..])),
            None => exchanged.push_str(piece),
        }
    }
    exchanged
}

fn try_page(name: &str) {
    let path = root().join("docs/guide").join(name);
    let text = with_free_ports(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}")));
    let (mut shell, blocks) = (Shell::new(), blocks(&text));
    let mut said: Option<String> = None;
    for (place, block) in blocks.iter().enumerate() {
        let at = format!("docs/guide/{name}:{}", block.line);
        if let Some(file) = block.mark("file") {
            shell.write(file, &block.text);
        } else if block.is("sh", "serve") {
            let out = out_after(&blocks, place).unwrap_or_else(|| panic!("{at}: nothing tells when it serves"));
            shell.serve(&block.text, block.line, |said| has(said, &out.text));
            said = None;
        } else if block.is("sh", "run") {
            let (text, code) = shell.run(&block.text, block.line);
            let expected = block.mark("exit").map_or(0, |code| code.parse().expect("a number"));
            assert_eq!(code, Some(expected), "{at}:\n{}{text}", block.text);
            said = Some(text);
        } else if block.is("text", "out") {
            if let Some(said) = &said {
                assert!(has(said, &block.text), "{at}: expected\n{}\nsaid\n{said}", block.text);
            }
        } else if let Some(test) = block.mark("seen") {
            assert!(is_there(test), "{at}: there is no {test}");
        } else {
            assert!(block.language != "sh", "{at}: nobody tries these commands");
        }
    }
}

fn out_after<'a>(blocks: &'a [Block<'a>], place: usize) -> Option<&'a Block<'a>> {
    blocks.get(place + 1).filter(|next| next.is("text", "out"))
}

macro_rules! pages {
    ($($name:ident $file:literal;)*) => {
        $( #[test] fn $name() { try_page($file); } )*

        #[test]
        fn every_page_is_tried() {
            let tried: BTreeSet<&str> = [$($file),*].into();
            for entry in std::fs::read_dir(root().join("docs/guide")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(tried.contains(name.as_str()) || !name.ends_with(".md"), "docs/guide/{name} is not tried");
            }
        }
    };
}

pages! {
    the_first_job_is_done "first-job.md";
    an_api_with_offsets_limits_and_odd_errors_is_described "offsets.md";
    an_api_with_cursors_is_described "cursors.md";
    jobs_are_written_and_run "jobs.md";
    limits_are_explained "limits.md";
    a_deployment_is_operated "operating.md";
}
