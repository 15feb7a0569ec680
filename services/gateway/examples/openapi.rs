//! Writes the OpenAPI document to `schemas/openapi.json`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let document: serde_json::Value = serde_json::from_str(tidegate_gateway::openapi_document())?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/openapi.json");
    std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")?;
    Ok(())
}
