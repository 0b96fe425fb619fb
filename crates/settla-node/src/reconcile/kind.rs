//! The kinds of break, by name, with whose book differs from ours.

use std::time::Duration;

/// A book that ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Book {
    /// Our own, with itself.
    Ledger,
    /// Our own work: effects and webhooks.
    Work,
    /// The bank's statement.
    Bank,
    /// The on-ramp's statement.
    OnRamp,
    /// The off-ramp's statement.
    OffRamp,
    /// The chain.
    Chain,
}

impl Book {
    /// Those that others keep.
    pub const OUTSIDE: [Book; 4] = [Self::Bank, Self::OnRamp, Self::OffRamp, Self::Chain];

    /// Every book.
    pub const COMPARED: [Book; 6] = [Self::Ledger, Self::Work, Self::Bank, Self::OnRamp, Self::OffRamp, Self::Chain];

    /// Name in tables, JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Work => "work",
            Self::Bank => "bank",
            Self::OnRamp => "on_ramp",
            Self::OffRamp => "off_ramp",
            Self::Chain => "chain",
        }
    }

    /// For how long money on its way may look like a break. Our own books are looked at in one instant: nothing in them
    /// is on its way. A worker asks a silent provider again every 30 s at the latest, so what happened outside is in our
    /// books long before this has passed.
    pub fn grace(self) -> Duration {
        match self {
            Self::Ledger | Self::Work => Duration::ZERO,
            Self::Bank | Self::OnRamp | Self::OffRamp | Self::Chain => Duration::from_secs(120),
        }
    }
}

/// A way of money between us and another book. Items of both sides meet by a name that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// Money paid in at the bank.
    BankCredit,
    /// What the on-ramp drew from our account.
    BankDebit,
    /// Withdrawals that the bank paid.
    BankPayment,
    /// Orders that the on-ramp has carried out: fiat and tokens.
    OnRampOrder,
    /// Tokens of a settlement batch that the off-ramp has.
    OffRampDeposit,
    /// Payouts.
    OffRampPayout,
    /// Tokens that the off-ramp sent back.
    OffRampReturn,
    /// Tokens out of our wallet.
    ChainSettlement,
    /// Tokens into our wallet.
    ChainArrival,
}

impl Flow {
    /// Every flow.
    pub const ALL: [Flow; 9] = [
        Self::BankCredit,
        Self::BankDebit,
        Self::BankPayment,
        Self::OnRampOrder,
        Self::OffRampDeposit,
        Self::OffRampPayout,
        Self::OffRampReturn,
        Self::ChainSettlement,
        Self::ChainArrival,
    ];

    /// Name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::BankCredit => "bank_credit",
            Self::BankDebit => "bank_debit",
            Self::BankPayment => "bank_payment",
            Self::OnRampOrder => "on_ramp_order",
            Self::OffRampDeposit => "off_ramp_deposit",
            Self::OffRampPayout => "off_ramp_payout",
            Self::OffRampReturn => "off_ramp_return",
            Self::ChainSettlement => "chain_settlement",
            Self::ChainArrival => "chain_arrival",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flow| flow.name() == name)
    }

    /// Whose book has the other side.
    pub fn book(self) -> Book {
        match self {
            Self::BankCredit | Self::BankDebit | Self::BankPayment => Book::Bank,
            Self::OnRampOrder => Book::OnRamp,
            Self::OffRampDeposit | Self::OffRampPayout | Self::OffRampReturn => Book::OffRamp,
            Self::ChainSettlement | Self::ChainArrival => Book::Chain,
        }
    }

    /// What it is when only they have it, when only we have it, and when the amounts differ.
    pub fn kinds(self) -> [Kind; 3] {
        match self {
            Self::BankCredit => [Kind::BankCreditUnknown, Kind::BankCreditMissing, Kind::BankCreditDiffers],
            Self::BankDebit => [Kind::BankDebitUnknown, Kind::BankDebitMissing, Kind::BankDebitDiffers],
            Self::BankPayment => [Kind::BankPaymentUnknown, Kind::BankPaymentMissing, Kind::BankPaymentDiffers],
            Self::OnRampOrder => [Kind::OnRampOrderUnknown, Kind::OnRampOrderMissing, Kind::OnRampOrderDiffers],
            Self::OffRampDeposit => {
                [Kind::OffRampDepositUnknown, Kind::OffRampDepositMissing, Kind::OffRampDepositDiffers]
            }
            Self::OffRampPayout => [Kind::OffRampPayoutUnknown, Kind::OffRampPayoutMissing, Kind::OffRampPayoutDiffers],
            Self::OffRampReturn => [Kind::OffRampReturnUnknown, Kind::OffRampReturnMissing, Kind::OffRampReturnDiffers],
            Self::ChainSettlement => {
                [Kind::ChainSettlementUnknown, Kind::ChainSettlementMissing, Kind::ChainSettlementDiffers]
            }
            Self::ChainArrival => [Kind::ChainArrivalUnknown, Kind::ChainArrivalMissing, Kind::ChainArrivalDiffers],
        }
    }
}

