//! What is given back of a declared weight, and what is not: who is charged too little pays for a flood with what
//! nobody meters.

use super::{
	genesis,
	misses::{born, cluster_with, join},
	stakes::{
		allow, bob, boots_anew, boots_anew_by_call, chain, charlie, member, renews_by_call, signed,
		worker_of, CODE,
	},
	touched::{database, touched},
};
use crate::{config::fees::RuntimeWeightToFee, *};
use frame_support::{
	assert_ok,
	dispatch::{extract_actual_weight, GetDispatchInfo},
	traits::Get,
	weights::{constants::WEIGHT_REF_TIME_PER_MILLIS, Weight, WeightToFee},
};
use pallet_agents::WeightInfo as _;
use pallet_registry::WeightInfo as _;
use phala_protocol::{boot::WorkerId, limits, H256};
use sp_runtime::traits::Dispatchable;

type RegistryWeights = <Runtime as pallet_registry::Config>::WeightInfo;

/// What registering a boot takes of which this many agents are told, and as many leases move.
fn boot(agents: u32) -> Weight {
	let loads = database().writes(limits::CLUSTER_MEMBERS_MAX.into());
	RegistryWeights::register_boot(agents + 1).saturating_add(loads)
}

/// What a call of this account takes of a block, whatever becomes of it.
fn taken(who: &AccountId, call: RuntimeCall) -> Weight {
	let info = call.get_dispatch_info();
	let done = call.dispatch(signed(who));
	extract_actual_weight(&done, &info)
}

fn declared(call: &RuntimeCall) -> Weight {
	call.get_dispatch_info().call_weight
}

/// Nothing of it is given back.
fn assert_all_is_paid(who: &AccountId, call: impl Into<RuntimeCall>) {
	let call: RuntimeCall = call.into();
	let all = declared(&call);
	assert!(all.ref_time() > 0, "{call:?}");
	assert_eq!(taken_of_what_is_done(who, call), all);
}

fn taken_of_what_is_done(who: &AccountId, call: RuntimeCall) -> Weight {
	let before = System::event_count();
	let used = taken(who, call.clone());
	assert!(System::event_count() > before, "it was refused: {call:?}");
	used
}

#[test]
fn a_worker_that_boots_alone_gets_back_most_of_what_a_full_cluster_would_take() {
	chain(|| {
		let worker = worker_of(&bob());
		System::set_block_number(2);
		let call = boots_anew_by_call(worker, &bob(), CODE);
		let all = declared(&call).ref_time();
		let used = taken_of_what_is_done(&bob(), call);
		assert!(used.ref_time() * 5 < all, "{used:?}");
		// Of its fee, too.
		assert!(RuntimeWeightToFee::weight_to_fee(&used) < currency::PHA / 5);
	});
}

#[test]
fn what_is_refused_or_small_pays_for_no_full_cluster() {
	chain(|| {
		let most = Weight::from_parts(2 * WEIGHT_REF_TIME_PER_MILLIS, 0);
		let is_small = |what: &str, used: Weight| {
			assert!(used.ref_time() > 0 && used.ref_time() < most.ref_time(), "{what}: {used:?}");
		};
		let (owner, operator) = (charlie(), bob());
		assert_ok!(Clusters::create(signed(&owner)));
		let worker = worker_of(&operator);
		System::set_block_number(2);

		// A new boot on which nobody relies; the same once more, by a second relayer; and by a stranger.
		let boots = boots_anew_by_call(worker, &operator, CODE);
		is_small("alone", taken(&operator, boots.clone()));
		is_small("twice", taken(&operator, boots.clone()));
		is_small("a stranger's", taken(&owner, boots));

		// A request to join, declined or taken back; leaving where it never was.
		let asks = || {
			let endpoint = b"https://worker.example".to_vec();
			pallet_clusters::Call::request_join { cluster: 0, worker, endpoint }.into()
		};
		let declines: RuntimeCall =
			pallet_clusters::Call::remove_member { cluster: 0, worker }.into();
		let leaves: RuntimeCall = pallet_clusters::Call::leave { cluster: 0, worker }.into();
		taken(&operator, asks());
		is_small("declined", taken(&owner, declines.clone()));
		is_small("declined again", taken(&owner, declines));
		taken(&operator, asks());
		is_small("taken back", taken(&operator, leaves.clone()));
		is_small("left", taken(&operator, leaves));
		let endpoint = vec![];
		let (boot, measurement) = (1, H256::zero());
		let approves =
			pallet_clusters::Call::approve_join { cluster: 0, worker, boot, measurement, endpoint };
		is_small("approved for nothing", taken(&owner, approves.into()));
		let evicts = pallet_registry::Call::evict { worker };
		is_small("evicted for nothing", taken(&owner, evicts.into()));

		// A notice to an agent.
		member(0, worker);
		pallet_clusters::Clusters::<Runtime>::mutate(0, |record| {
			record.as_mut().expect("it was created").members = 1;
		});
		let agent = born();
		let throws_out = || pallet_agents::Call::evict { agent }.into();
		is_small("a stranger's notice", taken(&operator, throws_out()));
		is_small("notice", taken(&owner, throws_out()));
		is_small("too early", taken(&owner, throws_out()));
		let retires = pallet_agents::Call::retire { agent };
		is_small("a stranger's", taken(&operator, retires.into()));
		assert!(pallet_agents::Evictions::<Runtime>::contains_key(agent));

		// What a cluster with an agent takes is paid for: its member's departure, as a whole.
		let removes: RuntimeCall =
			pallet_clusters::Call::remove_member { cluster: 0, worker }.into();
		let declared = removes.get_dispatch_info().call_weight;
		assert_eq!(taken(&owner, removes), declared);
		assert!(declared.ref_time() > 10 * most.ref_time());
	});
}

