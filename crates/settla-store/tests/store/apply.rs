//! One batch, as the runner does it, without its queue.

use crate::support::now;
use settla_domain::decide::{Answer, Command, decide};
use settla_domain::effect::EffectKind;
use settla_domain::id::{TransferId, WithdrawalId};
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_store::batch::{BatchConnection, BatchTx, Keys, Memory, Outcome, Takers, Written};
use settla_store::{Store, StoreError};
use uuid::Uuid;

pub fn keys(tenant: TenantNo, commands: &[Command]) -> Keys {
    let mut keys = Keys { tenants: [tenant].into(), ..Keys::default() };
    for command in commands {
        match command {
            Command::CreateQuote(_) | Command::CreateTopup(_) => {}
            Command::CreateTransfer(create) => drop(keys.quotes.insert((tenant, create.quote))),
            Command::CancelTransfer { transfer, .. } | Command::ExpireHold { transfer, .. } => {
                keys.transfers.insert((tenant, *transfer));
                keys.effects.insert((tenant, EffectKind::OnRamp.id_for(transfer.0)));
            }
            Command::BankCredit { credit, .. } => {
                keys.bank_entries.insert(credit.entry_id.clone());
                keys.topup_references.insert((tenant, credit.reference.clone()));
            }
            Command::Decide(decided) => {
                keys.transfers.insert((tenant, TransferId(decided.subject)));
                keys.withdrawals.insert((tenant, WithdrawalId(decided.subject)));
            }
            Command::CreateWithdrawal(w) => drop(keys.withdrawal_references.insert((tenant, w.reference.clone()))),
            Command::Report(report) => {
                keys.effects.insert((tenant, report.effect));
                keys.transfers.insert((tenant, TransferId(report.subject)));
                keys.withdrawals.insert((tenant, WithdrawalId(report.subject)));
            }
        }
    }
    keys
}

/// Decides the commands one after the other and commits what they lead to, with `more` (personal data, first
/// answers, audit entries) beside it.
pub async fn apply_with(
    store: &Store,
    tenant: TenantNo,
    commands: &[Command],
    more: Outcome,
) -> Result<Vec<Result<Answer, Refusal>>, StoreError> {
    let mut connection = BatchConnection::acquire(&store.runner).await?;
    let mut tx = BatchTx::begin(&mut connection, Uuid::now_v7(), &[tenant].into()).await?;
    let mut loaded = tx.load(keys(tenant, commands), &Memory::default()).await?;
    let at = now();
    let mut outcome = more;
    let mut answers = Vec::new();
    for command in commands {
        let decision = decide(&loaded.world, command, at);
        answers.push(decision.map(|decision| {
            loaded.world.apply(&decision.changes).unwrap();
            outcome.changes.extend(decision.changes);
            decision.answer
        }));
    }
    tx.write(&outcome, &loaded, at, &Takers::default()).await?;
    tx.commit().await?;
    Ok(answers)
}

/// [`apply`] with workers that take over; what is handed over is returned, so that it can be dropped. `commits`: or not.
pub async fn apply_for(
    store: &Store,
    tenant: TenantNo,
    commands: &[Command],
    takers: &Takers,
    commits: bool,
) -> Written {
    let mut connection = BatchConnection::acquire(&store.runner).await.unwrap();
    let mut tx = BatchTx::begin(&mut connection, Uuid::now_v7(), &[tenant].into()).await.unwrap();
    let mut loaded = tx.load(keys(tenant, commands), &Memory::default()).await.unwrap();
    let at = now();
    let mut outcome = Outcome::default();
    for command in commands {
        let decision = decide(&loaded.world, command, at).unwrap();
        loaded.world.apply(&decision.changes).unwrap();
        outcome.changes.extend(decision.changes);
    }
    let written = tx.write(&outcome, &loaded, at, takers).await.unwrap();
    if commits {
        tx.commit().await.unwrap();
    }
    written
}

/// [`apply_with`] nothing more; every command must be taken.
pub async fn apply(store: &Store, tenant: TenantNo, commands: &[Command]) -> Vec<Answer> {
    let answers = apply_with(store, tenant, commands, Outcome::default()).await.unwrap();
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

/// A transfer from a quote of its own; the tenant must be funded.
pub async fn transfer(store: &Store, tenant: TenantNo, source_minor: i128) -> Transfer {
    let quote = crate::support::quote(tenant, source_minor);
    let create = crate::support::create(&quote);
    let answers = apply(store, tenant, &[Command::CreateQuote(quote), Command::CreateTransfer(create)]).await;
    let Some(Answer::Transfer(transfer)) = answers.into_iter().nth(1) else { panic!("no transfer") };
    transfer
}
