//! What a stranger with 25 PHA does to the real runtime: keeps others from asking workers for signs of life, or
//! has the chain keep as much as that pays for. No fees of transactions are asked of it here.

use super::{
	blocks::enter_era,
	elections::{elected, endow, two_eras_on, DustStaker},
	genesis,
	misses::cluster_with,
	stakes::{bob, boots_anew, chain, charlie, member, signed, stake, worker_of, CODE},
};
use crate::{currency::PHA, *};
use frame_support::{
	assert_noop, assert_ok,
	traits::{fungible::Inspect, Get},
};
use phala_protocol::{
	agents::{agent_id, Access, AgentCode, AgentId, UpgradePolicy},
	clusters::Opening,
	limits,
	traits::BootDirectory,
	H256,
};
use sp_runtime::traits::Dispatchable;

const PURSE: Balance = 25 * PHA;

/// Somebody with exactly that.
fn stranger(number: u8) -> AccountId {
	stranger_with(number, PURSE)
}

fn stranger_with(number: u8, purse: Balance) -> AccountId {
	let account = AccountId::new([number; 32]);
	endow(&account, purse);
	assert_eq!(Balances::free_balance(&account), purse);
	account
}

/// Keeps others from probing a worker, by probing it whenever it goes.
struct Prober(AccountId);

impl Prober {
	fn probes(&self, worker: u32) -> bool {
		Registry::probe(signed(&self.0), worker, [7; 32]).is_ok()
	}

	/// Until all is spent; for how many blocks.
	fn keeps_others_out(&self, worker: u32) -> BlockNumber {
		let begun = System::block_number();
		while self.probes(worker) {
			// Its enclave answers.
			pallet_registry::OpenProbes::<Runtime>::remove(worker);
			System::set_block_number(System::block_number() + limits::PROBE_GAP);
		}
		System::block_number() - begun
	}
}

/// What an honest user spends in a day who asks once a minute: docs/decisions/016.
const HONEST: Balance = 1_584 * PHA / 100;

/// That, and ten and a hundred times as much: the columns of the table in docs/decisions/016.
const PURSES: [Balance; 3] = [HONEST, 10 * HONEST, 100 * HONEST];

#[test]
fn probers_with_1_10_and_100_times_what_an_honest_user_spends_keep_others_out_for_minutes_to_hours()
{
	let blocks = PURSES.map(|purse| {
		let mut blocks = 0;
		chain(|| {
			let worker = worker_of(&bob());
			blocks = Prober(stranger_with(0xee, purse)).keeps_others_out(worker);
		});
		blocks
	});
	// What they pay grows as what they gain: the price is at its most.
	assert_eq!(blocks, [93, 795, 7_830]);
}

/// Buys places in the election: none is a validator's, so of nominators, for a candidate that a patron has put up with
/// the least bond.
struct Courtier(Balance);

impl Courtier {
	/// How many places.
	fn buys(&self) -> u32 {
		let least = pallet_staking::MinValidatorBond::<Runtime>::get();
		assert!(self.0 < least, "a validator's place is dearer");
		let mut patron = DustStaker::with(least + least / 2);
		assert_eq!(patron.stand_for_election(), 1);
		patron.has_now(self.0);
		patron.nominate()
	}
}

#[test]
fn courtiers_with_1_10_and_100_times_what_an_honest_user_spends_elect_nobody() {
	let places = PURSES.map(|purse| {
		let mut places = Default::default();
		genesis(presets::STAGING).execute_with(|| {
			enter_era(1);
			let honest = elected();
			places = Courtier(purse).buys();
			two_eras_on();
			// One candidate more than there are seats, and it has none.
			assert_eq!(elected(), honest);
		});
		places
	});
	assert_eq!(places, [0, 1, 15]);
}

/// Registers workers that never boot, so that others find no place in the network.
struct Squatter(AccountId);

#[test]
fn squatters_with_1_10_and_100_times_what_an_honest_user_spends_take_one_worker_and_no_others_place(
) {
	let workers = PURSES.map(|purse| {
		let mut taken = 0;
		chain(|| {
			let villain = Squatter(stranger_with(0xe4, purse));
			let registers = || RuntimeCall::from(pallet_registry::Call::register_worker {});
			taken = hoards(&villain.0, (0..100).map(|_| registers()));
			if taken > 0 {
				// Its stake leaves by unbonding: no other place is bought with it.
				let closes = pallet_registry::Call::close_worker { worker: 0 };
				assert_ok!(RuntimeCall::from(closes).dispatch(signed(&villain.0)));
				assert_eq!(hoards(&villain.0, [registers()]), 0);
			}
			// Who comes after them puts up what it always takes, and is in force.
			let had = Balances::free_balance(bob());
			let worker = worker_of(&bob());
			assert_eq!((worker, had - Balances::free_balance(bob())), (taken, stake()));
			System::set_block_number(2);
			boots_anew(worker, &bob(), CODE);
			assert!(Registry::boot_in_force(worker).is_some());
		});
		taken
	});
	assert_eq!(workers, [0, 0, 1]);
}

