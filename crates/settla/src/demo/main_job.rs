//! The main job: pounds become USDC, move on chain, become naira, and are paid out.

use super::api::{Position, Posting, Transfer};
use super::outcome::{Change, Sums, ensure, ensure_state};
use super::show;
use super::stage::{Ended, Stage, Tenant, Track};
use crate::failure::Failure;
use crate::local::Amount;
use settla_domain::effect::EffectKind;
use settla_domain::money::{Currency, Money};
use settla_domain::transfer::TransferState;
use settla_evm::{Address, Receipt, TxHash, manifest_hash, parse_transfer_calldata};
use std::collections::BTreeMap;
use std::time::Instant;

/// Tells it.
pub(super) async fn tell(stage: &Stage, tenant: &Tenant) -> Result<(), Failure> {
    let before = tenant.position(Currency::GBP).await?;
    let quote = tenant.quote("GBP", Amount::Source("1250.00")).await?;
    show::quote(&quote);

    let track = Track { label: "", since: Instant::now() };
    let started = tenant.start(&quote, "INV-2026-0042").await?;
    show::subheading("Transfer");
    show::field("transfer", &format!("{}, reference {}", started.id, started.reference));
    let to = &started.beneficiary;
    show::field("beneficiary", &format!("{} {} (kept encrypted, shown masked)", to.name, to.account));
    show::note("Each state as its webhook comes in:");
    let ended = stage.follow(tenant, started, track).await?;
    let transfer = &ended.transfer;
    ensure_state(transfer, TransferState::Completed)?;
    ensure(transfer.paid == Some(quote.price.destination), || "another amount was paid than was quoted".to_owned())?;

    timeline(tenant, &ended).await?;
    chain(stage, transfer).await?;
    ledger(&tenant.postings(transfer.id).await?)?;
    show::webhook(&ended.webhook, &stage.hooks.url);
    show::checked("signature verified: HMAC-SHA256 over id, timestamp and body with the endpoint's secret");
    position(before, tenant.position(Currency::GBP).await?, transfer)
}

/// The events, the last of which is the webhook that came.
async fn timeline(tenant: &Tenant, ended: &Ended) -> Result<(), Failure> {
    let events = tenant.events(ended.transfer.id).await?;
    show::timeline(&ended.transfer, &events);
    let last = events.last().map(|event| event.id.to_string());
    ensure(last.as_deref() == Some(ended.webhook.id.as_str()), || {
        format!("the last event is {last:?}, the last webhook {}", ended.webhook.id)
    })
}

/// Both transactions, read from the chain itself.
async fn chain(stage: &Stage, transfer: &Transfer) -> Result<(), Failure> {
    let price = &transfer.price;
    let delivery = receipt(stage, transfer.delivery_tx).await?;
    let settlement = receipt(stage, transfer.settlement_tx).await?;
    let names = names(stage, &delivery, &settlement);

    show::subheading("Chain: the on-ramp's delivery to us");
    show::receipt(&delivery, &names);
    moved(&delivery, None, Some(stage.facts.wallet), price.bought.minor)?;
    show::subheading("Chain: our settlement with the off-ramp");
    show::receipt(&settlement, &names);
    moved(&settlement, Some(stage.facts.wallet), None, price.sent.minor)?;
    manifest(stage, transfer, settlement.tx_hash).await
}

async fn receipt(stage: &Stage, hash: Option<TxHash>) -> Result<Receipt, Failure> {
    let hash = hash.ok_or_else(|| Failure::new("a transaction is missing from the transfer"))?;
    let receipt = stage.chain.receipts(&[hash]).await?.into_iter().next().flatten();
    receipt.ok_or_else(|| Failure::new(format!("the chain does not know {hash}")))
}

fn names(stage: &Stage, delivery: &Receipt, settlement: &Receipt) -> BTreeMap<Address, &'static str> {
    let mut names = BTreeMap::from([(stage.facts.wallet, "our wallet")]);
    names.extend(delivery.transfers.iter().map(|log| (log.from, "the on-ramp's treasury")));
    names.extend(settlement.transfers.iter().map(|log| (log.to, "the off-ramp's deposit address")));
    names
}

/// One transfer of our token, of just this amount, in a transaction that succeeded.
fn moved(receipt: &Receipt, from: Option<Address>, to: Option<Address>, amount: i128) -> Result<(), Failure> {
    let fits = match receipt.transfers.as_slice() {
        [log] => {
            receipt.succeeded
                && i128::try_from(log.amount) == Ok(amount)
                && from.is_none_or(|from| log.from == from)
                && to.is_none_or(|to| log.to == to)
        }
        _ => false,
    };
    ensure(fits, || format!("{} does not move what it has to", receipt.tx_hash))
}

/// The calldata names the batch, and the hash of its manifest, which we work out anew from the transfer.
async fn manifest(stage: &Stage, transfer: &Transfer, hash: TxHash) -> Result<(), Failure> {
    let tx = stage.chain.transaction(hash).await?;
    let call = tx.and_then(|tx| parse_transfer_calldata(&tx.input));
    let named = call.and_then(|call| call.batch);
    let payout = EffectKind::OffRamp.id_for(transfer.id.0).0;
    let manifest = manifest_hash(&[(payout, u128::try_from(transfer.price.sent.minor)?)]);
    ensure(named == transfer.settlement_batch_id.map(|batch| (batch.0, manifest)), || {
        format!("the calldata of {hash} does not name the batch and its manifest")
    })?;
    show::checked(&format!("the calldata carries the manifest hash {}", hex::encode(manifest)));
    show::note("It binds the tokens to this payout: the off-ramp checks it before it pays.");
    Ok(())
}

/// Debits equal credits in every currency, and nothing is left held or on its way.
fn ledger(postings: &[Posting]) -> Result<(), Failure> {
    show::postings(postings);
    ensure(!postings.is_empty(), || "there are no postings".to_owned())?;
    let mut accounts: BTreeMap<(Currency, String), Sums> = BTreeMap::new();
    for Posting { debit, credit, amount, .. } in postings {
        accounts.entry((amount.currency, debit.clone())).or_default().debits += amount.minor;
        accounts.entry((amount.currency, credit.clone())).or_default().credits += amount.minor;
    }
    show::sums(&accounts);
    let mut totals: BTreeMap<Currency, Sums> = BTreeMap::new();
    for ((currency, account), Sums { debits, credits }) in &accounts {
        let passed_through = matches!(account.as_str(), "held" | "in_transit");
        ensure(!passed_through || debits == credits, || format!("{account} {currency} is left with a balance"))?;
        let total = totals.entry(*currency).or_default();
        total.debits += debits;
        total.credits += credits;
    }
    for (currency, Sums { debits, credits }) in totals {
        let amount = |minor| show::digits(Money::new(currency, minor));
        ensure(debits == credits, || format!("{currency}: debits {} but credits {}", amount(debits), amount(credits)))?;
        show::checked(&format!("{currency} debits {} = credits {}", amount(debits), amount(credits)));
    }
    Ok(())
}

fn position(before: Position, after: Position, transfer: &Transfer) -> Result<(), Failure> {
    show::subheading("Position");
    let change = Change { before, after };
    show::positions(&[change]);
    change.ensure(-transfer.price.debit.minor)?;
    show::checked("debited once, with what was quoted; nothing is left held or on its way");
    Ok(())
}
