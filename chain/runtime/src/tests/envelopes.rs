//! Real envelopes in real blocks: what they take of one is what their lanes count.

use super::{
	blocks, elections,
	lanes::heaviest_effect_set,
	stakes::{self, bob, charlie, member, signed, worker_of},
	transactions,
};
use crate::{config::system::MAXIMUM_BLOCK_WEIGHT, test_support::transactions::envelope, *};
use codec::Encode;
use frame_support::{
	assert_ok,
	dispatch::{DispatchClass, GetDispatchInfo},
	storage::with_transaction,
	traits::Hooks,
	weights::Weight,
};
use phala_protocol::{
	agents::EffectSet,
	boot::WorkerId,
	keys::KeyRequest,
	limits,
	mailbox::{ClusterId, Envelope, Lane},
	messages::{AgentsPayload, ClustersPayload, KeysPayload, Payload, RegistryPayload},
	traits::{EnvelopeLanes, MailboxInterface},
};
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
	transaction_validity::{InvalidTransaction, TransactionValidityError},
	ApplyExtrinsicResult, TransactionOutcome,
};

const FULL: TransactionValidityError =
	TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources);

/// A boot in force that signs by itself.
struct Enclave {
	worker: WorkerId,
	key: sr25519::Pair,
}

impl Enclave {
	fn boots() -> Self {
		let worker = worker_of(&bob());
		let mut seed = [7; 32];
		seed[..4].copy_from_slice(&worker.to_le_bytes());
		let key = sr25519::Pair::from_seed(&seed);
		pallet_registry::Boots::<Runtime>::mutate(worker, |boot| {
			boot.as_mut().expect("it is in force").keys.identity = key.public().0;
		});
		Mailbox::open_inbound(worker, 1);
		Self { worker, key }
	}

	/// Its next envelope of a lane.
	fn signs(&self, lane: Lane, payload: Vec<u8>) -> UncheckedExtrinsic {
		let (worker, boot, genesis) = (self.worker, 1, System::block_hash(0));
		let next = pallet_mailbox::NextEnvelope::<Runtime>::get(worker).expect("it is open");
		let (seq, signature) = (next.seq(lane), [0; 64]);
		let mut said = Envelope { genesis, worker, boot, lane, seq, payload, signature };
		said.signature = self.key.sign(&said.signed_bytes()).0;
		envelope(said)
	}

	fn says(&self, payload: &Payload) -> ApplyExtrinsicResult {
		Executive::apply_extrinsic(self.signs(payload.lane(), payload.encode()))
	}
}

/// What normal transactions have taken of the block.
fn used() -> Weight {
	*frame_system::BlockWeight::<Runtime>::get().get(DispatchClass::Normal)
}

/// What lanes have counted.
fn counted() -> u64 {
	let used = pallet_mailbox::LaneUse::<Runtime>::get();
	Lane::ALL.into_iter().map(|lane| *used.of(lane)).sum()
}

/// A block in which as many enclaves are in force, and can pay.
fn in_a_block_with(enclaves: u32, story: impl FnOnce(Vec<Enclave>)) {
	super::genesis("development").execute_with(|| {
		stakes::allow(stakes::CODE);
		blocks::next(1, || ());
		elections::endow(&bob(), Balance::from(enclaves + 1) * stakes::stake());
		let enclaves = (0..enclaves).map(|_| Enclave::boots()).collect();
		blocks::next(1, || story(enclaves));
	});
}

/// What a commit takes that nobody answers for.
fn unpaid_commit() -> Payload {
	let set = EffectSet { results: vec![], availability: vec![], ..heaviest_effect_set() };
	Payload::Agents(AgentsPayload::EffectSet(set))
}

