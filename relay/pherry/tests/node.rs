//! Against a running development node. Start one, then
//! `PHERRY_TEST_NODE=ws://127.0.0.1:9944 cargo test -p phala-pherry -- --ignored`. Beyond block 256
//! the node must have been started with `--state-pruning archive`, or another of the same genesis
//! must be named in `PHERRY_TEST_ARCHIVE`.

mod common;

use codec::Encode;
use common::{lock, PlayedEnclave, MEASUREMENT};
use phala_pherry::{
	chain::Chain,
	enclave::EnclaveDoor,
	relay::{Ended, Relay},
	status::Board,
	submit, Error,
};
use phala_primitives::{
	boot::SlotId,
	mailbox::{Envelope, EnvelopeRefused},
	messages::{Message, Payload, SlotMessage},
	relay::EnclavePhase,
	storage_keys,
};
use std::{net::SocketAddr, time::Duration};
use subxt_signer::sr25519::{dev, Keypair};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(90);

fn node() -> String {
	std::env::var("PHERRY_TEST_NODE").unwrap_or_else(|_| "ws://127.0.0.1:9944".into())
}

fn any_address() -> SocketAddr {
	"127.0.0.1:0".parse().expect("an address")
}

/// Somebody new, with PHA from Alice.
async fn operator(chain: &Chain) -> Keypair {
	let uri: subxt_signer::SecretUri =
		format!("//pherry//{}", std::process::id()).parse().expect("a secret");
	let operator = Keypair::from_uri(&uri).expect("a key");
	let pha = 1_000_000_000_000u128;
	let mut arguments = vec![0u8];
	arguments.extend(operator.public_key().0);
	codec::Compact(1_000_000 * pha).encode_to(&mut arguments);
	let (pallet, call) = ("Balances", "transfer_keep_alive");
	submit::signed(chain, &dev::alice(), "transfer", pallet, call, &arguments)
		.await
		.expect("Alice can pay");
	operator
}

async fn allow_measurement(chain: &Chain) {
	let inner = submit::call_bytes(chain, "Registry", "allow_measurement", &MEASUREMENT.encode())
		.await
		.expect("the runtime has the call");
	let done = submit::signed(chain, &dev::alice(), "sudo.sudo", "Sudo", "sudo", &inner).await;
	done.expect("Alice has sudo");
}

/// Creates a slot and finds its number: the last one that is the operator's.
async fn new_slot(chain: &Chain, operator: &Keypair) -> SlotId {
	submit::create_slot(chain, operator).await.expect("the operator has the stake");
	let (best, _) = chain.header(None).await.expect("a best block");
	let keys: Vec<_> = (0..100)
		.map(|slot| {
			let mut key = storage_keys::registry_boot(slot);
			key.splice(16..32, sp_crypto_hashing::twox_128(b"Slots"));
			key
		})
		.collect();
	let slots = chain.values(best, &keys).await.expect("the state of the best block");
	// A slot begins with its operator.
	let account = operator.public_key().0;
	let is_theirs = |slot: &Option<Vec<u8>>| slot.as_ref().is_some_and(|s| s.starts_with(&account));
	slots.iter().rposition(is_theirs).expect("it was created") as SlotId
}

fn relay(enclave: SocketAddr, operator: &Keypair) -> (JoinHandle<Ended>, Board) {
	let board = Board::default();
	let door = EnclaveDoor::new(&format!("http://{enclave}")).expect("a client");
	let archive = std::env::var("PHERRY_TEST_ARCHIVE").ok();
	let relay = Relay::new(node(), door, operator.clone(), board.clone()).with_archive(archive);
	(tokio::spawn(relay.run()), board)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
	let waiting = async {
		while !holds() {
			tokio::time::sleep(Duration::from_millis(100)).await;
		}
	};
	tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {what} in time"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a development node: see the top of this file"]
async fn an_envelope_of_an_unknown_slot_is_refused_by_name() {
	let chain = Chain::connect(&node()).await.expect("the node runs");
	let envelope = Envelope {
		genesis: chain.genesis_hash(),
		slot: u32::MAX,
		boot: 1,
		seq: 0,
		payload: Payload::Heartbeat { nonce: [1; 32] }.encode(),
		signature: [0; 64],
	};
	match submit::submit_envelope(&chain, &envelope).await {
		Err(Error::Pool { refusal: submit::PoolRefusal::Envelope { refused }, .. }) => {
			assert_eq!(refused, EnvelopeRefused::UnknownSlot)
		}
		other => panic!("{other:?} instead of UnknownSlot"),
	}
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a development node: see the top of this file"]
async fn a_whole_life_of_an_enclave_is_relayed_across_restarts_of_everybody() {
	let _ = tracing_subscriber::fmt().with_env_filter("info,phala_pherry=debug").try_init();
	let chain = Chain::connect(&node()).await.expect("the node runs");
	allow_measurement(&chain).await;
	let operator = operator(&chain).await;
	let slot = new_slot(&chain, &operator).await;
	let genesis = chain.genesis_hash();

	// Registers.
	let enclave = PlayedEnclave::start(any_address(), genesis, slot, [1; 32]).await;
	let (running, board) = relay(enclave.address, &operator);
	until("registration", || enclave.status().phase == EnclavePhase::Serving).await;
	assert_eq!(enclave.status().boot, Some(1));
	until("standing", || board.standing().boot == Some(1)).await;
	assert!(board.standing().node_connected && board.standing().enclave_connected);

	// Answers a probe, end to end, across a restart of pherry.
	submit::probe(&chain, &operator, slot, [9; 32]).await.expect("it has a boot");
	running.abort();
	let (running, _) = relay(enclave.address, &operator);
	let probed = Message::Slot(SlotMessage::Probe { nonce: [9; 32] });
	until("probe", || lock(&enclave.inner).messages.contains(&probed)).await;
	until("consumption of the answer", || enclave.status().queued == 0).await;
	let next = chain.next_envelope(slot).await.expect("the state").expect("it has a boot");
	assert_eq!((next.boot, next.seq), (1, 1));

	// Many envelopes: more than one block takes.
	for nonce in 0..40 {
		lock(&enclave.inner).say(&Payload::ProbeAnswered { nonce: [nonce; 32] });
	}
	until("consumption of them all", || enclave.status().queued == 0).await;

	// Renews.
	lock(&enclave.inner).await_renewal();
	until("renewal", || enclave.status().phase == EnclavePhase::Serving).await;

	// The enclave dies; its next life registers by the same pherry.
	let refused = lock(&enclave.inner).refused.clone();
	assert!(refused.is_empty(), "{refused:?}");
	let address = enclave.kill();
	tokio::time::sleep(Duration::from_secs(2)).await;
	let second = PlayedEnclave::start(address, genesis, slot, [2; 32]).await;
	until("second registration", || second.status().phase == EnclavePhase::Serving).await;
	assert_eq!(second.status().boot, Some(2));

	// A third takes the slot: the second is retired, and its relayer ends.
	let third = PlayedEnclave::start(any_address(), genesis, slot, [3; 32]).await;
	let (running_third, _) = relay(third.address, &operator);
	until("third registration", || third.status().phase == EnclavePhase::Serving).await;
	let ended = tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
	assert_eq!(ended, Ended::Retired);
	assert!(lock(&second.inner).refused.is_empty());
	running_third.abort();
	second.kill();
	third.kill();
}
