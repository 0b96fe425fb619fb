//! A tenant's API keys.

use crate::caller::Scope;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use settla_domain::id::KeyId;
use settla_vault::ApiKey;
use std::net::IpAddr;
use utoipa::ToSchema;

/// Most characters of a key's name.
pub const NAME_CHARS_MAX: usize = 64;
/// Most networks that a key can be limited to.
pub const NETWORKS_MAX: usize = 32;
/// Most keys of a tenant that are good at once, in one environment.
pub const KEYS_MAX: i64 = 100;
/// How long a key works besides the one that replaces it, at most and if not said otherwise, in seconds.
pub const KEY_OVERLAP_S_MAX: u32 = 30 * 86_400;
/// See [`KEY_OVERLAP_S_MAX`].
pub const KEY_OVERLAP_S_DEFAULT: u32 = 86_400;

/// A network that a key can be limited to; an address is a network of its own. An IPv4 address in IPv6 form is none:
/// requests never seem to come from one.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?.trunc();
    let mapped = matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96);
    (!mapped).then_some(network)
}

/// `POST /v1/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// For people: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "payouts worker")]
    pub name: String,
    /// What it may be used for, at least one; none that the key of this request lacks.
    #[schema(min_items = 1, max_items = 7, example = json!(["read", "quotes", "transfers"]))]
    pub scopes: Vec<Scope>,
    /// RFC 3339: from when on it is no key any more. Not after the end of the key of this
    /// request, and as that one if absent.
    #[schema(format = DateTime, example = "2027-11-21T12:00:00Z")]
    pub expires_at: Option<String>,
    /// Networks (CIDR) or addresses that it may be used from, at most 32; any if absent. Within those of the key of this
    /// request, and the same as those if absent.
    #[schema(max_items = 32, example = json!(["203.0.113.0/24", "2001:db8::/48"]))]
    pub allowed_ips: Option<Vec<String>>,
}

/// `POST /v1/api-keys/{id}/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateApiKey {
    /// How long, in seconds, the present key works besides the new one; 0 ends it at once.
    #[schema(minimum = 0, maximum = 2_592_000, default = 86_400, example = 86_400)]
    pub overlap_s: Option<u32>,
    /// RFC 3339: from when on the new key is none any more; as that of the present one if absent.
    #[schema(format = DateTime, example = "2027-11-21T12:00:00Z")]
    pub expires_at: Option<String>,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyStatus {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// A key as it is shown: without the key itself, which nobody has but you.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// The key's beginning and its last four characters, to tell keys apart.
    #[schema(example = "sk_test_****3f9a")]
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// Networks (CIDR) that it may be used from; any if there is none.
    pub allowed_ips: Vec<String>,
    /// Whether it can be used.
    pub status: ApiKeyStatus,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: from when on it is no key any more: as asked for, or because another one replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// RFC 3339, to some seconds; absent if it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// The key that it was made with; absent if we made it for you.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub made_by: Option<KeyId>,
    /// The key that it was made instead of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replaces: Option<KeyId>,
}

/// A new key. The key itself is shown once; a replay of the request does not show it.
#[derive(Debug)]
pub struct ApiKeyCreated {
    /// What is shown of it later too.
    pub view: ApiKeyView,
    /// The key; absent in a replay.
    pub key: Option<ApiKey>,
    /// RFC 3339: until when the key that it replaces works, if it replaces one.
    pub old_key_until: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_form() {
        for (text, form) in [
            ("203.0.113.7", Some("203.0.113.7/32")),
            ("203.0.113.7/24", Some("203.0.113.0/24")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("::/0", Some("::/0")),
            ("::ffff:203.0.113.7", None),
            ("::ffff:203.0.113.0/120", None),
            ("203.0.113.0/33", None),
            ("203.0.113", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), form, "{text}");
        }
    }
}
