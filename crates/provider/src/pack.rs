//! Packs: provider files that travel with the program, each with recorded answers that hold it to what it says.
//!
//! *To add one*: its file in `providers/`, what was recorded in `providers/tests/`, and a line in [`PACKS`].

use crate::check::check_provider;
use crate::extend::inherit;
use crate::file::ProviderFile;
use crate::problem::FileError;
use crate::recorded::Recorded;
use crate::source::{Source, parse_provider};

/// A provider file that travels with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// The provider's name.
    pub name: &'static str,
    /// The file, YAML.
    pub text: &'static str,
    /// What was recorded of the provider, YAML; empty where the file is there for others to extend.
    pub recorded: &'static str,
}

macro_rules! pack {
    ($name:literal) => {
        Pack {
            name: $name,
            text: include_str!(concat!("../../../providers/", $name, ".yaml")),
            recorded: include_str!(concat!("../../../providers/tests/", $name, ".yaml")),
        }
    };
    (family $name:literal) => {
        Pack { name: $name, text: include_str!(concat!("../../../providers/", $name, ".yaml")), recorded: "" }
    };
}

/// All packs, by name.
pub const PACKS: &[Pack] = &[
    pack!("bluesky"),
    pack!("discord"),
    pack!("facebook"),
    pack!("github"),
    pack!("hackernews"),
    pack!("hubspot"),
    pack!("instagram"),
    pack!("linkedin"),
    pack!("mastodon"),
    pack!("matrix"),
    pack!("mediawiki"),
    pack!(family "meta"),
    pack!("notion"),
    pack!("reddit"),
    pack!("shopify"),
    pack!("slack"),
    pack!("stripe"),
    pack!("tiktok"),
    pack!("wordpress"),
    pack!("x"),
    pack!("youtube"),
];

/// The pack of this name.
#[must_use]
pub fn pack(name: &str) -> Option<&'static Pack> {
    PACKS.iter().find(|pack| pack.name == name)
}

impl Pack {
    /// There for others to extend: it has no address of its own.
    #[must_use]
    pub fn is_family(&self) -> bool {
        self.recorded.is_empty()
    }

    /// The file as it stands, what it extends not merged in.
    ///
    /// # Errors
    /// All that is wrong with it. Tests see to it that nothing is.
    pub fn read(&self) -> Result<Source<ProviderFile>, Vec<FileError>> {
        parse_provider(self.text, &format!("pack {}", self.name))
    }

    /// The file with what it extends, which is another pack, merged in.
    ///
    /// # Errors
    /// As [`Pack::read`].
    pub fn merged(&self) -> Result<Source<ProviderFile>, Vec<FileError>> {
        let mut source = self.read()?;
        // A pack that is missing is left named, which the check below complains of.
        while let Some(parent) = source.file.extends.as_deref().and_then(pack) {
            let parent = parent.read()?.file;
            let next = parent.extends.clone();
            source.file = ProviderFile { extends: next, ..inherit(source.file, parent) };
        }
        let problems = check_provider(&source.file);
        source.checked(&problems)
    }

    /// What was recorded of the provider.
    ///
    /// # Errors
    /// What is wrong with it. Tests see to it that nothing is.
    pub fn recorded(&self) -> Result<Recorded, String> {
        Recorded::parse(self.recorded)
    }
}

#[cfg(test)]
mod tests;
