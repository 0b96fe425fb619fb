//! The tenant's API keys. Nobody makes a key that may do more, from elsewhere or for longer than the key it is made with.

use super::{Server, first_use, from_store, page};
use crate::clock::now;
use crate::cursor::Binding;
use ipnet::IpNet;
use settla_domain::id::KeyId;
use settla_domain::refusal::Refusal;
use settla_domain::time::Timestamp;
use settla_port::api_key::{
    ApiKeyCreated, ApiKeyStatus, ApiKeyView, CreateApiKey, KEY_OVERLAP_S_DEFAULT, KEY_OVERLAP_S_MAX, KEYS_MAX,
    NAME_CHARS_MAX, NETWORKS_MAX, RotateApiKey, network,
};
use settla_port::caller::{Caller, Mutation, Reply, Scope};
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_store::batch::Idempotency;
use settla_store::read::{self, ApiKeyRow, Asked, KeyMade, KeyRevoked, NewApiKey, Rotation, Used};
use settla_vault::{ApiKey, KeyHash};
use uuid::Uuid;

const KEY: &str = "api key";
/// No key is asked to end later than in a hundred years.
const EXPIRY_MS_MAX: i64 = 100 * 366 * 86_400_000;

fn view(row: &ApiKeyRow) -> ApiKeyView {
    let ends_at = row.ends_at();
    let status = match ends_at {
        _ if row.revoked_at.is_some() => ApiKeyStatus::Revoked,
        Some(ends_at) if ends_at <= now() => ApiKeyStatus::Expired,
        _ => ApiKeyStatus::Active,
    };
    ApiKeyView {
        id: row.id,
        name: row.name.clone(),
        hint: row.hint.clone(),
        scopes: row.scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
        allowed_ips: row.allowed_ips.clone(),
        status,
        created_at: row.created_at.to_rfc3339(),
        expires_at: ends_at.map(Timestamp::to_rfc3339),
        revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
        last_used_at: row.last_used_at.map(Timestamp::to_rfc3339),
        made_by: row.made_by,
        replaces: row.replaces.map(|(old, _)| old),
    }
}

/// The key as it was when it was made, for the answer to that.
fn created(row: ApiKeyRow, key: Option<ApiKey>) -> Reply<ApiKeyCreated> {
    let row = ApiKeyRow { retires_at: None, revoked_at: None, last_used_at: None, ..row };
    let replayed = key.is_none();
    let old_key_until = row.replaces.map(|(_, until)| until.to_rfc3339());
    let view = ApiKeyView { status: ApiKeyStatus::Active, ..view(&row) };
    Reply { value: ApiKeyCreated { view, key, old_key_until }, replayed }
}

/// A key to be, with what is stored of it.
struct Draft {
    key: ApiKey,
    hash: KeyHash,
    hint: String,
}

impl Draft {
    fn new(server: &Server) -> Result<Self, PortError> {
        let key = ApiKey::generate(server.config.environment);
        let hash = server.config.hashers.first().ok_or(PortError::Internal)?.hash(&key);
        Ok(Self { hint: key.hint(), key, hash })
    }

    fn stored(&self, server: &Server, caller: &Caller) -> NewApiKey<'_> {
        NewApiKey {
            environment: server.config.environment.as_str(),
            hash: self.hash.as_bytes(),
            hash_version: self.hash.version(),
            hint: &self.hint,
            keys_max: KEYS_MAX,
            created_at: now(),
            made_by: caller.key(),
        }
    }
}

pub(super) async fn create(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    ask: CreateApiKey,
) -> Result<Reply<ApiKeyCreated>, PortError> {
    let like = ApiKeyRow {
        id: KeyId(Uuid::now_v7()),
        name: name(ask.name)?,
        hint: String::new(),
        scopes: scopes(caller, &ask.scopes)?,
        allowed_ips: networks(caller, ask.allowed_ips)?,
        created_at: now(),
        expires_at: ends(caller, ask.expires_at.as_deref(), caller.expires_at())?,
        retires_at: None,
        revoked_at: None,
        last_used_at: None,
        made_by: None,
        replaces: None,
    };
    let draft = Draft::new(server)?;
    let first = first_use(server, caller, call, like.id.0);
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let made = read::create_api_key(&server.store.app, &asked, &draft.stored(server, caller), &like).await;
    answer(server, caller, &first, made.map_err(from_store)?, draft).await
}

