//! What a tenant and an operator read, and that a tenant reads nothing of another.

use crate::apply::transfer;
use crate::life::{Life, asked, first, live};
use crate::support::{check::assert_books, now, open};
use futures_util::future::join_all;
use settla_devkit::TestDatabase;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::id::KeyId;
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use settla_store::operator::RateOverrides;
use settla_store::read::{self, Changed, DeliveryFilter, EndpointMade, EndpointRow, NewEndpoint};
use settla_store::{Store, books, operator};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

async fn ground() -> (TestDatabase, Store, Life, Life) {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let (one, two) = (live(&store, "one").await, live(&store, "two").await);
    (database, store, one, two)
}

#[tokio::test]
async fn a_tenant_reads_its_own_and_nobody_elses() {
    let (_database, store, one, two) = ground().await;
    let app = &store.app;
    for (me, other) in [(&one, &two), (&two, &one)] {
        let tenant = me.tenant;
        let profile = read::profiles(&store.runner, &BTreeSet::from([tenant])).await.unwrap().remove(&tenant).unwrap();
        assert_eq!((profile.name.as_str(), profile.dek_wrapped), (me.slug.as_str(), tenant.0.to_be_bytes().to_vec()));
        assert!(profile.terms.fees.contains_key(&Currency::GBP) && profile.terms.limits.contains_key(&Currency::GBP));

        let quote = read::quote(app, tenant, me.completed.quote).await.unwrap().unwrap();
        assert!(quote.used && quote.terms == me.completed.terms);
        assert_eq!(read::quote(app, tenant, other.completed.quote).await.unwrap(), None);
        let completed = read::transfer(app, tenant, me.completed.id).await.unwrap().unwrap();
        assert_eq!((completed.state, completed.version), (TransferState::Completed, 5));
        assert_eq!(completed.progress.paid, Some(completed.terms.destination));
        assert_eq!(read::transfer(app, tenant, other.completed.id).await.unwrap(), None);

        let events = read::event_rows(app, tenant, me.completed.id.0, 0, 10).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|e| e.kind.trim_start_matches("transfer.")).collect();
        assert_eq!(kinds, ["funded", "on_ramping", "settling", "off_ramping", "completed"]);
        assert!(events.is_sorted_by_key(|e| e.sequence));
        let rest = read::event_rows(app, tenant, me.completed.id.0, events[2].sequence, 1).await.unwrap();
        assert_eq!(rest.iter().map(|e| e.id).collect::<Vec<_>>(), [events[3].id]);
        assert!(read::event_rows(app, tenant, other.completed.id.0, 0, 10).await.unwrap().is_empty());

        // Another tenant's transfer is not found under one's own name.
        let subjects = [(tenant, me.completed.id.0), (tenant, other.completed.id.0)];
        let sealed = read::personal_data(&store.payer, &subjects).await.unwrap();
        assert_eq!(sealed.keys().collect::<Vec<_>>(), [&subjects[0]]);
        assert_eq!(sealed[&subjects[0]].recipient_name.as_deref(), Some(&b"sealed"[..]));

        let withdrawals = read::withdrawals(app, tenant, None, 10).await.unwrap();
        assert_eq!(withdrawals.iter().map(|w| w.id).collect::<Vec<_>>(), [me.withdrawal.id]);
        assert!(read::withdrawals(app, tenant, Some(me.withdrawal.id.0), 10).await.unwrap().is_empty());
        let topups = read::topups(app, tenant, None, 10).await.unwrap();
        assert!(matches!(&topups[..], [t] if t.tenant == tenant && t.credited == t.expected.minor));
        assert_eq!(read::endpoint(app, tenant, me.endpoint).await.unwrap().unwrap().id, me.endpoint);
        assert!(read::endpoint(app, tenant, other.endpoint).await.unwrap().is_none());
        let mine = read::deliveries(app, tenant, DeliveryFilter::default(), None, 100).await.unwrap();
        assert!(!mine.is_empty() && mine.iter().all(|d| d.endpoint == me.endpoint));
        assert!(read::delivery(app, tenant, mine[0].id).await.unwrap().is_some());
        assert!(read::delivery(app, other.tenant, mine[0].id).await.unwrap().is_none());
        let theirs = DeliveryFilter { endpoint: Some(other.endpoint), status: None };
        assert!(read::deliveries(app, tenant, theirs, None, 100).await.unwrap().is_empty());
    }
    assert_books(&store).await;
}

