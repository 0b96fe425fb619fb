//! What is kept of a provider's event.

use serde_json::{Map, Value};

/// The fields that the adapters of this crate read. Everything else is left out before an event is stored: a bank
/// tells who paid and in which words, and the next provider will tell what no one has thought of.
const KEPT: [&str; 33] = [
    "/type",
    "/timestamp",
    "/data/order/client_order_id",
    "/data/order/status",
    "/data/order/reason",
    "/data/order/source/currency",
    "/data/order/source/amount",
    "/data/order/destination/currency",
    "/data/order/destination/amount",
    "/data/order/delivery/id",
    "/data/order/delivery/tx_hash",
    "/data/order/delivery/amount",
    "/data/payout/client_payout_id",
    "/data/payout/status",
    "/data/payout/reason",
    "/data/payout/source/currency",
    "/data/payout/source/amount",
    "/data/payout/destination/currency",
    "/data/payout/destination/amount",
    "/data/payout/paid/currency",
    "/data/payout/paid/amount",
    "/data/payout/paid/reference",
    "/data/payout/return/id",
    "/data/payout/return/tx_hash",
    "/data/payout/return/amount",
    "/data/payment/client_reference",
    "/data/payment/status",
    "/data/payment/currency",
    "/data/payment/amount",
    "/data/entry/seq",
    "/data/entry/id",
    "/data/entry/currency",
    "/data/entry/amount",
];

/// An event's body without what nothing reads, personal data among it.
pub fn kept(body: &Value) -> Value {
    let mut kept = Map::new();
    for path in KEPT {
        // Only plain values: the fields of an object are named one by one.
        let Some(value) = body.pointer(path).filter(|v| !v.is_object() && !v.is_array()) else { continue };
        put(&mut kept, path, value.clone());
    }
    Value::Object(kept)
}

fn put(root: &mut Map<String, Value>, path: &str, value: Value) {
    let mut at = root;
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return;
        }
        // Only this function fills the map, and no path of the table goes through another's end.
        let Value::Object(inner) = at.entry(part).or_insert_with(|| Value::Object(Map::new())) else { return };
        at = inner;
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
        assert_eq!(kept(&body), expected);
        assert_eq!(kept(&json!({ "data": { "entry": { "id": { "name": "Ada" }, "seq": ["Ada"] } } })), json!({}));
        assert_eq!(kept(&json!(["Ada"])), json!({}));
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
            assert_eq!(kept(&body), body);
        }
        // Nothing instead of a null, which reads the same.
        let without_return = {
            let mut p = payout.clone();
            p.as_object_mut().unwrap().remove("return");
            p
        };
        assert_eq!(kept(&json!({ "data": { "payout": payout } })), json!({ "data": { "payout": without_return } }));
    }
}