pub(super) async fn rotate(
    server: &Server,
    caller: &Caller,
    call: &Mutation,
    id: KeyId,
    ask: RotateApiKey,
) -> Result<Reply<ApiKeyCreated>, PortError> {
    let overlap_s = ask.overlap_s.unwrap_or(KEY_OVERLAP_S_DEFAULT);
    if overlap_s > KEY_OVERLAP_S_MAX {
        let message = format!("at most {KEY_OVERLAP_S_MAX} seconds");
        return Err(PortError::Invalid { field: "overlap_s", code: "overlap_too_long", message });
    }
    let expires_at = ask.expires_at.as_deref().map(instant).transpose()?;
    let draft = Draft::new(server)?;
    let first = first_use(server, caller, call, Uuid::now_v7());
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let rotation = Rotation { old: id, overlap_s: i64::from(overlap_s), expires_at };
    // Whoever rotates a key has the new one, so it must be no more than its own.
    let may = |old: &ApiKeyRow| {
        within(caller, old)?;
        not_longer(caller, expires_at.or(old.expires_at))
    };
    let made = read::rotate_api_key(&server.store.app, &asked, &draft.stored(server, caller), rotation, may).await;
    answer(server, caller, &first, made.map_err(from_store)??, draft).await
}

async fn answer(
    server: &Server,
    caller: &Caller,
    first: &Idempotency,
    made: KeyMade,
    draft: Draft,
) -> Result<Reply<ApiKeyCreated>, PortError> {
    match made {
        KeyMade::Made(row) => Ok(created(row, Some(draft.key))),
        KeyMade::Absent => Err(PortError::NotFound(KEY)),
        KeyMade::MakerGone => Err(PortError::Unauthenticated),
        KeyMade::TooMany => {
            let message = format!("at most {KEYS_MAX} keys at once; revoke one first");
            Err(PortError::Invalid { field: "name", code: "too_many_keys", message })
        }
        KeyMade::Before(used) => {
            let id = KeyId(same_request(&used, first)?.ok_or(PortError::Internal)?);
            Ok(created(row(server, caller, id).await?.ok_or(PortError::Internal)?, None))
        }
    }
}

fn same_request(used: &Used, first: &Idempotency) -> Result<Option<Uuid>, PortError> {
    if used.recorded.fingerprint == first.fingerprint {
        Ok(used.recorded.subject)
    } else {
        Err(Refusal::IdempotencyConflict.into())
    }
}

async fn row(server: &Server, caller: &Caller, id: KeyId) -> Result<Option<ApiKeyRow>, PortError> {
    let environment = caller.environment().as_str();
    read::api_key(&server.store.app, caller.tenant(), environment, id).await.map_err(from_store)
}

pub(super) async fn get(server: &Server, caller: &Caller, id: KeyId) -> Result<ApiKeyView, PortError> {
    row(server, caller, id).await?.as_ref().map(view).ok_or(PortError::NotFound(KEY))
}

pub(super) async fn list(server: &Server, caller: &Caller, ask: &PageRequest) -> Result<Page<ApiKeyView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "api-keys", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let environment = caller.environment().as_str();
    let rows = read::api_keys(&server.store.app, caller.tenant(), environment, before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |k| server.cursors.make(&binding, k.id.0.as_bytes()), |k| view(&k)))
}

pub(super) async fn revoke(server: &Server, caller: &Caller, call: &Mutation, id: KeyId) -> Result<(), PortError> {
    let first = first_use(server, caller, call, id.0);
    let actor = caller.key().to_string();
    let asked = Asked { first: &first, actor: &actor, request_id: &call.request_id };
    let environment = caller.environment().as_str();
    match read::revoke_api_key(&server.store.app, &asked, environment, id).await.map_err(from_store)? {
        KeyRevoked::Revoked => Ok(()),
        KeyRevoked::Before(used) => same_request(&used, &first).map(drop),
        KeyRevoked::Absent => Err(PortError::NotFound(KEY)),
    }
}