#[test]
fn what_a_lane_counts_of_an_envelope_is_all_that_its_transaction_is_let_in_with_and_keeps() {
	in_a_block_with(1, |enclaves| {
		let ephemeral_key = [0; 32];
		let request = KeyRequest { worker: 1, boot: 1, cluster: 1, generation: 1, ephemeral_key };
		for payload in [
			Payload::Registry(RegistryPayload::Heartbeat { nonce: [0; 32] }),
			Payload::Keys(KeysPayload::KeyReleased { request, release: vec![0; 100] }),
			unpaid_commit(),
			Payload::Registry(RegistryPayload::ProbeAnswered { nonce: [0; 32] }),
		] {
			let transaction = enclaves[0].signs(payload.lane(), payload.encode());
			let RuntimeCall::Mailbox(pallet_mailbox::Call::submit_envelope { envelope }) =
				&transaction.function
			else {
				panic!("it has an envelope");
			};
			let info = transaction.get_dispatch_info();
			let base = <Runtime as frame_system::Config>::BlockWeights::get()
				.get(DispatchClass::Normal)
				.base_extrinsic;
			let back = <Runtime as pallet_mailbox::Config>::ExtensionWeightReturned::get();
			let needed = (base + info.total_weight()).ref_time();
			let cost = Mailbox::cost_of(envelope);
			// An immortal transaction reads a hair faster than a mortal one.
			let hair = 200_000;
			let covers = cost + back.ref_time();
			assert!(
				covers >= needed && covers <= needed + hair,
				"{payload:?}: {covers} of {needed}"
			);

			let (before, counted_before) = (used(), counted());
			enclaves[0].says(&payload).expect("it lands").expect("whatever it does");
			let (taken, counts) = (used() - before, counted() - counted_before);
			let taken = taken.ref_time();
			assert!(counts >= taken && counts <= taken + hair, "{payload:?}: {counts} of {taken}");
		}
	});
}

#[test]
fn full_lanes_of_real_envelopes_leave_a_quarter_of_a_block_to_those_who_pay() {
	// Enough that no boot's part ends before the lane does.
	in_a_block_with(12, |enclaves| {
		let before = used();
		let mut landed = 0;
		for lane in Lane::ALL {
			for enclave in &enclaves {
				let payload = match lane {
					Lane::Liveness => {
						Payload::Registry(RegistryPayload::Heartbeat { nonce: [0; 32] }).encode()
					}
					Lane::PaidCommits => unpaid_commit().encode(),
					// What nobody can read.
					_ => vec![0xff],
				};
				loop {
					match Executive::apply_extrinsic(enclave.signs(lane, payload.clone())) {
						Ok(done) => done.expect("it is consumed"),
						Err(error) if error == FULL => break,
						Err(error) => panic!("{lane:?}: {error:?}"),
					};
					landed += 1;
					// One sign of life of each.
					if lane == Lane::Liveness {
						break;
					}
				}
			}
		}
		let (taken, counts) = ((used() - before).ref_time(), counted());
		let all = <Runtime as pallet_mailbox::Config>::EnvelopeWeight::get().ref_time();
		println!("{landed} envelopes take {taken} ps, and lanes count {counts} of {all}");
		assert!(taken <= counts && counts - taken <= landed * 200_000);
		assert!(counts <= all && counts > all / 100 * 99, "lanes are full");

		let alice = Sr25519Keyring::Alice.pair();
		let dest = Sr25519Keyring::Bob.to_account_id().into();
		let transfer: RuntimeCall =
			pallet_balances::Call::transfer_keep_alive { dest, value: currency::PHA / 1_000 }
				.into();
		let (before, mut nonce) = (used(), 0);
		loop {
			let transfer = transactions::signed(&alice, nonce, transfer.clone());
			match Executive::apply_extrinsic(transfer) {
				Ok(done) => done.expect("alice has enough"),
				Err(error) if error == FULL => break,
				Err(error) => panic!("transfer {nonce}: {error:?}"),
			};
			nonce += 1;
		}
		let users = (used() - before).ref_time();
		let one = users / u64::from(nonce);
		println!("{nonce} transfers of {one} ps beside them");
		assert!((users + one) * 4 >= MAXIMUM_BLOCK_WEIGHT.ref_time(), "{users}");
	});
}

