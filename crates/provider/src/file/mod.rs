//! What stands in provider files and job files, as written: read from YAML or JSON, written back to the same JSON.

mod auth;
mod credentials;
mod endpoint;
mod job;
mod limit;
mod name;
mod notify;
mod provider;
mod quantity;

pub use auth::{Auth, ClientAuth, Grant, Oauth2, SendToken};
pub use credentials::{CredentialNames, CredentialPool};
pub use endpoint::{Endpoint, Parameter, Parameters, Placement, Route};
pub use job::{JobFile, OnFailure, Step};
pub use limit::{BodyTells, Cost, Factor, Limit};
pub use name::{EndpointName, Name, Version};
pub use notify::{Event, Notify};
pub use provider::{Body, ConfigField, ProviderFile, Retry, Timeouts};
pub use quantity::{Period, Size};