#[test]
fn a_member_that_boots_pays_for_each_agent_that_it_is_told_of() {
	for agents in [1, 5] {
		chain(|| {
			let (worker, _) = cluster_with(agents);
			join(worker_of(&bob()));
			System::set_block_number(2);
			let boots = boots_anew_by_call(worker, &bob(), CODE);
			let used = taken_of_what_is_done(&bob(), boots.clone());
			assert_eq!(used, boot(agents as u32));
			assert!(used.all_lt(declared(&boots)));
			assert!(used.all_gt(Registry::weight_of_boot_of_nobody()));
		});
	}
}

#[test]
fn a_member_of_the_most_agents_that_one_block_tells_of_gets_nothing_back() {
	chain(|| {
		let (worker, _) = cluster_with(limits::AGENTS_SWEPT_MAX.into());
		System::set_block_number(2);
		assert_all_is_paid(&bob(), boots_anew_by_call(worker, &bob(), CODE));
	});
}

#[test]
fn one_who_asked_to_join_or_for_a_seat_boots_as_a_member_without_agents() {
	chain(|| {
		let (applicant, candidate) = (worker_of(&bob()), worker_of(&bob()));
		assert_ok!(Clusters::create(signed(&charlie())));
		System::set_block_number(2);
		assert_ok!(Clusters::request_join(signed(&bob()), 0, applicant, b"https://w".to_vec()));
		assert_ok!(Gatekeepers::apply(signed(&bob()), candidate));
		for worker in [applicant, candidate] {
			let boots = boots_anew_by_call(worker, &bob(), CODE);
			assert_eq!(taken_of_what_is_done(&bob(), boots), boot(0));
		}
		let nobodys = worker_of(&bob());
		let boots = boots_anew_by_call(nobodys, &bob(), CODE);
		let used = taken_of_what_is_done(&bob(), boots);
		assert_eq!(used, Registry::weight_of_boot_of_nobody());
	});
}

/// Charlie's cluster, in which Bob's worker has the leases and another member can take them over.
fn with_a_holder(story: impl FnOnce(WorkerId)) {
	chain(|| {
		let (worker, _) = cluster_with(3);
		join(worker_of(&bob()));
		story(worker);
		let left = pallet_clusters::HeldLeases::<Runtime>::iter_key_prefix(worker).count();
		let free = pallet_clusters::FreeLeases::<Runtime>::iter_keys().count();
		assert_eq!((left, free), (0, 0), "others have them now");
	});
}

#[test]
fn a_holder_that_leaves_is_removed_or_evicted_is_paid_for_as_a_whole() {
	with_a_holder(|worker| {
		assert_all_is_paid(&bob(), pallet_clusters::Call::leave { cluster: 0, worker });
	});
	with_a_holder(|worker| {
		assert_all_is_paid(&charlie(), pallet_clusters::Call::remove_member { cluster: 0, worker });
	});
	with_a_holder(|worker| {
		// Its code is destroyed; the others' is not.
		let old = H256::repeat_byte(0xde);
		pallet_registry::Destroyed::<Runtime>::insert(old, ());
		pallet_registry::Boots::<Runtime>::mutate(worker, |boot| {
			boot.as_mut().expect("it has one").measurement = old;
		});
		assert_all_is_paid(&charlie(), pallet_registry::Call::evict { worker });
	});
}