macro_rules! kinds {
    ($($variant:ident $name:literal $book:ident $about:literal;)*) => {
        /// What does not agree. Names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $(#[doc = $about] $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// Name in tables, JSON and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// Whose book differs from ours.
            pub fn book(self) -> Book {
                match self { $(Kind::$variant => Book::$book,)* }
            }

            /// In words.
            pub fn about(self) -> &'static str {
                match self { $(Kind::$variant => $about,)* }
            }
        }
    };
}

kinds! {
    LedgerUnbalanced "ledger_unbalanced" Ledger "debits and credits of a currency differ";
    PositionDiffers "position_differs" Ledger "a position is not what was posted";
    TransferPostingsDiffer "transfer_postings_differ" Ledger "the postings do not fit the state";
    TransferWithoutHold "transfer_without_hold" Ledger "it is live, and nothing was held for it";
    HoldWithoutTransfer "hold_without_transfer" Ledger "money is held or in transit for nothing that is live";
    PostingWithoutSubject "posting_without_subject" Ledger "a posting of something that there is not";
    PendingDiffers "pending_differs" Ledger "the pending use of limits is not what is live";
    DailyVolumeDiffers "daily_volume_differs" Ledger "the day's use of limits is not what was held that day";
    EffectOverdue "effect_overdue" Work "an effect is open for longer than it may";
    EffectSetAside "effect_set_aside" Work "an effect waits for people";
    EffectOfEnded "effect_of_ended" Work "an effect is open although its transfer has ended";
    WebhookOverdue "webhook_overdue" Work "a webhook is due and nobody sends it";
    WebhookEndpointDisabled "webhook_endpoint_disabled" Work "an endpoint is disabled: its tenant hears of nothing";
    BankLineUnreadable "bank_line_unreadable" Bank "a line of the statement cannot be read";
    BankCreditUnknown "bank_credit_unknown" Bank "the bank was paid money that is not in our books";
    BankCreditMissing "bank_credit_missing" Bank "money in our books that the bank was not paid";
    BankCreditDiffers "bank_credit_differs" Bank "the bank was paid another amount";
    BankDebitUnknown "bank_debit_unknown" Bank "the bank was debited, and our books do not say so";
    BankDebitMissing "bank_debit_missing" Bank "a debit in our books that the bank does not have";
    BankDebitDiffers "bank_debit_differs" Bank "the bank was debited another amount";
    BankPaymentUnknown "bank_payment_unknown" Bank "the bank paid, and our books do not say so";
    BankPaymentMissing "bank_payment_missing" Bank "a payment in our books that the bank did not make";
    BankPaymentDiffers "bank_payment_differs" Bank "the bank paid another amount";
    BankBalanceDiffers "bank_balance_differs" Bank "the balance does not follow from the statement and our books";
    OnRampLineUnreadable "on_ramp_line_unreadable" OnRamp "a line of the statement cannot be read";
    OnRampOrderUnknown "on_ramp_order_unknown" OnRamp "it carried an order out, and our books do not say so";
    OnRampOrderMissing "on_ramp_order_missing" OnRamp "an order in our books that it did not carry out";
    OnRampOrderDiffers "on_ramp_order_differs" OnRamp "it took or delivered another amount";
    OffRampLineUnreadable "off_ramp_line_unreadable" OffRamp "a line of the statement cannot be read";
    OffRampDepositUnknown "off_ramp_deposit_unknown" OffRamp "it has tokens that our books do not say we sent";
    OffRampDepositMissing "off_ramp_deposit_missing" OffRamp "tokens that we sent and it does not have";
    OffRampDepositDiffers "off_ramp_deposit_differs" OffRamp "it has another amount of tokens";
    OffRampPayoutUnknown "off_ramp_payout_unknown" OffRamp "it paid, and our books do not say so";
    OffRampPayoutMissing "off_ramp_payout_missing" OffRamp "a payout in our books that it did not make";
    OffRampPayoutDiffers "off_ramp_payout_differs" OffRamp "it paid another amount";
    OffRampReturnUnknown "off_ramp_return_unknown" OffRamp "it sent tokens back, and our books do not say so";
    OffRampReturnMissing "off_ramp_return_missing" OffRamp "a return in our books that it did not make";
    OffRampReturnDiffers "off_ramp_return_differs" OffRamp "it sent back another amount";
    ChainSettlementUnknown "chain_settlement_unknown" Chain "tokens left our wallet, and our books do not say so";
    ChainSettlementMissing "chain_settlement_missing" Chain "tokens in our books as sent that did not leave our wallet";
    ChainSettlementDiffers "chain_settlement_differs" Chain "another amount of tokens left our wallet";
    ChainArrivalUnknown "chain_arrival_unknown" Chain "tokens came to our wallet, and our books do not say so";
    ChainArrivalMissing "chain_arrival_missing" Chain "tokens in our books as come that did not";
    ChainArrivalDiffers "chain_arrival_differs" Chain "another amount of tokens came to our wallet";
    ChainBalanceDiffers "chain_balance_differs" Chain "the wallet's balance does not follow from its transfers and our books";
}

impl Kind {
    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_and_is_of_the_book_of_its_flow() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
        }
        for flow in Flow::ALL {
            for (kind, how) in flow.kinds().into_iter().zip(["unknown", "missing", "differs"]) {
                assert_eq!(kind.name(), format!("{}_{how}", flow.name()));
                assert_eq!(kind.book(), flow.book());
            }
        }
    }
}
