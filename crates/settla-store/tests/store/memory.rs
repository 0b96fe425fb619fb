//! What batches remember of each other is what is stored.

use crate::apply::{apply, keys, transfer};
use crate::support::{check::assert_books, findings_to_completion, funding, open, tenant};
use settla_devkit::TestDatabase;
use settla_domain::decide::Command;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::TransferState;
use settla_domain::world::Change;
use settla_store::Store;
use settla_store::batch::{BatchConnection, BatchTx, Loaded, Memory};
use uuid::Uuid;

async fn load(store: &Store, tenant: TenantNo, commands: &[Command], memory: &Memory) -> Loaded {
    let mut connection = BatchConnection::acquire(&store.runner).await.unwrap();
    let mut tx = BatchTx::begin(&mut connection, Uuid::now_v7(), &[tenant].into()).await.unwrap();
    tx.load(keys(tenant, commands), memory).await.unwrap()
}

#[tokio::test]
async fn what_is_remembered_is_what_is_stored() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let acme = tenant(&store, "acme").await;
    apply(&store, acme, &funding(acme, 1_000_000)).await;
    let made = transfer(&store, acme, 10_000).await;
    let [accepted, delivered, ..] = findings_to_completion(&made).map(Command::Report);
    // One memory has seen it made, the other finds it.
    let (maker, finder) = (Memory::default(), Memory::default());
    maker.committed(&[Change::TransferCreated(made.clone())]);
    for (command, then) in [(accepted, TransferState::OnRamping), (delivered, TransferState::Settling)] {
        load(&store, acme, std::slice::from_ref(&command), &finder).await;
        apply(&store, acme, std::slice::from_ref(&command)).await;
        let fresh = load(&store, acme, std::slice::from_ref(&command), &Memory::default()).await;
        assert_eq!(fresh.world.transfers[&(acme, made.id)].state, then);
        for memory in [&maker, &finder] {
            let remembered = load(&store, acme, std::slice::from_ref(&command), memory).await;
            assert_eq!(remembered.world.transfers, fresh.world.transfers);
            assert_eq!(remembered.world.tenants, fresh.world.tenants);
        }
    }
    assert_books(&store).await;
}

#[tokio::test]
async fn terms_that_change_are_not_remembered() {
    let database = TestDatabase::create().await.unwrap();
    let store = open(database.url()).await;
    let acme = tenant(&store, "acme").await;
    let memory = Memory::default();
    let mut before = load(&store, acme, &[], &memory).await;
    for change in [
        "UPDATE fee_schedules SET minimum = minimum + 1",
        "UPDATE limits SET per_day = per_day - 1",
        "DELETE FROM limits",
        "UPDATE tenants SET status = 'suspended'",
    ] {
        sqlx::query(change).execute(&store.operator).await.unwrap();
        let after = load(&store, acme, &[], &memory).await;
        assert_ne!(after.world.tenants, before.world.tenants, "{change}");
        assert_eq!(after.world.tenants, load(&store, acme, &[], &Memory::default()).await.world.tenants, "{change}");
        before = after;
    }
}