/// Asks a request of an agent in each of many clusters of five, all for one deadline: at that, five
/// members of each say what is final, in one block.
struct ManyClustersOneDeadline;

impl ManyClustersOneDeadline {
	/// As many deadlines as a block looks at.
	const CLUSTERS: u32 = limits::REQUESTS_PER_DEADLINE_MAX;

	fn members() -> u32 {
		Self::CLUSTERS * limits::FINALITY_WITNESSES_ASKED
	}

	/// The clusters that the enclaves are members of, in their order.
	fn clusters(enclaves: &[Enclave]) -> Vec<ClusterId> {
		elections::endow(&charlie(), Balance::from(200 * Self::CLUSTERS) * currency::PHA);
		let mut found = vec![];
		for five in enclaves.chunks(limits::FINALITY_WITNESSES_ASKED as usize) {
			let cluster = pallet_clusters::NextCluster::<Runtime>::get();
			assert_ok!(Clusters::create(signed(&charlie())));
			five.iter().for_each(|enclave| member(cluster, enclave.worker));
			found.push(cluster);
		}
		found
	}
}

/// What would come of it, and nothing of it stays.
fn tried<R>(what: impl FnOnce() -> R) -> R {
	let done: Result<R, sp_runtime::DispatchError> =
		with_transaction(|| TransactionOutcome::Rollback(Ok(what())));
	done.expect("it was not refused")
}

#[test]
fn a_block_that_many_clusters_with_one_deadline_fill_excuses_whose_commit_finds_no_room_in_it() {
	let members = ManyClustersOneDeadline::members();
	in_a_block_with(members + 1, |mut enclaves| {
		let victim = enclaves.pop().expect("there is one more");
		let clusters = ManyClustersOneDeadline::clusters(&enclaves);
		let last = System::block_number() - 1;
		let heaviest = Payload::Agents(AgentsPayload::EffectSet(heaviest_effect_set()));
		let finds_room = || match tried(|| victim.says(&heaviest)) {
			Ok(_) => true,
			Err(error) => {
				assert_eq!(error, FULL);
				false
			}
		};
		let is_full = || {
			let now = System::block_number();
			tried(|| {
				Mailbox::on_finalize(now);
				Mailbox::was_full_throughout(victim.worker, now, now)
			})
		};
		assert!(finds_room() && !is_full());
		let (mut excused_from, mut full_from) = (None, None);
		for (number, enclave) in enclaves.iter().enumerate() {
			let cluster = clusters[number / limits::FINALITY_WITNESSES_ASKED as usize];
			let says = Payload::Clusters(ClustersPayload::BlockFinal { block: last });
			match enclave.says(&says) {
				Ok(done) => done.expect("it is consumed"),
				Err(error) => {
					assert_eq!(error, FULL);
					break;
				}
			};
			let heard = pallet_clusters::FinalSeen::<Runtime>::get(cluster);
			assert_eq!(heard.get(&enclave.worker), Some(&last));
			let finds_room = finds_room();
			let words = number as u32 + 1;
			match (finds_room, is_full()) {
				(true, false) => {}
				// What lanes count too much of each adds up to less than a word.
				(true, true) => assert_eq!(*excused_from.get_or_insert(words), words, "too early"),
				(false, true) => _ = full_from.get_or_insert(words),
				(false, false) => {
					panic!("after {words} words nothing lands, and nobody is excused")
				}
			}
		}
		let full_from = full_from.expect("so many leave no room");
		let full_clusters = full_from.div_ceil(limits::FINALITY_WITNESSES_ASKED);
		println!("{full_from} words, of {full_clusters} clusters, leave no room for a commit");
		assert!(full_clusters <= ManyClustersOneDeadline::CLUSTERS);
	});
}
