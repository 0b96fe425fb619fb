//! Outcomes forced by magic amounts, and how long an order takes. Both depend on the order alone, so a run repeats.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a provider does with one order or payout. Decided once, at acceptance, and kept in the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// Carried out and answered as documented.
    Normal,
    /// 1: rejected.
    Reject,
    /// 2: carried out after `slow_ms`.
    Slow,
    /// 3: carried out, but the request is never answered and no webhook is sent.
    NeverAnswer,
    /// 4: the webhook comes three times: two event ids, the first of them twice.
    AnswerTwice,
    /// 5: the request is answered after `late_ms`.
    AnswerLate,
    /// 6: one per cent less is delivered or paid.
    WrongAmount,
    /// 7: the request is answered after the final webhook was sent.
    WebhookFirst,
    /// 8: no webhook.
    WebhookLost,
    /// 9: the first request is lost: nothing is recorded and the connection is closed.
    RequestLost,
}

/// The magic amount without its last digit: GBP 4,000.0X into the on-ramp.
pub(crate) const ONRAMP_SOURCE: u128 = 400_000;
/// The magic amount without its last digit: NGN 4,000,000.0X out of the off-ramp.
pub(crate) const OFFRAMP_DESTINATION: u128 = 400_000_000;

/// How the sandbox plays its parts.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) latency_ms: u64,
    pub(crate) slow_ms: u64,
    pub(crate) late_ms: u64,
    pub(crate) unknown_permille: u16,
}

impl Script {
    /// The behaviour for an amount; `base` is the leg's magic amount without its last digit.
    pub(crate) fn behaviour(&self, base: u128, amount: u128, id: Uuid) -> Behaviour {
        match amount.checked_sub(base) {
            Some(1) => Behaviour::Reject,
            Some(2) => Behaviour::Slow,
            Some(3) => Behaviour::NeverAnswer,
            Some(4) => Behaviour::AnswerTwice,
            Some(5) => Behaviour::AnswerLate,
            Some(6) => Behaviour::WrongAmount,
            Some(7) => Behaviour::WebhookFirst,
            Some(8) => Behaviour::WebhookLost,
            Some(9) => Behaviour::RequestLost,
            _ if dice(id, 0) % 1_000 < u64::from(self.unknown_permille) => Behaviour::NeverAnswer,
            _ => Behaviour::Normal,
        }
    }

    /// How long an order takes before its money moves: the median times a factor of 0.5 to 2 that the id decides.
    pub(crate) fn delay_ms(&self, behaviour: Behaviour, id: Uuid) -> u64 {
        match behaviour {
            Behaviour::Slow => self.slow_ms,
            _ => {
                // 2^(-1..=1) in 1,024 steps: as often below the median as above it.
                let step = u32::try_from(dice(id, 8) % 1_025).unwrap_or(0);
                let factor = (f64::from(step) / 512.0 - 1.0).exp2();
                // Below 2^53 for any delay that anyone waits for, so the detour is exact enough.
                (self.latency_ms as f64 * factor) as u64
            }
        }
    }
}

/// Eight bytes of a hash of the id. Ids are made by clients and may share most of their bits.
fn dice(id: Uuid, from: usize) -> u64 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(id.as_bytes());
    hash.iter().skip(from).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, OFFRAMP_DESTINATION, ONRAMP_SOURCE, Script};
    use uuid::Uuid;

    fn script(unknown_permille: u16) -> Script {
        Script { latency_ms: 100, slow_ms: 5_000, late_ms: 3_000, unknown_permille }
    }

    #[test]
    fn only_the_nine_amounts_are_magic() {
        let behaviour = |base, amount| script(0).behaviour(base, amount, Uuid::nil());
        assert_eq!(behaviour(ONRAMP_SOURCE, 400_001), Behaviour::Reject);
        assert_eq!(behaviour(ONRAMP_SOURCE, 400_009), Behaviour::RequestLost);
        assert_eq!(behaviour(OFFRAMP_DESTINATION, 400_000_003), Behaviour::NeverAnswer);
        for plain in [0, 399_999, 400_000, 400_010] {
            assert_eq!(behaviour(ONRAMP_SOURCE, plain), Behaviour::Normal);
        }
        assert_eq!(behaviour(OFFRAMP_DESTINATION, 400_001), Behaviour::Normal);
    }

    #[test]
    fn the_share_of_unknowns_is_as_asked_and_repeats() {
        let ids: Vec<Uuid> = (0..10_000_u128).map(Uuid::from_u128).collect();
        let unknown = |id: &&Uuid| script(50).behaviour(ONRAMP_SOURCE, 5, **id) == Behaviour::NeverAnswer;
        let count = ids.iter().filter(unknown).count();
        assert!((400..600).contains(&count), "{count}");
        assert_eq!(count, ids.iter().filter(unknown).count());
    }

    #[test]
    fn delays_spread_around_the_median() {
        let delays: Vec<u64> =
            (0..2_000_u128).map(|n| script(0).delay_ms(Behaviour::Normal, Uuid::from_u128(n))).collect();
        assert!(delays.iter().all(|delay| (50..=200).contains(delay)));
        let below = delays.iter().filter(|delay| **delay < 100).count();
        assert!((900..1_100).contains(&below), "{below}");
        assert_eq!(script(0).delay_ms(Behaviour::Slow, Uuid::nil()), 5_000);
    }
}
