//! Examples of requests. A test sends them: each is accepted. Those of answers are in [`crate::sample`].

pub(crate) const QUOTE: &str = r#"{
  "source_currency": "GBP",
  "destination_currency": "NGN",
  "source_amount": "1250.00"
}"#;

pub(crate) const TRANSFER: &str = r#"{
  "quote_id": "qt_01939d2a7f0e7c4e9a53a1c2b3d4e5f6",
  "reference": "INV-2026-0042",
  "sender": { "name": "Ada Obi Ltd", "account": "GB82WEST12345698765432" },
  "beneficiary": {
    "name": "Chinedu Okafor",
    "country": "NG",
    "account": { "type": "nuban", "bank_code": "011", "account_number": "0000014579" }
  }
}"#;

pub(crate) const TOPUP: &str = r#"{ "currency": "GBP", "amount": "100000.00" }"#;

pub(crate) const WITHDRAWAL: &str = r#"{
  "currency": "GBP",
  "amount": "500.00",
  "reference": "WD-2026-0007",
  "account": { "name": "Lemfi Ltd", "type": "uk_account", "sort_code": "20-00-00", "account_number": "55779911" }
}"#;

pub(crate) const ENDPOINT: &str = r#"{
  "url": "https://api.example.com/hooks/settla",
  "events": ["transfer.completed"]
}"#;

pub(crate) const ENDPOINT_UPDATE: &str = r#"{ "status": "enabled" }"#;

pub(crate) const SECRET: &str = r#"{ "overlap_s": 86400 }"#;

pub(crate) const REDELIVERY: &str = r#"{ "from_sequence": 1000, "to_sequence": 1042, "which": "undelivered" }"#;

pub(crate) const API_KEY: &str = r#"{
  "name": "payouts worker",
  "scopes": ["read", "quotes", "transfers"],
  "allowed_ips": ["203.0.113.0/24"],
  "expires_at": "2027-11-21T12:00:00Z"
}"#;

pub(crate) const KEY_ROTATION: &str = r#"{ "overlap_s": 86400 }"#;
