//! Paying on a real node: from an intent to a receipt at depth, and the ways in which it goes wrong.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Anvil, CHAIN_ID, MINTED, Mining, ONE_COIN, World};
use settla_evm::devkeys::DevKey;
use settla_evm::token::{TestToken, TokenError, fund};
use settla_evm::{
    Address, Confirmation, LocalSigner, Rpc, RpcError, SendError, SignedTx, Signer, SignerError, TxHash,
    parse_transfer_calldata,
};
use tokio::task::JoinSet;

const PAYEE: Address = Address([0x42; 20]);

async fn confirm(world: &World, hash: TxHash, depth: u64) -> Confirmation {
    let mut all = world.rpc.confirmed(&[hash], depth).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Broadcasts, and waits for the block that a node makes for every transaction a moment later.
async fn send_and_wait(world: &World, signed: &SignedTx) -> Confirmation {
    world.rpc.send_raw(&signed.raw).await.unwrap();
    for _ in 0..500 {
        match confirm(world, signed.tx_hash, 1).await {
            Confirmation::NotFound | Confirmation::Pending => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            known => return known,
        }
    }
    panic!("{} is in no block", signed.tx_hash);
}

#[tokio::test]
async fn a_batch_is_paid_and_confirmed_only_at_depth() {
    let world = World::start(Mining::ByHand).await;
    let intent = world.intent(PAYEE, &[1_000_000, 234]);
    let signed = world.signer.sign(&intent).await.unwrap();
    assert_eq!(confirm(&world, signed.tx_hash, 1).await, Confirmation::NotFound);

    assert_eq!(world.rpc.send_raw(&signed.raw).await.unwrap(), signed.tx_hash);
    assert_eq!(confirm(&world, signed.tx_hash, 1).await, Confirmation::Pending);
    let waiting = world.rpc.transaction(signed.tx_hash).await.unwrap().unwrap();
    assert_eq!(waiting.block_number, None);

    world.anvil.mine(1).await;
    let Confirmation::Succeeded { receipt } = confirm(&world, signed.tx_hash, 1).await else {
        panic!("the head block counts as depth 1");
    };
    assert_eq!(confirm(&world, signed.tx_hash, 3).await, Confirmation::Pending);
    world.anvil.mine(2).await;
    assert_eq!(confirm(&world, signed.tx_hash, 3).await, Confirmation::Succeeded { receipt: receipt.clone() });

    // The chain names the batch, its members' hash and its total.
    let tx = world.rpc.transaction(signed.tx_hash).await.unwrap().unwrap();
    assert_eq!(tx.block_number, Some(receipt.block_number));
    assert_eq!((tx.from, tx.nonce), (world.payer, 0));
    assert_eq!(tx.to, Some(world.token.address()));
    let call = parse_transfer_calldata(&tx.input).unwrap();
    assert_eq!((call.to, call.amount), (PAYEE, 1_000_234));
    assert_eq!(call.batch, Some((intent.id, intent.manifest.hash())));

    assert_eq!(receipt.transfers.len(), 1);
    let transfer = &receipt.transfers[0];
    assert_eq!((transfer.from, transfer.to), (world.payer, PAYEE));
    assert_eq!((transfer.token, transfer.amount), (world.token.address(), 1_000_234));
    assert_eq!(world.balance(PAYEE).await, 1_000_234);
    assert_eq!(world.balance(world.payer).await, MINTED - 1_000_234);
    assert_eq!(world.rpc.nonce(world.payer).await.unwrap(), 1);
}

#[tokio::test]
async fn the_same_bytes_can_be_sent_again_and_pay_once() {
    let world = World::start(Mining::ByHand).await;
    let signed = world.signer.sign(&world.intent(PAYEE, &[5])).await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.rpc.send_raw(&signed.raw).await.unwrap(), signed.tx_hash);
    }
    world.anvil.mine(1).await;
    // In a block: the node says that the nonce is used up, and the receipt says by whom.
    assert!(matches!(world.rpc.send_raw(&signed.raw).await, Err(SendError::NonceTooLow)));
    assert!(matches!(confirm(&world, signed.tx_hash, 1).await, Confirmation::Succeeded { .. }));
    assert_eq!(world.balance(PAYEE).await, 5);
}

#[tokio::test]
async fn a_blacklisted_payee_is_seen_as_reverted() {
    let world = World::start(Mining::EveryTransaction).await;
    world.token.blacklist(&world.rpc, &world.issuer, PAYEE).await.unwrap();
    let signed = world.signer.sign(&world.intent(PAYEE, &[5])).await.unwrap();
    let Confirmation::Reverted { receipt } = send_and_wait(&world, &signed).await else {
        panic!("the issuer forbids it");
    };
    assert!(receipt.transfers.is_empty());
    assert_eq!(world.balance(PAYEE).await, 0);
    // The nonce is used up, so the next payment goes through.
    assert_eq!(world.rpc.nonce(world.payer).await.unwrap(), 1);
    world.token.unblacklist(&world.rpc, &world.issuer, PAYEE).await.unwrap();
    let next = world.signer.sign(&world.intent(PAYEE, &[6])).await.unwrap();
    assert!(matches!(send_and_wait(&world, &next).await, Confirmation::Succeeded { .. }));
    assert_eq!(world.balance(PAYEE).await, 6);
}