#[tokio::test]
async fn lists_go_page_by_page_and_filter() {
    let (_database, store, one, _) = ground().await;
    let (app, tenant) = (&store.app, one.tenant);
    let newest = transfer(&store, tenant, 20_000).await;
    let ids = async |state, reference, before, limit| {
        let rows = read::transfers(app, tenant, state, reference, before, limit).await.unwrap();
        rows.into_iter().map(|t| t.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None, None, 10).await, [newest.id, one.settling.id, one.completed.id]);
    assert_eq!(ids(None, None, None, 2).await, [newest.id, one.settling.id]);
    assert_eq!(ids(None, None, Some(one.settling.id.0), 2).await, [one.completed.id]);
    assert_eq!(ids(Some(TransferState::Settling), None, None, 10).await, [one.settling.id]);
    assert_eq!(ids(None, Some("INV-1"), None, 1).await, [newest.id]);
    assert!(ids(None, Some("INV-2"), None, 10).await.is_empty());

    let all = read::postings(app, tenant, None, None, None, 1_000).await.unwrap();
    assert!(all.iter().is_sorted_by(|a, b| a.sequence > b.sequence) && all.len() > 12);
    let page = read::postings(app, tenant, None, None, Some(all[3].sequence), 2).await.unwrap();
    assert_eq!(page.iter().map(|p| p.sequence).collect::<Vec<_>>(), [all[4].sequence, all[5].sequence]);
    let subject = Some(newest.id.0);
    let of_newest = read::postings(app, tenant, subject, None, None, 10).await.unwrap();
    assert_eq!(
        of_newest.iter().map(|p| (p.amount, p.subject)).collect::<Vec<_>>(),
        [(newest.terms.debit, newest.id.0)]
    );
    let account = |kind| Some((AccountId::tenant(tenant, kind), "GBP"));
    let available = read::postings(app, tenant, None, account(AccountKind::Available), None, 1_000).await.unwrap();
    let touches =
        |id| all.iter().filter(move |p| p.amount.currency == Currency::GBP && [p.debit, p.credit].contains(&id));
    assert_eq!(available.len(), touches(AccountId::tenant(tenant, AccountKind::Available)).count());
    for (kind, found) in [(AccountKind::Held, 1), (AccountKind::InTransit, 0)] {
        assert_eq!(read::postings(app, tenant, subject, account(kind), None, 10).await.unwrap().len(), found);
    }
    let positions = read::positions(app, tenant).await.unwrap();
    assert_eq!(positions.iter().map(|(currency, _)| *currency).collect::<Vec<_>>(), [Currency::GBP, Currency::USDC]);
}

