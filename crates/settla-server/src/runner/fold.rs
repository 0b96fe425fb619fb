//! Deciding a batch in memory: each command sees what the ones before it did.

use super::{Decided, Envelope, RunnerError, command_name};
use settla_domain::decide::{Answer, Command, decide};
use settla_domain::effect::{EffectKind, LEGS_MAX};
use settla_domain::id::{QuoteId, TransferId, WithdrawalId};
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::transfer::{Progress, TransferState, sale_named_by};
use settla_domain::withdrawal::WithdrawalState;
use settla_domain::world::World;
use settla_store::batch::{Audit, Idempotency, Keys, Loaded, Outcome, Recorded};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What a batch came to.
pub(super) struct Folded {
    pub outcome: Outcome,
    pub answers: Vec<Result<Decided, RunnerError>>,
    /// A change broke an invariant: nothing of this may be written.
    pub broken: bool,
}

/// What the envelopes need loaded.
pub(super) fn keys(envelopes: &[Envelope], tenants: BTreeSet<TenantNo>) -> Keys {
    let mut keys = Keys { tenants, ..Keys::default() };
    for envelope in envelopes {
        let tenant = envelope.tenant;
        if let Some((key, _)) = &envelope.idempotency {
            keys.idempotency.insert((tenant, key.clone()));
        }
        match &envelope.command {
            Command::CreateQuote(_) | Command::CreateTopup(_) => {}
            Command::CreateTransfer(create) => drop(keys.quotes.insert((tenant, create.quote))),
            Command::CancelTransfer { transfer, .. } | Command::ExpireHold { transfer, .. } => {
                keys.transfers.insert((tenant, *transfer));
                // Which leg is the present one is known only once it is loaded.
                keys.effects.extend((0..LEGS_MAX).map(|leg| (tenant, EffectKind::OnRamp.id_on_leg(transfer.0, leg))));
            }
            Command::BankCredit { credit, sale_of, .. } => {
                if let (Some(tenant), Some(transfer)) = (*sale_of, sale_named_by(&credit.reference)) {
                    keys.transfers.insert((tenant, transfer));
                    keys.effects.insert((tenant, EffectKind::SellBack.id_for(transfer.0)));
                }
                keys.bank_entries.insert(credit.entry_id.clone());
                keys.topup_references.insert((tenant, credit.reference.clone()));
            }
            Command::CreateWithdrawal(withdrawal) => {
                keys.withdrawal_references.insert((tenant, withdrawal.reference.clone()));
            }
            Command::Decide(decided) => {
                keys.transfers.insert((tenant, TransferId(decided.subject)));
                keys.withdrawals.insert((tenant, WithdrawalId(decided.subject)));
            }
            Command::Report(report) => {
                keys.effects.insert((tenant, report.effect));
                keys.transfers.insert((tenant, TransferId(report.subject)));
                if EffectKind::BankPayment.id_for(report.subject) == report.effect {
                    keys.withdrawals.insert((tenant, WithdrawalId(report.subject)));
                }
            }
        }
    }
    keys
}

/// Decides every envelope in order.
pub(super) fn fold(loaded: &mut Loaded, envelopes: &[Envelope], now: Timestamp) -> Folded {
    let mut folded =
        Folded { outcome: Outcome::default(), answers: Vec::with_capacity(envelopes.len()), broken: false };
    for envelope in envelopes {
        let answer = one(loaded, envelope, now, &mut folded);
        folded.answers.push(answer);
    }
    folded
}

fn one(loaded: &mut Loaded, envelope: &Envelope, now: Timestamp, folded: &mut Folded) -> Result<Decided, RunnerError> {
    if let Some((key, fingerprint)) = &envelope.idempotency
        && let Some(recorded) = loaded.idempotency.get(&(envelope.tenant, key.clone()))
    {
        return replay(&loaded.world, envelope, recorded, fingerprint);
    }
    let decision = decide(&loaded.world, &envelope.command, now);
    let result = match decision {
        Ok(decision) => {
            if let Err(error) = loaded.world.apply(&decision.changes) {
                tracing::error!(%error, command = command_name(&envelope.command), "the engine broke an invariant");
                folded.broken = true;
                return Err(RunnerError::Internal);
            }
            folded.outcome.changes.extend(decision.changes);
            if let Some((subject, sealed)) = &envelope.sealed {
                folded.outcome.sealed.push((envelope.tenant, *subject, sealed.clone()));
            }
            if let Some((actor, request_id)) = &envelope.audit {
                folded.outcome.audit.push(audit(envelope, actor, request_id, &decision.answer));
            }
            Ok(decision.answer)
        }
        Err(refusal) => Err(refusal),
    };
    remember(loaded, envelope, &result, folded);
    Ok(Decided { answer: result?, replayed: false })
}

