//! From a presented key to a caller. Whatever is wrong with a key, the answer is the same.

use super::{Server, from_store};
use settla_port::caller::{Caller, Scope};
use settla_port::error::PortError;
use settla_store::read;
use settla_vault::ApiKey;

pub(super) async fn authenticate(server: &Server, key: &ApiKey) -> Result<Caller, PortError> {
    let environment = server.config.environment;
    if key.environment() != environment {
        return Err(PortError::Unauthenticated);
    }
    for hasher in &server.config.hashers {
        let hash = hasher.hash(key);
        let found =
            read::find_api_key(&server.store.app, hash.as_bytes(), environment.as_str()).await.map_err(from_store)?;
        if let Some(found) = found {
            let scopes = found.scopes.iter().filter_map(|name| Scope::from_name(name)).collect();
            return Ok(Caller::from_authentication(found.id, found.tenant, environment, scopes));
        }
    }
    Err(PortError::Unauthenticated)
}
