//! Effects: the only way to reach the outside. The engine asks for them, the outbox keeps them, workers
//! carry them out, and what they find comes back as a [`Finding`](crate::finding::Finding).

use crate::id::{EffectId, derived};
use crate::money::{Currency, Money};
use crate::tenant::TenantNo;
use crate::transfer::Settlement;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Order the stablecoin from the on-ramp.
    OnRamp {
        /// The provider.
        provider: String,
        /// What we give.
        source: Money,
        /// What we are to get.
        expected: Money,
    },
    /// Send the tokens to the off-ramp.
    Settle {
        /// CAIP-2.
        chain: String,
        /// The off-ramp whose deposit address gets them.
        provider: String,
        /// How much, of which stablecoin.
        amount: Money,
        /// With others or alone.
        #[serde(default)]
        settlement: Settlement,
        /// The payout that the tokens are for, which is what the off-ramp knows of. Rows from before there was more than
        /// one a transfer have none: it is the transfer's first.
        #[serde(default)]
        payout: Option<EffectId>,
    },
    /// Have the off-ramp pay out.
    OffRamp {
        /// The provider.
        provider: String,
        /// The tokens that pay for it.
        sent: Money,
        /// What the beneficiary gets.
        destination: Money,
        /// The transaction that brought the tokens.
        settlement_tx: String,
        /// The beneficiary's country, ISO 3166-1 alpha-2.
        country: String,
        /// What the tokens are to be sold back for, should they come back.
        #[serde(default)]
        refund_currency: Option<Currency>,
    },
    /// Pay a withdrawal from our bank account.
    BankPayment {
        /// How much.
        amount: Money,
        /// Unique for ever.
        reference: String,
    },
    /// Have an off-ramp pay us for the tokens of a payout that nobody has made.
    SellBack {
        /// The provider.
        provider: String,
        /// The tokens that are sold.
        sent: Money,
        /// What is to arrive on our bank account.
        proceeds: Money,
        /// The transaction that brought the tokens.
        settlement_tx: String,
        /// What the payment says, so that the bank's statement tells what it is for.
        remittance: String,
    },
}

/// The kind of an effect, without its content. The number is part of the effect's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EffectKind {
    /// See [`Effect::OnRamp`].
    OnRamp = 1,
    /// See [`Effect::Settle`].
    Settle = 2,
    /// See [`Effect::OffRamp`].
    OffRamp = 3,
    /// See [`Effect::BankPayment`].
    BankPayment = 4,
    /// See [`Effect::SellBack`].
    SellBack = 5,
}

/// Most legs of one kind that a transfer may take: each provider is tried once.
pub const LEGS_MAX: u8 = 8;

impl EffectKind {
    /// Every kind.
    pub const ALL: [EffectKind; 5] = [Self::OnRamp, Self::Settle, Self::OffRamp, Self::BankPayment, Self::SellBack];

    /// Name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnRamp => "on_ramp",
            Self::Settle => "settle",
            Self::OffRamp => "off_ramp",
            Self::BankPayment => "bank_payment",
            Self::SellBack => "sell_back",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The id of a subject's first effect of this kind.
    pub fn id_for(self, subject: Uuid) -> EffectId {
        self.id_on_leg(subject, 0)
    }

    /// The id of this effect for a subject: the same at every redelivery, so it is the idempotency key at the provider
    /// and at the signer. A leg is one more attempt, with another provider, after proof that the one before has failed.
    pub fn id_on_leg(self, subject: Uuid, leg: u8) -> EffectId {
        debug_assert!(leg < LEGS_MAX);
        EffectId(derived(subject, 0xef00 | u16::from(leg) << 4 | u16::from(self as u8)))
    }

    /// Which effect of a subject an id names: its kind and leg.
    pub fn of(subject: Uuid, effect: EffectId) -> Option<(Self, u8)> {
        let legs = |kind: Self| (0..LEGS_MAX).map(move |leg| (kind, leg));
        Self::ALL.into_iter().flat_map(legs).find(|(kind, leg)| kind.id_on_leg(subject, *leg) == effect)
    }
}

impl Effect {
    /// The provider that is to do it; the bank is none.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::OnRamp { provider, .. }
            | Self::Settle { provider, .. }
            | Self::OffRamp { provider, .. }
            | Self::SellBack { provider, .. } => Some(provider),
            Self::BankPayment { .. } => None,
        }
    }

    /// The kind.
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::OnRamp { .. } => EffectKind::OnRamp,
            Self::Settle { .. } => EffectKind::Settle,
            Self::OffRamp { .. } => EffectKind::OffRamp,
            Self::BankPayment { .. } => EffectKind::BankPayment,
            Self::SellBack { .. } => EffectKind::SellBack,
        }
    }
}

/// An effect to be put into the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectOrder {
    /// Deterministic id.
    pub id: EffectId,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer or withdrawal it serves.
    pub subject: Uuid,
    /// What to do.
    pub effect: Effect,
}

impl EffectOrder {
    /// An order with its deterministic id.
    pub fn new(tenant: TenantNo, subject: Uuid, leg: u8, effect: Effect) -> Self {
        Self { id: effect.kind().id_on_leg(subject, leg), tenant, subject, effect }
    }
}

/// Where an effect stands in the outbox, as far as the engine needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectStatus {
    /// Nobody has tried it yet: it can still be called off.
    Untouched,
    /// A worker has it or had it; the outside may know of it.
    Started,
    /// The outside has taken it; the result is awaited.
    Accepted,
    /// The result is known and has been applied.
    Done,
    /// Called off before anybody touched it.
    Cancelled,
}