#[tokio::test]
async fn a_paused_token_reverts_and_only_the_issuer_can_act() {
    let world = World::start(Mining::EveryTransaction).await;
    world.token.pause(&world.rpc, &world.issuer).await.unwrap();
    let signed = world.signer.sign(&world.intent(PAYEE, &[5])).await.unwrap();
    assert!(matches!(send_and_wait(&world, &signed).await, Confirmation::Reverted { .. }));
    world.token.unpause(&world.rpc, &world.issuer).await.unwrap();
    // More than the balance: reverted too, and the balance stays.
    let greedy = world.signer.sign(&world.intent(PAYEE, &[MINTED + 1])).await.unwrap();
    assert!(matches!(send_and_wait(&world, &greedy).await, Confirmation::Reverted { .. }));
    assert_eq!(world.balance(world.payer).await, MINTED);
}

#[tokio::test]
async fn another_chain_is_refused() {
    let anvil = Anvil::start();
    assert!(matches!(
        Rpc::connect(anvil.url(), 43114).await,
        Err(RpcError::WrongChain { expected: 43114, actual: CHAIN_ID })
    ));
}

/// More transactions than fit one batch request, signed at once: nonces without a gap, receipts in order.
#[tokio::test]
async fn many_payments_at_once_share_requests_and_no_nonce() {
    const PAYMENTS: u64 = 150;
    let world = Arc::new(World::start(Mining::ByHand).await);
    let mut tasks = JoinSet::new();
    for _ in 0..PAYMENTS {
        let world = Arc::clone(&world);
        tasks.spawn(async move { world.signer.sign(&world.intent(PAYEE, &[2])).await });
    }
    let mut signed: Vec<_> = tasks.join_all().await.into_iter().map(|signed| signed.unwrap()).collect();
    signed.sort_by_key(|signed| signed.nonce);
    let nonces: Vec<u64> = signed.iter().map(|signed| signed.nonce).collect();
    assert_eq!(nonces, (0..PAYMENTS).collect::<Vec<_>>());

    // A node must take them in any order.
    for signed in signed.iter().rev() {
        world.rpc.send_raw(&signed.raw).await.unwrap();
    }
    while world.rpc.nonce(world.payer).await.unwrap() < PAYMENTS {
        world.anvil.mine(1).await;
    }
    let mut hashes: Vec<TxHash> = signed.iter().map(|signed| signed.tx_hash).collect();
    hashes.insert(70, TxHash([9; 32]));
    let confirmed = world.rpc.confirmed(&hashes, 1).await.unwrap();
    assert_eq!(confirmed.len(), hashes.len());
    for (index, (hash, confirmation)) in hashes.iter().zip(confirmed).enumerate() {
        match confirmation {
            Confirmation::Succeeded { receipt } => assert_eq!(receipt.tx_hash, *hash),
            Confirmation::NotFound => assert_eq!(index, 70),
            other => panic!("{hash}: {other:?}"),
        }
    }
    assert_eq!(world.balance(PAYEE).await, 2 * u128::from(PAYMENTS));

    let head = world.rpc.block_number().await.unwrap();
    let token = world.token.address();
    let paid = world.rpc.token_transfers(token, 0, head, Some(world.payer), Some(PAYEE)).await.unwrap();
    assert_eq!(paid.len() as u64, PAYMENTS);
    assert!(paid.is_sorted_by_key(|transfer| (transfer.block_number, transfer.log_index)));
    let all = world.rpc.token_transfers(token, 0, head, None, None).await.unwrap();
    assert_eq!(all.len() as u64, PAYMENTS + 1, "the mint as well");
    let received = world.rpc.token_transfers(token, 0, head, None, Some(world.payer)).await.unwrap();
    assert_eq!((received.len(), received[0].from), (1, Address::ZERO));
    assert!(matches!(world.rpc.token_transfers(token, 0, 1 << 40, None, None).await, Err(RpcError::RangeTooLong(_))));
}

#[tokio::test]
async fn a_payer_without_gas_is_told_so() {
    let world = World::start(Mining::EveryTransaction).await;
    let dir = tempfile::tempdir().unwrap();
    let poor = common::open(dir.path(), 0);
    let signed = poor.sign(&world.intent(PAYEE, &[5])).await.unwrap();
    assert!(matches!(world.rpc.send_raw(&signed.raw).await, Err(SendError::InsufficientFunds)));
    assert!(matches!(world.rpc.send_raw(&[]).await, Err(SendError::NotATransaction)));
    assert!(matches!(world.rpc.send_raw(&[1, 2, 3]).await, Err(SendError::Refused { .. })));
}

