//! Writes `schemas/*.schema.json` from the structs that files are read into.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for (name, schema) in [("provider", tidegate_provider::provider_schema()), ("job", tidegate_provider::job_schema())]
    {
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        std::fs::write(folder.join(format!("{name}.schema.json")), text)?;
    }
    Ok(())
}
