//! A tenant whose life has left a row in every table.

use crate::apply::{apply, apply_with, transfer};
use crate::support::{create, findings_to_completion, funding, now, quote, tenant, withdrawal};
use settla_domain::decide::{Answer, Command, Report};
use settla_domain::effect::Effect;
use settla_domain::event::EVENT_TYPES;
use settla_domain::id::KeyId;
use settla_domain::money::{Currency, Money};
use settla_domain::review::Decision;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_domain::withdrawal::Withdrawal;
use settla_store::StoreError;
use settla_store::batch::{Audit, Idempotency, Outcome, SealedParties};
use settla_store::inbox::{self, InboxEvent};
use settla_store::read::{self, Asked, Changed, EndpointMade, EndpointRow, NewEndpoint, NewRedelivery, Which};
use settla_store::reconcile::{self, BreakRow, Checkpoint, Fold, Item, Update};
use settla_store::review;
use settla_store::settlement::{self, ClosedBy, Gathering, Lane, Member, NewTransaction, Waiting};
use settla_store::webhook::{self, Attempted, Next, Places};
use settla_store::{Store, operator};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use uuid::Uuid;

/// What of such a life tests refer to.
pub struct Life {
    pub tenant: TenantNo,
    pub slug: String,
    pub key_hash: [u8; 32],
    pub key: KeyId,
    pub endpoint: Uuid,
    /// Ended: it has postings of every kind.
    pub completed: Transfer,
    /// Its settle effect is in a batch.
    pub settling: Transfer,
    pub withdrawal: Withdrawal,
}

/// A key of an idempotent request.
pub fn first(tenant: TenantNo, key: &str, subject: Uuid) -> Idempotency {
    Idempotency { tenant, key: key.to_owned(), fingerprint: vec![1; 32], refusal: None, subject: Some(subject) }
}

/// The request of such a key.
pub fn asked(first: &Idempotency) -> Asked<'_> {
    Asked { first, actor: "key", request_id: "r" }
}

/// Makes an endpoint that wants every event.
pub async fn endpoint(store: &Store, tenant: TenantNo) -> Uuid {
    let id = Uuid::now_v7();
    let row = EndpointRow {
        id,
        url: "https://tenant.example/hook".to_owned(),
        events: EVENT_TYPES.map(str::to_owned).to_vec(),
        status: "enabled".to_owned(),
        old_secret_until: None,
        created_at: now(),
    };
    let new = NewEndpoint { row: &row, secret_sealed: b"sealed", endpoints_max: 5, actor: "key", request_id: "r1" };
    let made = read::create_endpoint(&store.app, &first(tenant, &format!("endpoint-{id}"), id), &new).await.unwrap();
    assert!(matches!(made, EndpointMade::Made));
    id
}

/// Applies findings one by one, as they come in.
pub async fn find(store: &Store, reports: &[Report]) {
    for report in reports {
        assert_eq!(apply(store, report.tenant, &[Command::Report(report.clone())]).await, [Answer::Applied]);
    }
}

/// Puts everything that is due into one settlement batch.
pub async fn settle(store: &Store) -> (Uuid, Vec<Member>) {
    let mut gathering = gather(store, 100).await;
    let amount = |effect: &Effect| match effect {
        Effect::Settle { amount, .. } => i64::try_from(amount.minor).unwrap(),
        other => panic!("gathered {other:?}"),
    };
    let members: Vec<Member> = gathering
        .claims
        .iter()
        .map(|c| Member { effect: c.id, tenant: c.tenant, subject: c.subject, amount: amount(&c.effect), payout: c.id })
        .collect();
    let batch = Uuid::now_v7();
    gathering.close(batch, &lane(), ClosedBy::Window, &members, &[7; 32]).await.unwrap();
    gathering.commit().await.unwrap();
    (batch, members)
}

/// Where batches go.
pub fn lane() -> Lane {
    let text = |text: &str| text.to_owned();
    Lane {
        chain: text("eip155:43113"),
        provider: text("meridian"),
        currency: text("USDC"),
        token: text("0x01"),
        destination: text("0x02"),
    }
}

/// Takes what is due for [`lane`].
pub async fn gather(store: &Store, limit: i64) -> Gathering {
    let waiting = Waiting {
        chain: lane().chain,
        provider: lane().provider,
        currency: Currency::USDC,
        oldest_ms: 0,
        total: Money::new(Currency::USDC, 0),
        batched: 0,
        alone: 0,
    };
    settlement::gather(&store.worker, &waiting, limit).await.unwrap()
}

/// Stores a transaction of a batch at a nonce.
pub async fn sign(store: &Store, batch: Uuid, nonce: i64, tx_hash: &str, fee: i64) -> Result<(), StoreError> {
    let raw = tx_hash.as_bytes();
    let new = NewTransaction { nonce, tx_hash, raw, max_fee_per_gas: fee, max_priority_fee_per_gas: 1 };
    settlement::signed(&store.worker, batch, &new).await
}