/// Founds clusters without members, to be where others look for one.
struct Founder(AccountId);

#[test]
fn founders_with_1_10_and_100_times_what_an_honest_user_spends_found_empty_clusters_that_keep_nobody_out(
) {
	let clusters = PURSES.map(|purse| {
		let mut founded = 0;
		chain(|| {
			let villain = Founder(stranger_with(0xe5, purse));
			let founds = || RuntimeCall::from(pallet_clusters::Call::create {});
			founded = hoards(&villain.0, (0..100).map(|_| founds()));
			// Whatever they are open for, nobody serves there, and so nothing is registered.
			for cluster in 0..founded {
				let opening = Some(Opening { price_floor: 0, deposit: 0 });
				assert_ok!(Clusters::set_open(signed(&villain.0), cluster, opening));
				assert_eq!(hoards(&charlie(), [registers(cluster, 0)]), 0);
			}
			// Another's costs what it always does, and serves.
			let had = Balances::free_balance(charlie());
			let cluster = pallet_clusters::NextCluster::<Runtime>::get();
			assert_ok!(Clusters::create(signed(&charlie())));
			let deposit: Balance = <Runtime as pallet_clusters::Config>::ClusterDeposit::get();
			assert_eq!((cluster, had - Balances::free_balance(charlie())), (founded, deposit));
			member(cluster, worker_of(&bob()));
			assert_eq!(hoards(&charlie(), [registers(cluster, 0)]), 1);
		});
		founded
	});
	assert_eq!(clusters, [0, 1, 15]);
}

#[test]
fn a_prober_with_25_pha_keeps_others_out_for_minutes_and_never_makes_them_pay_a_pha() {
	chain(|| {
		let worker = worker_of(&bob());
		let villain = Prober(stranger(0xee));
		let blocks = villain.keeps_others_out(worker);
		assert!(Balances::free_balance(&villain.0) < PHA, "all is spent");
		let had = Balances::free_balance(charlie());
		assert_ok!(Registry::probe(signed(&charlie()), worker, [8; 32]));
		let paid = had - Balances::free_balance(charlie());
		assert_eq!((blocks, paid), (138, 64 * PHA / 100));
		// And little some minutes later.
		let cooling = limits::PROBE_DOUBLINGS_MAX * limits::PROBE_COOLING_BLOCKS;
		System::set_block_number(System::block_number() + cooling);
		let had = Balances::free_balance(charlie());
		assert_ok!(Registry::probe(signed(&charlie()), worker, [9; 32]));
		let least = config::network::TollToTreasury::PROBE;
		assert_eq!(had - Balances::free_balance(charlie()), least);
	});
}

/// Has the chain keep as many of something as a purse pays for; how many. What they cost is held, and comes back.
fn hoards(who: &AccountId, calls: impl IntoIterator<Item = RuntimeCall>) -> u32 {
	let had = Balances::total_balance(who);
	let mut stored = 0;
	for call in calls {
		if call.dispatch(signed(who)).is_err() {
			break;
		}
		stored += 1;
	}
	assert_eq!(Balances::total_balance(who), had, "it is held, not spent");
	assert!(stored == 0 || Balances::free_balance(who) < had);
	stored
}

fn code(n: u32) -> AgentCode {
	AgentCode { component: H256::from_low_u64_be(n.into()), manifest: H256::zero() }
}

fn registers(cluster: u32, n: u32) -> RuntimeCall {
	let (unit_price, timeout) = (PHA, 5);
	let (access, upgrades) = (Access::Listed, UpgradePolicy::Free);
	let code = code(n);
	pallet_agents::Call::register { cluster, code, unit_price, timeout, access, upgrades }.into()
}

/// Its first agent, in an open cluster.
fn agent_of(who: &AccountId) -> AgentId {
	let agent = agent_id(System::block_hash(0), pallet_agents::NextAgent::<Runtime>::get());
	assert_eq!(hoards(who, [registers(0, 0)]), 1);
	agent
}

fn opened() {
	let _ = cluster_with(0);
	let opening = Some(Opening { price_floor: 0, deposit: 0 });
	assert_ok!(Clusters::set_open(signed(&charlie()), 0, opening));
}

