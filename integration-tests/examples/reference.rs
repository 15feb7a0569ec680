//! Writes the pages of `docs/reference`; run `cargo build -p tidegate` before.

use tidegate_integration_tests::reference::{pages, root};

fn main() -> std::io::Result<()> {
    let example = std::env::current_exe()?;
    let folder = example.parent().and_then(std::path::Path::parent).unwrap_or(&example);
    for page in pages(&folder.join("tidegate"))? {
        let path = root().join(page.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, page.text)?;
    }
    Ok(())
}