/// Keeps the first answer, for the rest of this batch and for later ones.
fn remember(loaded: &mut Loaded, envelope: &Envelope, result: &Result<Answer, Refusal>, folded: &mut Folded) {
    let Some((key, fingerprint)) = &envelope.idempotency else { return };
    let refusal = result.as_ref().err().copied();
    // What depends on the hour (rates) or on the tenant's standing says nothing about a later try.
    if matches!(refusal, Some(Refusal::RateStale | Refusal::TenantNotActive)) {
        return;
    }
    let subject = result.as_ref().ok().and_then(subject);
    let recorded = Recorded { fingerprint: fingerprint.clone(), refusal, subject };
    loaded.idempotency.insert((envelope.tenant, key.clone()), recorded);
    let row =
        Idempotency { tenant: envelope.tenant, key: key.clone(), fingerprint: fingerprint.clone(), refusal, subject };
    folded.outcome.idempotency.push(row);
}

fn subject(answer: &Answer) -> Option<Uuid> {
    match answer {
        Answer::Quote(quote) => Some(quote.id.0),
        Answer::Transfer(transfer) => Some(transfer.id.0),
        Answer::Topup(topup) => Some(topup.id.0),
        Answer::Withdrawal(withdrawal) => Some(withdrawal.id.0),
        Answer::Applied | Answer::Nothing | Answer::Contradicts => None,
    }
}

/// The first answer again, from what cannot have changed since.
fn replay(world: &World, envelope: &Envelope, recorded: &Recorded, fingerprint: &[u8]) -> Result<Decided, RunnerError> {
    if recorded.fingerprint != fingerprint {
        return Err(Refusal::IdempotencyConflict.into());
    }
    if let Some(refusal) = recorded.refusal {
        return Err(refusal.into());
    }
    let subject = recorded.subject.ok_or(RunnerError::Internal)?;
    let tenant = envelope.tenant;
    let answer = match &envelope.command {
        Command::CreateQuote(_) => world.quotes.get(&(tenant, QuoteId(subject))).map(|q| Answer::Quote(q.clone())),
        Command::CreateTransfer(_) => world.transfers.get(&(tenant, TransferId(subject))).map(|t| {
            let mut first = t.clone();
            first.state = TransferState::Funded;
            first.version = 1;
            first.progress = Progress::default();
            first.updated_at = first.created_at;
            Answer::Transfer(first)
        }),
        Command::CancelTransfer { .. } | Command::ExpireHold { .. } => {
            world.transfers.get(&(tenant, TransferId(subject))).map(|t| Answer::Transfer(t.clone()))
        }
        Command::CreateTopup(_) => world.topups.values().find(|t| t.tenant == tenant && t.id.0 == subject).map(|t| {
            let mut first = t.clone();
            first.credited = 0;
            Answer::Topup(first)
        }),
        Command::CreateWithdrawal(_) => world.withdrawals.get(&(tenant, WithdrawalId(subject))).map(|w| {
            let mut first = w.clone();
            first.state = WithdrawalState::Pending;
            first.failure = None;
            first.updated_at = first.created_at;
            Answer::Withdrawal(first)
        }),
        Command::BankCredit { .. } | Command::Decide(_) | Command::Report(_) => None,
    };
    answer.map(|answer| Decided { answer, replayed: true }).ok_or(RunnerError::Internal)
}

fn audit(envelope: &Envelope, actor: &str, request_id: &str, answer: &Answer) -> Audit {
    let action = match envelope.command {
        Command::CreateQuote(_) => "quote.create",
        Command::CreateTransfer(_) => "transfer.create",
        Command::CancelTransfer { .. } => "transfer.cancel",
        Command::ExpireHold { .. } => "transfer.expire",
        Command::CreateTopup(_) => "topup.create",
        Command::BankCredit { .. } => "bank.credit",
        Command::CreateWithdrawal(_) => "withdrawal.create",
        Command::Decide(_) => "review.decide",
        Command::Report(_) => "effect.report",
    };
    let object = match answer {
        Answer::Quote(quote) => quote.id.to_string(),
        Answer::Transfer(transfer) => transfer.id.to_string(),
        Answer::Topup(topup) => topup.id.to_string(),
        Answer::Withdrawal(withdrawal) => withdrawal.id.to_string(),
        Answer::Applied | Answer::Nothing | Answer::Contradicts => String::new(),
    };
    Audit { tenant: envelope.tenant, actor: actor.to_owned(), action, object, request_id: Some(request_id.to_owned()) }
}