#[test]
fn squatters_collectors_and_hoarders_with_25_pha_have_the_chain_keep_a_few_dozen_things_of_ours() {
	chain(|| {
		opened();
		// Neither a place in the network nor a cluster.
		let squatter = stranger(0xe0);
		assert_eq!(hoards(&squatter, [pallet_registry::Call::register_worker {}.into()]), 0);
		assert_eq!(hoards(&squatter, [pallet_clusters::Call::create {}.into()]), 0);
		// Two agents, which nobody ever bears.
		assert_eq!(hoards(&squatter, (0..100).map(|n| registers(0, n))), 2);

		// One agent with a list of callers.
		let collector = stranger(0xe1);
		let agent = agent_of(&collector);
		let allows = |n: u32| {
			let account = super::elections::numbered(0xcc, n);
			pallet_agents::Call::allow_caller { agent, account }.into()
		};
		assert_eq!(hoards(&collector, (0..500).map(allows)), 46);

		// One agent with many versions of its code.
		let hoarder = stranger(0xe2);
		let agent = agent_of(&hoarder);
		let upgrades = |n: u32| pallet_agents::Call::upgrade { agent, code: code(n) }.into();
		assert_eq!(hoards(&hoarder, (1..500).map(upgrades)), 22);
	});
}

/// Registers what is never born, and keeps the members of a cluster trying.
struct Stillborn(AccountId);

#[test]
fn a_stillborn_agent_is_tried_by_as_many_as_may_and_then_by_nobody() {
	chain(|| {
		opened();
		let villain = Stillborn(stranger(0xe3));
		let agent = agent_of(&villain.0);
		let births = || pallet_agents::Births::<Runtime>::iter_values().count();
		let mut blocks = 0;
		while births() > 0 {
			assert_eq!(births(), 1);
			System::set_block_number(System::block_number() + limits::BIRTH_BLOCKS);
			blocks += limits::BIRTH_BLOCKS;
			Agents::pass_births_on(&mut frame_support::weights::WeightMeter::new());
		}
		assert_eq!(blocks, limits::BIRTH_HOLDERS_MAX * limits::BIRTH_BLOCKS);
		assert_ok!(Agents::retire(signed(&villain.0), agent));
		assert_eq!(Balances::free_balance(&villain.0), PURSE);
	});
}

#[test]
fn twenty_five_pha_store_a_few_dozen_things_with_the_stock_pallets() {
	use pallet_identity::Data;
	chain(|| {
		let names = stranger(0xd0);
		let subs: Vec<_> = (0..100)
			.map(|n| {
				(super::elections::numbered(0xab, n), Data::Raw(vec![b'n'; 32].try_into().unwrap()))
			})
			.collect();
		let info = Box::<pallet_identity::legacy::IdentityInfo<_>>::default();
		assert_eq!(hoards(&names, [pallet_identity::Call::set_identity { info }.into()]), 1);
		let all = |n: usize| pallet_identity::Call::set_subs { subs: subs[..n].to_vec() }.into();
		let accounts = hoards(&names, (1..100).map(all));
		assert_eq!(hoards(&names, (accounts as usize + 1..100).map(all)), 0);

		let shared = stranger(0xd1);
		let asks = |n: u8| {
			pallet_multisig::Call::approve_as_multi {
				threshold: 2,
				other_signatories: vec![bob()],
				maybe_timepoint: None,
				call_hash: [n; 32],
				max_weight: Default::default(),
			}
			.into()
		};
		let questions = hoards(&shared, (0..100).map(asks));

		let master = stranger(0xd2);
		let names_deputy = |n: u32| {
			let delegate = super::elections::numbered(0xda, n).into();
			let proxy_type = config::accounts::ProxyType::Staking;
			pallet_proxy::Call::add_proxy { delegate, proxy_type, delay: 0 }.into()
		};
		let deputies = hoards(&master, (0..100).map(names_deputy));

		let voter = stranger(0xd3);
		let proposes = |n: u8| {
			let remark = frame_system::Call::<Runtime>::remark { remark: vec![n] };
			let call = codec::Encode::encode(&RuntimeCall::from(remark));
			pallet_referenda::Call::submit {
				proposal_origin: Box::new(frame_system::RawOrigin::Root.into()),
				proposal: frame_support::traits::Bounded::Inline(call.try_into().unwrap()),
				enactment_moment: frame_support::traits::schedule::DispatchTime::After(1),
			}
			.into()
		};
		let referenda = hoards(&voter, (0..100).map(proposes));
		let submission: Balance = <Runtime as pallet_referenda::Config>::SubmissionDeposit::get();
		assert_eq!(Balance::from(referenda), (PURSE - 1) / submission);
		assert_eq!([accounts, questions, deputies, referenda], [15, 9, 32, 2]);
		assert_noop!(
			Registry::register_worker(signed(&voter)),
			sp_runtime::TokenError::FundsUnavailable
		);
	});
}