#[tokio::test]
async fn a_node_that_went_away_leaves_the_outcome_unknown() {
    let World { rpc, signer, token, anvil, .. } = World::start(Mining::ByHand).await;
    let intent = common::intent(token.address(), PAYEE, &[5]);
    let signed = signer.sign(&intent).await.unwrap();
    drop(anvil);
    assert!(matches!(rpc.send_raw(&signed.raw).await, Err(SendError::Unknown(RpcError::Transport(_)))));
    assert!(matches!(rpc.confirmed(&[signed.tx_hash], 1).await, Err(RpcError::Transport(_))));
}

#[tokio::test]
async fn fees_follow_the_base_fee_and_are_enough() {
    let world = World::start(Mining::EveryTransaction).await;
    world.anvil.control("anvil_setNextBlockBaseFeePerGas", serde_json::json!(["0x77359400"])).await;
    fund(&world.rpc, &world.issuer, PAYEE, ONE_COIN).await.unwrap();
    assert_eq!(world.rpc.native_balance(PAYEE).await.unwrap(), ONE_COIN);
    let fees = world.rpc.fees().await.unwrap();
    assert!(fees.max_fee_per_gas > 2_000_000_000);
    let mut intent = world.intent(PAYEE, &[5]);
    intent.fees = fees;
    let signed = world.signer.sign(&intent).await.unwrap();
    assert!(matches!(send_and_wait(&world, &signed).await, Confirmation::Succeeded { .. }));
}

#[tokio::test]
async fn the_token_is_deployed_once_and_found_again() {
    let anvil = Anvil::start();
    let rpc = Rpc::connect(anvil.url(), CHAIN_ID).await.unwrap();
    let issuer = DevKey::account_0();
    let first = TestToken::ensure(&rpc, &issuer).await.unwrap();
    let again = TestToken::ensure(&rpc, &issuer).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(rpc.nonce(issuer.address()).await.unwrap(), 1);
    // Where there is no token, there is no balance, not even zero.
    assert!(matches!(rpc.token_balance(PAYEE, PAYEE).await, Err(RpcError::Malformed(_))));

    let used = Anvil::start();
    let rpc = Rpc::connect(used.url(), CHAIN_ID).await.unwrap();
    fund(&rpc, &issuer, PAYEE, 1).await.unwrap();
    assert!(matches!(TestToken::ensure(&rpc, &issuer).await, Err(TokenError::DeployerUsed)));
}

/// The signer's nonces and the chain's are compared when both start again.
#[tokio::test]
async fn an_old_copy_of_the_signers_folder_is_noticed() {
    let world = World::start(Mining::EveryTransaction).await;
    let old = tempfile::tempdir().unwrap();
    for name in ["signer-key.json", "signer-journal.jsonl"] {
        std::fs::copy(world.dir.path().join(name), old.path().join(name)).unwrap();
    }
    let signed = world.signer.sign(&world.intent(PAYEE, &[5])).await.unwrap();
    send_and_wait(&world, &signed).await;
    let address = LocalSigner::address_in(old.path()).unwrap().unwrap();
    assert_eq!(address, world.payer);
    let chain_nonce = world.rpc.nonce(address).await.unwrap();
    let refused = LocalSigner::open(old.path(), &common::master_key(), CHAIN_ID, chain_nonce);
    assert!(matches!(refused, Err(SignerError::RolledBack { journal_nonce: 0, chain_nonce: 1 })));
}

#[tokio::test]
async fn a_nodes_recent_state_is_enough_to_find_who_used_a_nonce() {
    // As a full node, it keeps the state of its last blocks alone.
    let anvil = Anvil::start_with(&["--prune-history", "16"]);
    let rpc = Rpc::connect(anvil.url(), CHAIN_ID).await.unwrap();
    anvil.mine(100).await;
    let payer = DevKey::account_0();
    fund(&rpc, &payer, PAYEE, 7).await.unwrap();
    let paid = rpc.transaction_of_nonce(payer.address(), 0, 1).await.unwrap().expect("it is in a block");
    assert_eq!(rpc.transaction(paid).await.unwrap().unwrap().to, Some(PAYEE));
    anvil.mine(7).await;
    assert_eq!(rpc.transaction_of_nonce(payer.address(), 0, 4).await.unwrap(), Some(paid));
    assert_eq!(rpc.transaction_of_nonce(payer.address(), 1, 4).await.unwrap(), None);
    anvil.mine(20).await;
    assert!(rpc.transaction_of_nonce(payer.address(), 0, 1).await.is_err(), "then it cannot tell, and says so");
}