fn name(asked: String) -> Result<String, PortError> {
    let good = (1..=NAME_CHARS_MAX).contains(&asked.chars().count())
        && !asked.chars().any(char::is_control)
        && asked.trim() == asked;
    if good {
        return Ok(asked);
    }
    let message = format!("1 to {NAME_CHARS_MAX} characters, without control characters and spaces around");
    Err(PortError::Invalid { field: "name", code: "name_not_valid", message })
}

fn scopes(caller: &Caller, asked: &[Scope]) -> Result<Vec<String>, PortError> {
    if asked.is_empty() {
        let message = "at least one scope".to_owned();
        return Err(PortError::Invalid { field: "scopes", code: "scopes_empty", message });
    }
    if let Some(scope) = asked.iter().find(|scope| !caller.may(**scope)) {
        let message = format!("the key of this request lacks `{}` itself", scope.name());
        return Err(PortError::Invalid { field: "scopes", code: "scope_not_held", message });
    }
    // In one order, each once.
    Ok(Scope::ALL.iter().filter(|scope| asked.contains(scope)).map(|scope| scope.name().to_owned()).collect())
}

fn networks(caller: &Caller, asked: Option<Vec<String>>) -> Result<Vec<String>, PortError> {
    let Some(asked) = asked else { return Ok(caller.allowed_ips().iter().map(IpNet::to_string).collect()) };
    let bad = |code, message: String| Err(PortError::Invalid { field: "allowed_ips", code, message });
    if !(1..=NETWORKS_MAX).contains(&asked.len()) {
        return bad("networks_count", format!("1 to {NETWORKS_MAX} networks; leave the field out for any"));
    }
    let mut networks = Vec::with_capacity(asked.len());
    for text in &asked {
        let Some(network) = network(text) else {
            return bad("network_not_valid", "addresses, or networks such as 203.0.113.0/24".to_owned());
        };
        if !holds(caller, &network) {
            return bad(
                "network_not_held",
                "the key of this request may not be used from all of them itself".to_owned(),
            );
        }
        networks.push(network);
    }
    Ok(IpNet::aggregate(&networks).iter().map(IpNet::to_string).collect())
}

fn holds(caller: &Caller, network: &IpNet) -> bool {
    caller.allowed_ips().is_empty() || caller.allowed_ips().iter().any(|own| own.contains(network))
}

/// When a new key ends: as asked, or as `otherwise`.
fn ends(caller: &Caller, asked: Option<&str>, otherwise: Option<Timestamp>) -> Result<Option<Timestamp>, PortError> {
    let ends = asked.map(instant).transpose()?.or(otherwise);
    not_longer(caller, ends)?;
    Ok(ends)
}

fn instant(text: &str) -> Result<Timestamp, PortError> {
    let at = Timestamp::from_rfc3339(text).filter(|at| *at > now() && *at < now().plus_ms(EXPIRY_MS_MAX));
    let message = || "an RFC 3339 timestamp in the future, within a hundred years".to_owned();
    at.ok_or_else(|| PortError::Invalid { field: "expires_at", code: "expiry_not_valid", message: message() })
}

fn not_longer(caller: &Caller, ends: Option<Timestamp>) -> Result<(), PortError> {
    match (caller.expires_at(), ends) {
        (Some(own), Some(ends)) if ends <= own => Ok(()),
        (None, _) => Ok(()),
        _ => {
            let message = "the key of this request expires before".to_owned();
            Err(PortError::Invalid { field: "expires_at", code: "expiry_not_held", message })
        }
    }
}

/// Whether the caller's key may do all that another one may, from wherever that may.
fn within(caller: &Caller, other: &ApiKeyRow) -> Result<(), PortError> {
    for name in &other.scopes {
        // One that this process does not know yet, it cannot have found the caller to have.
        let scope = Scope::from_name(name).ok_or(PortError::Forbidden("unknown"))?;
        if !caller.may(scope) {
            return Err(PortError::Forbidden(scope.name()));
        }
    }
    let networks: Vec<Option<IpNet>> = other.allowed_ips.iter().map(|text| text.parse().ok()).collect();
    let held = match &networks[..] {
        [] => caller.allowed_ips().is_empty(),
        _ => networks.iter().all(|network| network.is_some_and(|network| holds(caller, &network))),
    };
    if held {
        return Ok(());
    }
    let message = "that key may be used from networks that the key of this request may not".to_owned();
    Err(PortError::Invalid { field: "id", code: "network_not_held", message })
}
