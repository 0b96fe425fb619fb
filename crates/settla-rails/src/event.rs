//! What is kept of a provider's event.

use serde_json::{Map, Value};
/// What is kept of a value: itself if it is a plain one, or of an object the fields named here.
enum Kept {
    Plain,
    Fields(&'static [(&'static str, Kept)]),
}
use Kept::{Fields, Plain};

const MONEY: Kept = Fields(&[("currency", Plain), ("amount", Plain)]);
const TOKENS: Kept = Fields(&[("id", Plain), ("tx_hash", Plain), ("amount", Plain)]);

/// The fields that the adapters of this crate read. Everything else is left out before an event is stored: a bank
/// tells who paid and in which words, and the next provider will tell what no one has thought of.
const EVENT: Kept = Fields(&[
    ("type", Plain),
    ("timestamp", Plain),
    (
        "data",
        Fields(&[
            (
                "order",
                Fields(&[
                    ("client_order_id", Plain),
                    ("status", Plain),
                    ("reason", Plain),
                    ("source", MONEY),
                    ("destination", MONEY),
                    ("delivery", TOKENS),
                ]),
            ),
            (
                "payout",
                Fields(&[
                    ("client_payout_id", Plain),
                    ("status", Plain),
                    ("reason", Plain),
                    ("source", MONEY),
                    ("destination", MONEY),
                    ("paid", Fields(&[("currency", Plain), ("amount", Plain), ("reference", Plain)])),
                    ("return", TOKENS),
                ]),
            ),
            (
                "payment",
                Fields(&[("client_reference", Plain), ("status", Plain), ("currency", Plain), ("amount", Plain)]),
            ),
            ("entry", Fields(&[("seq", Plain), ("id", Plain), ("currency", Plain), ("amount", Plain)])),
        ]),
    ),
]);

/// An event's body without what nothing reads, personal data among it.
pub fn kept(body: Value) -> Value {
    of(body, &EVENT).unwrap_or_else(|| Value::Object(Map::new()))
}

fn of(value: Value, kept: &Kept) -> Option<Value> {
    match (value, kept) {
        (Value::Object(_) | Value::Array(_), Plain) => None,
        (value, Plain) => Some(value),
        (Value::Object(object), Fields(fields)) => {
            let named = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, kept)| kept);
            let inner: Map<String, Value> = object
                .into_iter()
                .filter_map(|(name, value)| named(&name).and_then(|kept| of(value, kept)).map(|value| (name, value)))
                .collect();
            (!inner.is_empty()).then_some(Value::Object(inner))
        }
        (_, Fields(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_read_is_not_kept() {
        let body = json!({
            "type": "account.credited", "timestamp": "2026-01-01T00:00:00Z", "payer": "Ada",
            "data": { "account": "ours", "entry": {
                "seq": 1, "id": "e1", "currency": "GBP", "amount": "1", "counterparty": "Ada Obi", "reference": "from Ada", "note": { "id": "Ada" },
            } },
        });
        let expected = json!({
            "type": "account.credited", "timestamp": "2026-01-01T00:00:00Z",
            "data": { "entry": { "seq": 1, "id": "e1", "currency": "GBP", "amount": "1" } },
        });
        assert_eq!(kept(body.clone()), expected);
        assert_eq!(kept(json!({ "data": { "entry": { "id": { "name": "Ada" }, "seq": ["Ada"] } } })), json!({}));
        assert_eq!(kept(json!(["Ada"])), json!({}));
    }

    #[test]
    fn what_is_read_is_kept_whole() {
        let order = json!({ "client_order_id": "x", "status": "completed", "reason": null, "source": { "currency": "GBP", "amount": "1" },
            "destination": { "currency": "USDC", "amount": "1" }, "delivery": { "id": "d", "tx_hash": "0x", "amount": "1" } });
        let payout = json!({ "client_payout_id": "x", "status": "paid", "reason": null, "source": { "currency": "USDC", "amount": "1" },
            "destination": { "currency": "NGN", "amount": "1" }, "paid": { "currency": "NGN", "amount": "1", "reference": "r" }, "return": null });
        for data in
            [json!({ "order": order }), json!({ "payment": { "client_reference": "WD1", "status": "executed" } })]
        {
            let body = json!({ "type": "t", "data": data });
            assert_eq!(kept(body.clone()), body);
        }
        // Nothing instead of a null, which reads the same.
        let without_return = {
            let mut p = payout.clone();
            p.as_object_mut().unwrap().remove("return");
            p
        };
        assert_eq!(kept(json!({ "data": { "payout": payout } })), json!({ "data": { "payout": without_return } }));
    }
}