#[tokio::test]
async fn an_endpoints_key_is_used_once_and_a_tenant_has_so_many() {
    let (_database, store, one, two) = ground().await;
    let make = async |tenant, key: &str, endpoints_max| {
        let id = Uuid::now_v7();
        let row = EndpointRow {
            id,
            url: "https://x.example".into(),
            events: vec![],
            status: "enabled".into(),
            old_secret_until: None,
            created_at: now(),
        };
        let new = NewEndpoint { row: &row, secret_sealed: b"s", endpoints_max, actor: "key", request_id: "r" };
        (id, read::create_endpoint(&store.app, &first(tenant, key, id), &new).await.unwrap())
    };
    assert!(matches!(make(one.tenant, "k", 1).await.1, EndpointMade::TooMany));
    let (made, outcome) = make(one.tenant, "k", 2).await;
    assert!(matches!(outcome, EndpointMade::Made), "a refusal used the key up");
    let (_, again) = make(one.tenant, "k", 3).await;
    assert!(matches!(again, EndpointMade::Recorded(recorded) if recorded.subject == Some(made)));
    // At once: the limit holds all the same.
    join_all((0..12).map(|_| read::endpoint(&store.app, one.tenant, made))).await; // connections for all of them
    let keys: Vec<String> = (0..12).map(|n| format!("race-{n}")).collect();
    let raced = join_all(keys.iter().map(|key| make(one.tenant, key, 4))).await;
    assert_eq!(raced.iter().filter(|(_, outcome)| matches!(outcome, EndpointMade::Made)).count(), 2);
    // Keys are a tenant's own.
    assert!(matches!(make(two.tenant, "k", 2).await.1, EndpointMade::Made));
    assert_eq!(read::endpoints(&store.app, one.tenant, None, 10).await.unwrap().len(), 4);
    let delete = async |tenant| {
        let first = first(tenant, "d", made);
        read::delete_endpoint(&store.app, &asked(&first), made).await.unwrap()
    };
    assert!(matches!(delete(two.tenant).await, Changed::Absent));
    assert!(matches!(delete(one.tenant).await, Changed::Made(())));
    assert!(matches!(delete(one.tenant).await, Changed::Before(used) if used.recorded.subject == Some(made)));
    assert_eq!(read::endpoints(&store.app, one.tenant, None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_key_is_found_while_it_and_its_tenant_are_good() {
    let (database, store, one, two) = ground().await;
    let find = async |life: &Life, environment: &str| {
        let found = read::find_api_keys(&store.app, &[&life.key_hash], environment).await.unwrap();
        found.get(&life.key_hash[..]).map(|found| (found.id, found.tenant))
    };
    assert_eq!(find(&one, "test").await, Some((one.key, one.tenant)));
    assert_eq!(find(&one, "live").await, None);
    let asked: [&[u8]; 3] = [&two.key_hash, &[9; 32], &one.key_hash];
    let found = read::find_api_keys(&store.app, &asked, "test").await.unwrap();
    assert_eq!(found.len(), 2, "what is no key has no answer");
    assert_eq!([found[asked[0]].tenant, found[asked[2]].tenant], [two.tenant, one.tenant]);
    let listed = operator::keys(&store.operator, Some("one")).await.unwrap();
    assert_eq!(listed.iter().map(|k| (k.id, k.revoked)).collect::<Vec<_>>(), [(one.key, false)]);
    assert_eq!(operator::keys(&store.operator, None).await.unwrap().len(), 2);
    assert!(operator::revoke_key(&store.operator, one.key, "test").await.unwrap());
    assert!(!operator::revoke_key(&store.operator, one.key, "test").await.unwrap());
    assert!(!operator::revoke_key(&store.operator, KeyId(Uuid::now_v7()), "test").await.unwrap());
    assert_eq!(find(&one, "test").await, None);

    let limits = async || {
        let found = read::find_api_keys(&store.app, &[&two.key_hash], "test").await.unwrap();
        found[&two.key_hash[..]].rate_limits
    };
    assert_eq!(limits().await, RateOverrides::default());
    let agreed = RateOverrides { quotes: Some(7), other: Some(9), ..RateOverrides::default() };
    operator::set_rate_limits(&store.operator, two.tenant, &agreed, "test").await.unwrap();
    assert_eq!(limits().await, agreed);
    assert_eq!(operator::find_tenant(&store.operator, "two").await.unwrap().unwrap().rate_limits, agreed);
    assert_eq!(
        operator::find_tenant(&store.operator, "one").await.unwrap().unwrap().rate_limits,
        RateOverrides::default()
    );

    let mut superuser = PgConnection::connect(database.url()).await.unwrap();
    let mut change = async |statement: &str| {
        sqlx::raw_sql(statement).execute(&mut superuser).await.unwrap();
    };
    assert!(find(&two, "test").await.is_some());
    change("UPDATE settla.api_keys SET expires_at = now()").await;
    assert_eq!(find(&two, "test").await, None);
    change("UPDATE settla.api_keys SET expires_at = now() + interval '1 hour'").await;
    assert!(find(&two, "test").await.is_some());
    change("UPDATE settla.tenants SET status = 'closed'").await;
    assert_eq!(find(&two, "test").await, None);
}

#[tokio::test]
async fn operators_list_tenants_and_agree_on_facts() {
    let (_database, store, one, _) = ground().await;
    let found = operator::find_tenant(&store.operator, "one").await.unwrap().unwrap();
    assert_eq!((found.number, found.status.as_str()), (one.tenant, "active"));
    assert!(operator::find_tenant(&store.operator, "three").await.unwrap().is_none());
    assert_eq!(operator::tenants(&store.operator).await.unwrap().len(), 2);
    let agree = async |value: &str| operator::agree(&store.operator, "secret", value).await.unwrap();
    assert_eq!(agree("a").await, Ok(()));
    assert_eq!(agree("a").await, Ok(()));
    assert_eq!(agree("b").await, Err("a".to_owned()));
}

#[tokio::test]
async fn the_books_add_up_what_there_is() {
    let (_database, store, one, two) = ground().await;
    let states = books::states(&store.auditor).await.unwrap();
    assert_eq!(states, [("COMPLETED".to_owned(), 2), ("SETTLING".to_owned(), 2)]);
    let open = books::open_transfers(&store.auditor).await.unwrap();
    assert!(matches!(&open[..], [(state, 2, age_s)] if state == "SETTLING" && *age_s >= 0.0));
    let lines = books::transfer_lines(&store.auditor).await.unwrap();
    assert_eq!(lines.len(), 4);
    let line = lines.iter().find(|line| line.id == two.completed.id.0).unwrap();
    assert_eq!((line.paid, line.delivered), (Some(two.completed.terms.destination), Some(two.completed.terms.bought)));
    assert!(line.out == two.completed.terms.sent.minor && line.back == 0 && line.state == "COMPLETED");
    let live = books::live_debits(&store.auditor).await.unwrap();
    assert_eq!(live, [(one.tenant, one.settling.terms.debit), (two.tenant, two.settling.terms.debit)]);
    let counts = books::row_counts(&store.auditor).await.unwrap();
    assert!(counts.iter().all(|(_, rows)| *rows > 0), "{counts:?}");
    assert_books(&store).await;
}
