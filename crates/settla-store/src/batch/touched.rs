//! Which rows a batch's changes touch, each once however often it changed.

use settla_domain::effect::EffectOrder;
use settla_domain::event::Event;
use settla_domain::id::{EffectId, QuoteId, TransferId, WithdrawalId};
use settla_domain::money::Currency;
use settla_domain::posting::Posting;
use settla_domain::tenant::TenantNo;
use settla_domain::world::Change;
use std::collections::{BTreeMap, BTreeSet};

/// Keys of the rows; what is to be written is in the world, where all changes have been applied.
#[derive(Default)]
pub(super) struct Touched<'a> {
    pub new_quotes: BTreeSet<(TenantNo, QuoteId)>,
    pub used_quotes: BTreeSet<(TenantNo, QuoteId)>,
    pub new_transfers: BTreeSet<(TenantNo, TransferId)>,
    pub changed_transfers: BTreeSet<(TenantNo, TransferId)>,
    pub topups: BTreeSet<&'a str>,
    pub withdrawals: BTreeSet<(TenantNo, WithdrawalId)>,
    pub positions: BTreeSet<(TenantNo, Currency)>,
    pub postings: Vec<&'a Posting>,
    pub bank_entries: Vec<&'a str>,
    pub new_effects: BTreeMap<EffectId, &'a EffectOrder>,
    pub moved_effects: BTreeSet<(TenantNo, EffectId)>,
    pub events: Vec<&'a Event>,
}

impl<'a> Touched<'a> {
    /// Goes through the changes of a batch.
    pub fn by(changes: &'a [Change]) -> Self {
        let mut touched = Self::default();
        for change in changes {
            touched.note(change);
        }
        touched.used_quotes = &touched.used_quotes - &touched.new_quotes;
        touched.changed_transfers = &touched.changed_transfers - &touched.new_transfers;
        touched.moved_effects.retain(|(_, id)| !touched.new_effects.contains_key(id));
        touched
    }

    fn note(&mut self, change: &'a Change) {
        match change {
            Change::QuoteCreated(q) => drop(self.new_quotes.insert((q.tenant, q.id))),
            Change::QuoteUsed(tenant, id) => drop(self.used_quotes.insert((*tenant, *id))),
            Change::TransferCreated(t) => drop(self.new_transfers.insert((t.tenant, t.id))),
            Change::TransferChanged(t) => drop(self.changed_transfers.insert((t.tenant, t.id))),
            Change::TopupCreated(t) | Change::TopupChanged(t) => drop(self.topups.insert(&t.reference)),
            Change::WithdrawalCreated(w) | Change::WithdrawalChanged(w) => {
                self.withdrawals.insert((w.tenant, w.id));
            }
            Change::BankEntryApplied(id) => self.bank_entries.push(id),
            Change::Posted(posting) => {
                self.postings.push(posting);
                // One that moves only the platform's own accounts leaves the tenant's position as it is.
                let owners = [posting.debit.owner(), posting.credit.owner()];
                if posting.tenant != TenantNo::PLATFORM && owners.contains(&posting.tenant) {
                    self.positions.insert((posting.tenant, posting.amount.currency));
                }
            }
            Change::UsageChanged(tenant, currency, _) => drop(self.positions.insert((*tenant, *currency))),
            Change::EffectOrdered(order) => drop(self.new_effects.insert(order.id, order)),
            Change::EffectMoved(tenant, id, _) => drop(self.moved_effects.insert((*tenant, *id))),
            Change::Happened(event) => self.events.push(event),
        }
    }
}