/// Reconciliation has come by and found something.
async fn compared(store: &Store, tenant: TenantNo) {
    let update = Update {
        folds: vec![Fold {
            tenant,
            sequence: 1,
            max_at: now(),
            unmarked: 0,
            sums: BTreeMap::new(),
            days: BTreeMap::new(),
        }],
        checkpoints: vec![Checkpoint { tenant, sequence: 1, max_at: now(), balances: BTreeMap::new() }],
        items: vec![Item {
            flow: "bank_credit".to_owned(),
            key: tenant.0.to_string(),
            tenant,
            subject: None,
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
        }],
        breaks: vec![BreakRow {
            kind: "position_differs".to_owned(),
            key: tenant.0.to_string(),
            tenant,
            subject: None,
            currency: None,
            ours: None,
            theirs: None,
            detail: "for the attack".to_owned(),
            first_seen: now(),
            last_seen: now(),
            opened_at: Some(now()),
            resolved_at: None,
        }],
        ..Update::default()
    };
    let turn = reconcile::claim(&store.reconciler, Duration::from_secs(60)).await.unwrap().expect("a turn");
    assert!(turn.complete(&store.reconciler, &update, Duration::ZERO).await.unwrap());
}

/// Lives it.
pub async fn live(store: &Store, slug: &str) -> Life {
    let tenant = tenant(store, slug).await;
    let (key, key_hash) = (KeyId(Uuid::now_v7()), [u8::try_from(tenant.0).unwrap(); 32]);
    let new = operator::NewKey {
        id: key,
        tenant,
        environment: "test",
        hash: &key_hash,
        hash_version: 1,
        hint: "sk_test_...1234",
        name: "backend",
        scopes: &["transfers"],
        allowed_ips: &[],
        expires_at: None,
        actor: "test",
    };
    operator::create_key(&store.operator, &new).await.unwrap();
    let endpoint = endpoint(store, tenant).await;
    apply(store, tenant, &funding(tenant, 10_000_000)).await;

    let quote = quote(tenant, 100_000);
    let create = create(&quote);
    let sealed = SealedParties { recipient_name: Some(b"sealed".to_vec()), ..SealedParties::default() };
    let audit = Audit {
        tenant,
        actor: "key".to_owned(),
        action: "transfer.create",
        object: create.id.to_string(),
        request_id: Some("r2".to_owned()),
    };
    let more = Outcome {
        sealed: vec![(tenant, create.id.0, sealed)],
        idempotency: vec![first(tenant, "transfer", create.id.0)],
        audit: vec![audit],
        ..Outcome::default()
    };
    let commands = [Command::CreateQuote(quote), Command::CreateTransfer(create)];
    let answers = apply_with(store, tenant, &commands, more).await.unwrap();
    let Ok(Answer::Transfer(completed)) = answers.into_iter().nth(1).unwrap() else { panic!("no transfer") };
    find(store, &findings_to_completion(&completed)).await;

    let withdrawal = withdrawal(tenant, 5_000, "W-1");
    apply(store, tenant, &[Command::CreateWithdrawal(withdrawal.clone())]).await;

    let settling = transfer(store, tenant, 50_000).await;
    find(store, &findings_to_completion(&settling)[..2]).await;
    let (_, members) = settle(store).await;
    assert_eq!(members.len(), 1);

    let due = webhook::claim(
        &store.worker,
        &Places { free: 100, per_endpoint: 100, learnt: HashMap::new(), per_tenant: 100 },
        60_000,
    )
    .await
    .unwrap();
    assert!(!due.is_empty());
    let attempts = due.iter().map(|d| Attempted {
        delivery: d.id,
        tenant: d.tenant,
        attempt: d.attempt,
        at: now(),
        status: Some(500),
        error: None,
        latency_ms: 12,
        next: Next::RetryInMs(60_000),
    });
    webhook::attempted(&store.worker, &attempts.collect::<Vec<_>>()).await.unwrap();
    let again = first(tenant, "again", Uuid::now_v7());
    let range =
        NewRedelivery { endpoint, from_sequence: 1, to_sequence: 1, which: Which::All, ids: vec![Uuid::now_v7()] };
    let made = read::redeliver_range(&store.app, &asked(&again), &range).await.unwrap();
    assert!(matches!(made, Changed::Made(row) if row.deliveries == 0), "it is pending");

    let event = InboxEvent {
        provider: "harbour".to_owned(),
        event_id: slug.to_owned(),
        body: serde_json::json!({}),
        attempts: 0,
    };
    assert_eq!(inbox::keep(&store.worker, &[(&event, false)]).await.unwrap().len(), 1);
    inbox::set_checkpoint(&store.worker, slug, "1").await.unwrap();
    operator::agree(&store.operator, slug, "1").await.unwrap().unwrap();
    let proposal = review::Proposal {
        id: Uuid::now_v7(),
        tenant,
        subject: completed.id.0,
        decision: Decision::Refund,
        ticket: "T-1".to_owned(),
        reason: "for the attack".to_owned(),
        proposed_by: "ada".to_owned(),
    };
    review::propose(&store.operator, &proposal).await.unwrap();
    compared(store, tenant).await;
    Life { tenant, slug: slug.to_owned(), key_hash, key, endpoint, completed, settling, withdrawal }
}