#[test]
fn an_agent_that_is_given_up_or_thrown_out_is_paid_for_as_a_whole() {
	chain(|| {
		let (_, agents) = cluster_with(1);
		let [agent] = agents[..] else { panic!("one was born") };
		assert_all_is_paid(&charlie(), pallet_agents::Call::retire { agent });
		let agent = born();
		let throws_out = pallet_agents::Call::evict { agent };
		assert!(taken(&charlie(), throws_out.clone().into())
			.all_lt(declared(&throws_out.clone().into())));
		let notice: BlockNumber = <Runtime as pallet_agents::Config>::EvictionNotice::get();
		System::set_block_number(System::block_number() + notice - 1);
		let too_early = taken(&charlie(), throws_out.clone().into());
		assert!(too_early.all_lt(<Runtime as pallet_agents::Config>::WeightInfo::evict()));
		System::set_block_number(System::block_number() + 1);
		assert_all_is_paid(&charlie(), throws_out);
		assert_eq!(pallet_agents::Agents::<Runtime>::iter_keys().count(), 0);
	});
}

/// A development chain with one more boot each of what `prepare` has made, and what they touch.
fn boots_after(prepare: impl FnOnce() -> WorkerId) -> (Weight, Weight) {
	let mut externalities = genesis("development");
	let call = externalities.execute_with(|| {
		System::set_block_number(1);
		allow(CODE);
		let worker = prepare();
		System::set_block_number(System::block_number() + 1);
		boots_anew_by_call(worker, &bob(), CODE)
	});
	let mut used = Weight::zero();
	let touched = touched(&mut externalities, || used = taken_of_what_is_done(&bob(), call));
	(used, touched)
}

/// What it takes beside the database to look at evidence and to tell of it: a renewal does no less.
fn computing_of_a_renewal() -> Weight {
	let mut externalities = genesis("development");
	let call = externalities.execute_with(|| {
		System::set_block_number(1);
		allow(CODE);
		let worker = worker_of(&bob());
		System::set_block_number(2);
		boots_anew(worker, &bob(), CODE);
		renews_by_call(worker, &bob(), CODE)
	});
	let touched = touched(&mut externalities, || {
		assert_ok!(call.dispatch(signed(&bob())));
	});
	RegistryWeights::renew_boot().saturating_sub(touched)
}

/// As `register_boot_of_nobody` measures it: an earlier boot that was probed, and a master key.
#[test]
fn a_boot_on_which_nobody_relies_touches_no_more_than_it_pays_for() {
	let (used, touched) = boots_after(|| {
		let worker = worker_of(&bob());
		System::set_block_number(2);
		boots_anew(worker, &bob(), CODE);
		for nonce in 0..limits::OPEN_PROBES_MAX as u8 {
			System::set_block_number(System::block_number() + limits::PROBE_GAP);
			assert_ok!(Registry::probe(signed(&charlie()), worker, [nonce; 32]));
		}
		let outcome = vec![7; limits::CEREMONY_OUTCOME_BYTES_MAX as usize];
		let outcome = frame_support::BoundedVec::truncate_from(outcome);
		let (epoch, attempt, seats) = (1, 0, Default::default());
		let key = pallet_gatekeepers::ActiveKey { epoch, attempt, outcome, seats };
		pallet_gatekeepers::Active::<Runtime>::put(key);
		worker
	});
	assert_eq!(used, Registry::weight_of_boot_of_nobody());
	let (work, least) = (
		RegistryWeights::register_boot_of_nobody(),
		touched.saturating_add(computing_of_a_renewal()),
	);
	assert!(work.ref_time() >= least.ref_time(), "{work:?} for {least:?}");
}

/// Its leases go to itself again, since nobody else counts, or to as many as there can be: each member is looked at,
/// for them and for as many that nobody had.
#[test]
fn a_boot_in_a_full_cluster_touches_no_more_than_it_pays_for_whoever_counts() {
	// It was told of them all at once, so that it can have leases.
	let agents = limits::AGENTS_SWEPT_MAX - 1;
	for others_count in [true, false] {
		let (used, touched) = boots_after(|| {
			let (worker, _) = cluster_with(agents.into());
			for _ in 1..limits::CLUSTER_MEMBERS_MAX {
				let other = worker_of(&bob());
				join(other);
				if !others_count {
					pallet_clusters::Members::<Runtime>::mutate(0, other, |member| {
						member.as_mut().expect("it joined").set_aside = Some(1_000);
					});
				}
			}
			for free in 0..limits::AGENTS_SWEPT_MAX {
				let agent = phala_protocol::hash_of(&free);
				pallet_clusters::FreeLeases::<Runtime>::insert(0, agent, ());
			}
			worker
		});
		assert_eq!(used, boot(limits::AGENTS_SWEPT_MAX), "for those that nobody had");
		let least = touched.saturating_add(computing_of_a_renewal());
		assert!(used.ref_time() >= least.ref_time(), "{used:?} for {least:?}");
	}
}
