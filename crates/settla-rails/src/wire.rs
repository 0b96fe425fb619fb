//! Amounts as providers write them: minor units in a decimal string.

use crate::RailError;
use crate::http::Http;
use serde::{Deserialize, Serialize};
use settla_domain::money::{Currency, Money};

/// An amount on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WireMoney {
    pub currency: Currency,
    pub amount: String,
}

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        Self { currency: money.currency, amount: money.minor.to_string() }
    }
}

impl WireMoney {
    /// The amount, if it is one: digits, within the currency's bound.
    pub fn money(&self) -> Option<Money> {
        minor(&self.amount, self.currency).map(|minor| Money::new(self.currency, minor))
    }
}

/// Minor units from text.
pub(crate) fn minor(text: &str, currency: Currency) -> Option<i128> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    let value: i128 = if digits { text.parse().ok()? } else { return None };
    (value <= currency.amount_max()).then_some(value)
}

#[derive(Deserialize)]
struct Statement {
    entries: Vec<serde_json::Value>,
}

/// What every line of a statement has, whatever else is in it.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// A page of a statement: lines after a number with their own numbers, which grow. One without a number is an error of
/// the whole page: going past it could lose a line.
pub(crate) async fn page(
    http: &Http,
    path: &str,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, serde_json::Value)>, RailError> {
    let statement: Statement = http.fetch(&format!("{path}?after={after}&limit={limit}")).await?;
    numbered(statement.entries, after).ok_or_else(|| RailError::Malformed(http.name().to_owned()))
}

fn numbered(entries: Vec<serde_json::Value>, after: u64) -> Option<Vec<(u64, serde_json::Value)>> {
    let number = |value: serde_json::Value| Some((Numbered::deserialize(&value).ok()?.seq, value));
    let lines: Vec<_> = entries.into_iter().map(number).collect::<Option<_>>()?;
    // Numbers that do not grow would move the checkpoint back, or past what was not seen.
    let grows = lines.iter().map(|(seq, _)| *seq).is_sorted_by(|a, b| a < b);
    (grows && lines.first().is_none_or(|(first, _)| *first > after)).then_some(lines)
}

/// A provider's reason as a code that we keep and show: lower-case letters, digits and underscores, at most 64. Anything
/// else is `other`; what it said is for the provider's own record.
pub(crate) fn reason(text: Option<&str>) -> String {
    let is_code = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.map_or("rejected", |text| Some(text).filter(is_code).unwrap_or("other")).to_owned()
}

/// A provider's reference: visible ASCII, at most 128 characters.
pub(crate) fn reference(text: &str) -> Option<String> {
    let plain = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lines_grow_from_where_was_asked() {
        let lines =
            |numbers: &[u64], after| numbered(numbers.iter().map(|n| serde_json::json!({ "seq": n })).collect(), after);
        assert_eq!(lines(&[4, 7], 3).unwrap().len(), 2);
        assert!(lines(&[], 3).is_some());
        for odd in [&[3, 4][..], &[5, 5], &[6, 5]] {
            assert!(lines(odd, 3).is_none(), "{odd:?}");
        }
        for numberless in [serde_json::json!({}), serde_json::json!({ "seq": "4" }), serde_json::json!(7)] {
            assert_eq!(numbered(vec![numberless], 0), None);
        }
    }

    #[test]
    fn what_a_provider_writes_is_kept_only_if_it_is_a_code() {
        assert_eq!(reason(None), "rejected");
        assert_eq!(reason(Some("account_closed_2")), "account_closed_2");
        for odd in ["", "Declined", "a b", "\u{0}", "é", &"a".repeat(65), "<script>"] {
            assert_eq!(reason(Some(odd)), "other", "{odd:?}");
        }
        assert_eq!(reference("MRD-7Q2M 0W3K").as_deref(), Some("MRD-7Q2M 0W3K"));
        for odd in ["", "a\u{0}", "é", &"a".repeat(129)] {
            assert_eq!(reference(odd), None, "{odd:?}");
        }
    }
}
