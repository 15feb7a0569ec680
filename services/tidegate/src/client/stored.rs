//! What a gateway keeps for its tenants: provider files, credentials, keys.

use std::io::Read as _;

use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;

use super::connect;
use crate::cli::{Credentials, Gateway, Providers};
use crate::exit::Exit;
use crate::files::FilesError;
use crate::{files, say};

/// Longest credential, in bytes.
const CREDENTIAL_MAX_BYTES: u64 = 65_536;

/// `tidegate providers`.
pub(crate) async fn providers(command: Providers) -> anyhow::Result<Exit> {
    match command {
        Providers::List(gateway) => list(&connect(&gateway)?.providers().await?)?,
        Providers::Put { file, providers, gateway } => {
            let file = files::load_provider(&file, &providers)?.file;
            let json = serde_json::to_string(&file)?;
            let stored = connect(&gateway)?.put_provider(&file.provider.to_string(), &json).await?;
            say::answer(&format!("{}: version {}", stored.name, stored.version));
        }
        Providers::Show { name, gateway } => {
            say::answer(&serde_json::to_string_pretty(&connect(&gateway)?.provider(&name).await?)?);
        }
        Providers::Delete { name, gateway } => connect(&gateway)?.delete_provider(&name).await?,
    }
    Ok(Exit::Done)
}

/// `tidegate credentials`.
pub(crate) async fn credentials(command: Credentials) -> anyhow::Result<Exit> {
    match command {
        Credentials::List(gateway) => list(&connect(&gateway)?.credentials().await?)?,
        Credentials::Put { name, gateway } => {
            let stored = connect(&gateway)?.put_credential(&name, &secret()?).await?;
            say::answer(&format!("{}: version {}", stored.name, stored.version));
        }
        Credentials::Delete { name, gateway } => connect(&gateway)?.delete_credential(&name).await?,
        // No gateway is asked for that: it is done before this.
        Credentials::Rotate(_) => {}
    }
    Ok(Exit::Done)
}

/// A bare token or a JSON object of fields, from standard input: the command line would show it to everybody.
fn secret() -> Result<SecretString, FilesError> {
    let mut text = String::new();
    let read = std::io::stdin().take(CREDENTIAL_MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| FilesError::one(format!("standard input: {error}")))?;
    if text.len() as u64 > CREDENTIAL_MAX_BYTES {
        return Err(FilesError::one(format!("standard input: more than {CREDENTIAL_MAX_BYTES} bytes")));
    }
    match text.trim() {
        "" => Err(FilesError::one("standard input: expected a token, or a JSON object of texts")),
        object if object.starts_with('{') => Ok(object.into()),
        token => Ok(json!({ "token": token }).to_string().into()),
    }
}

/// `tidegate keys list`.
pub(crate) async fn list_keys(gateway: &Gateway) -> anyhow::Result<Exit> {
    list(&connect(gateway)?.keys().await?)?;
    Ok(Exit::Done)
}

/// `tidegate keys revoke`.
pub(crate) async fn revoke_key(id: &str, gateway: &Gateway) -> anyhow::Result<Exit> {
    connect(gateway)?.revoke_key(id).await?;
    Ok(Exit::Done)
}

/// One a line, as JSON.
fn list<Row: Serialize>(rows: &[Row]) -> Result<(), serde_json::Error> {
    for row in rows {
        say::answer(&serde_json::to_string(row)?);
    }
    Ok(())
}
