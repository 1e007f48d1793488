//! Names, deputies, several keys, and PHA that is not free yet.

use super::{blocks::next, endowed_alice, genesis};
use crate::{
	config::accounts::ProxyType,
	currency::{CENTS, PHA},
	*,
};
use frame_support::{
	assert_err_ignore_postinfo, assert_noop, assert_ok,
	dispatch::GetDispatchInfo,
	traits::{fungible::Inspect, InstanceFilter},
};
use pallet_identity::{legacy::IdentityInfo, Data};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{DispatchError, TokenError};

fn signed(who: &AccountId) -> RuntimeOrigin {
	RuntimeOrigin::signed(who.clone())
}

fn transfer(to: &AccountId, value: Balance) -> RuntimeCall {
	pallet_balances::Call::transfer_keep_alive { dest: to.clone().into(), value }.into()
}

#[test]
fn a_name_costs_a_deposit_that_comes_back() {
	genesis("development").execute_with(|| {
		let alice = endowed_alice();
		let before = Balances::balance(&alice);
		let display = Data::Raw(b"Alice".to_vec().try_into().unwrap());
		let info = IdentityInfo { display, ..Default::default() };
		assert_ok!(Identity::set_identity(signed(&alice), Box::new(info)));
		let held = before - Balances::balance(&alice);
		assert!((PHA..2 * PHA).contains(&held), "{held}");
		assert_ok!(Identity::clear_identity(signed(&alice)));
		assert_eq!(Balances::balance(&alice), before);
	});
}

/// A deputy who was given one thing to do and tries another.
struct GreedyDeputy(AccountId);

impl GreedyDeputy {
	/// In the name of `real`; what became of it.
	fn tries(&self, real: &AccountId, call: RuntimeCall) -> sp_runtime::DispatchResult {
		assert_ok!(Proxy::proxy(signed(&self.0), real.clone().into(), None, Box::new(call)));
		let mut events = System::events().into_iter().rev().map(|record| record.event);
		events
			.find_map(|event| match event {
				RuntimeEvent::Proxy(pallet_proxy::Event::ProxyExecuted { result }) => Some(result),
				_ => None,
			})
			.expect("says what became of it")
	}
}

#[test]
fn a_deputy_for_staking_moves_no_money_in_a_batch_either() {
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		let (alice, deputy) = (endowed_alice(), GreedyDeputy(Sr25519Keyring::Eve.to_account_id()));
		let adding =
			Proxy::add_proxy(signed(&alice), deputy.0.clone().into(), ProxyType::Staking, 0);
		assert_ok!(adding);
		let tries = |call| deputy.tries(&alice, call);
		assert_ok!(tries(pallet_staking::Call::chill {}.into()));
		assert!(!pallet_staking::Validators::<Runtime>::contains_key(&alice));

		let filtered = Err(DispatchError::from(frame_system::Error::<Runtime>::CallFiltered));
		assert_eq!(tries(transfer(&deputy.0, PHA)), filtered);
		let before = Balances::total_balance(&deputy.0);
		let calls = vec![transfer(&deputy.0, PHA)];
		assert_eq!(
			tries(pallet_utility::Call::batch_all { calls: calls.clone() }.into()),
			filtered
		);
		// Ends at the first call, and says so in an event of its own.
		assert_ok!(tries(pallet_utility::Call::batch { calls }.into()));
		let more = pallet_proxy::Call::add_proxy {
			delegate: deputy.0.clone().into(),
			proxy_type: ProxyType::Any,
			delay: 0,
		};
		assert_eq!(tries(more.into()), filtered);
		assert_eq!(Balances::total_balance(&deputy.0), before);
	});
}

#[test]
fn no_deputy_but_one_for_everything_may_move_money() {
	let alice = endowed_alice();
	let calls: [RuntimeCall; 4] = [
		transfer(&alice, 1),
		pallet_vesting::Call::vest {}.into(),
		pallet_sudo::Call::remove_key {}.into(),
		pallet_proxy::Call::remove_proxies {}.into(),
	];
	for call in calls {
		assert!(ProxyType::Any.filter(&call));
		for kind in
			[ProxyType::Governance, ProxyType::Staking, ProxyType::Workers, ProxyType::CancelProxy]
		{
			assert!(!kind.filter(&call), "{kind:?} {call:?}");
			assert!(ProxyType::Any.is_superset(&kind) && !kind.is_superset(&ProxyType::Any));
		}
	}
}

/// What a `Staking` deputy may do, by the names of the staking pallet's calls; of `bond` it depends.
const STAKERS: [&str; 10] = [
	"bond_extra",
	"unbond",
	"rebond",
	"withdraw_unbonded",
	"validate",
	"nominate",
	"chill",
	"kick",
	"payout_stakers",
	"payout_stakers_by_page",
];

#[test]
fn a_deputy_for_staking_has_no_rewards_paid_to_itself() {
	use pallet_staking::{Call, RewardDestination};
	let deputy = GreedyDeputy(Sr25519Keyring::Eve.to_account_id());
	let may = |call: Call<Runtime>| ProxyType::Staking.filter(&call.into());
	assert!(!may(Call::set_payee { payee: RewardDestination::Account(deputy.0.clone()) }));
	assert!(!may(Call::set_payee { payee: RewardDestination::None }));
	let bond = |payee| Call::bond { value: PHA, payee };
	assert!(!may(bond(RewardDestination::Account(deputy.0))));
	assert!(may(bond(RewardDestination::Staked)) && may(bond(RewardDestination::Stash)));

	only_these::<Call<Runtime>>(ProxyType::Staking, &[&STAKERS[..], &["bond"]].concat());
}

/// Whatever calls of a pallet an upgrade brings: only those that are named are allowed.
fn only_these<C>(kind: ProxyType, allowed: &[&str])
where
	C: codec::Decode
		+ Into<RuntimeCall>
		+ frame_support::traits::GetCallIndex
		+ frame_support::traits::GetCallName,
{
	let names = C::get_call_names();
	for (name, index) in names.iter().zip(C::get_call_indices()) {
		// Arguments that are all zero: most calls decode of them.
		let bytes = [&[*index][..], &[0; 200]].concat();
		let Ok(call) = C::decode(&mut &bytes[..]) else { continue };
		assert_eq!(kind.filter(&call.into()), allowed.contains(name), "{kind:?} {name}");
	}
	for name in allowed {
		assert!(names.contains(name), "{name}");
	}
}

/// What a `Governance` deputy may do with bounties, and with their children.
const CURATORS: [&str; 7] = [
	"propose_bounty",
	"unassign_curator",
	"accept_curator",
	"claim_bounty",
	"close_bounty",
	"extend_bounty_expiry",
	"poke_deposit",
];
const CURATORS_OF_CHILDREN: [&str; 4] =
	["accept_curator", "unassign_curator", "claim_child_bounty", "close_child_bounty"];

#[test]
fn a_deputy_for_governance_awards_no_bounty_to_itself() {
	let deputy = GreedyDeputy(Sr25519Keyring::Eve.to_account_id());
	let (bounty, beneficiary) = (0, || deputy.0.clone().into());
	let (parent_bounty_id, child_bounty_id, value) = (bounty, bounty, PHA);
	let calls: [RuntimeCall; 4] = [
		pallet_bounties::Call::award_bounty { bounty_id: bounty, beneficiary: beneficiary() }
			.into(),
		pallet_child_bounties::Call::award_child_bounty {
			parent_bounty_id,
			child_bounty_id,
			beneficiary: beneficiary(),
		}
		.into(),
		pallet_child_bounties::Call::add_child_bounty {
			parent_bounty_id,
			value,
			description: vec![],
		}
		.into(),
		// All of it is the curator's fee.
		pallet_child_bounties::Call::propose_curator {
			parent_bounty_id,
			child_bounty_id,
			curator: beneficiary(),
			fee: value,
		}
		.into(),
	];
	for call in calls {
		assert!(!ProxyType::Governance.filter(&call), "{call:?}");
	}
	only_these::<pallet_bounties::Call<Runtime>>(ProxyType::Governance, &CURATORS);
	only_these::<pallet_child_bounties::Call<Runtime>>(
		ProxyType::Governance,
		&CURATORS_OF_CHILDREN,
	);
}

/// Each call of the pallets that a `Workers` deputy has to do with, and whether it may make it.
fn calls_of_operators() -> Vec<(RuntimeCall, bool)> {
	use pallet_bonding::Call as Bonding;
	use pallet_clusters::Call as Clusters;
	use pallet_gatekeepers::Call as Gatekeepers;
	use pallet_registry::Call as Registry;
	use phala_protocol::{bonding::BondId, boot::BootKeys, H256};
	let (worker, cluster, until, to) = (0, 0, 1, Some(endowed_alice()));
	let (measurement, successor) = (H256::zero(), H256::zero());
	let keys = BootKeys { identity: [1; 32], encryption: [1; 32] };
	let slash = sp_runtime::Permill::zero();
	let reason = pallet_registry::EvictionReason::Fault { slash };
	let (evidence, endpoint, recent_block, nonce) = (vec![], vec![], 0, [1; 32]);
	let (bond, amount) = (BondId::Worker(0), 1);
	let (to_all, developer) = (None, endowed_alice());
	vec![
		(Registry::register_worker {}.into(), true),
		(Registry::register_boot { worker, keys, evidence: vec![], recent_block }.into(), true),
		(Registry::renew_boot { worker, evidence, recent_block }.into(), true),
		(Registry::evict { worker }.into(), true),
		(Registry::close_worker { worker }.into(), true),
		(Registry::allow_measurement { measurement }.into(), false),
		(Registry::delist_measurement { measurement, until, successor }.into(), false),
		(Registry::probe { worker, nonce }.into(), true),
		(Registry::evict_for { worker, reason }.into(), false),
		(Registry::set_banned { platform: measurement, banned: true }.into(), false),
		(Registry::offer_worker { worker, to: to.clone() }.into(), false),
		(Registry::accept_worker { worker }.into(), false),
		(Registry::destroy_measurement { measurement, until }.into(), false),
		(Gatekeepers::apply { worker }.into(), true),
		(Gatekeepers::withdraw { worker }.into(), true),
		(Gatekeepers::seat { workers: vec![] }.into(), false),
		(Clusters::create {}.into(), true),
		(Clusters::request_join { cluster, worker, endpoint: vec![] }.into(), true),
		(
			Clusters::approve_join { cluster, worker, boot: 1, measurement, endpoint: vec![] }
				.into(),
			true,
		),
		(Clusters::set_endpoint { worker, endpoint }.into(), true),
		(Clusters::leave { cluster, worker }.into(), true),
		(Clusters::remove_member { cluster, worker }.into(), true),
		(Clusters::close { cluster }.into(), true),
		(Clusters::set_open { cluster, opening: to_all }.into(), true),
		(Clusters::admit_developer { cluster, developer, admitted: true }.into(), true),
		(Clusters::offer_transfer { cluster, to }.into(), false),
		(Clusters::accept_transfer { cluster }.into(), false),
		(Bonding::top_up { bond, amount }.into(), true),
		(Bonding::unbond { bond, amount }.into(), false),
		(Bonding::withdraw { bond }.into(), false),
	]
}

#[test]
fn it_is_decided_of_each_call_of_an_operator_whether_a_deputy_may_make_it() {
	use frame_support::traits::GetCallMetadata;
	let calls = calls_of_operators();
	for pallet in ["Registry", "Gatekeepers", "Clusters", "Bonding"] {
		let mut decided: Vec<&str> = calls
			.iter()
			.map(|(call, _)| call.get_call_metadata())
			.filter(|named| named.pallet_name == pallet)
			.map(|named| named.function_name)
			.collect();
		let mut all = RuntimeCall::get_call_names(pallet).to_vec();
		decided.sort_unstable();
		all.sort_unstable();
		assert_eq!(decided, all, "{pallet}: say above who may make it");
	}
	for (call, may) in calls {
		assert_eq!(ProxyType::Workers.filter(&call), may, "{call:?}");
		for kind in [ProxyType::Governance, ProxyType::Staking, ProxyType::CancelProxy] {
			assert!(!kind.filter(&call), "{kind:?} {call:?}");
		}
	}
}

/// Runs Alice's worker and cluster, with 1 PHA for fees, and would rather own them.
#[test]
fn a_deputy_for_workers_tops_up_what_it_runs_and_walks_off_with_nothing() {
	use phala_protocol::bonding::BondId;
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		let (alice, deputy) = (endowed_alice(), GreedyDeputy(AccountId::new([66; 32])));
		assert_ok!(Balances::transfer_keep_alive(signed(&alice), deputy.0.clone().into(), PHA));
		let adding =
			Proxy::add_proxy(signed(&alice), deputy.0.clone().into(), ProxyType::Workers, 0);
		assert_ok!(adding);
		let tries = |call| deputy.tries(&alice, call);
		let (worker, cluster, to) = (0, 0, Some(deputy.0.clone()));
		assert_ok!(tries(pallet_registry::Call::register_worker {}.into()));
		assert_ok!(tries(pallet_clusters::Call::create {}.into()));
		let bond = BondId::Worker(worker);
		assert_ok!(tries(pallet_bonding::Call::top_up { bond, amount: PHA }.into()));

		let filtered = Err(DispatchError::from(frame_system::Error::<Runtime>::CallFiltered));
		let offer: RuntimeCall =
			pallet_registry::Call::offer_worker { worker, to: to.clone() }.into();
		assert_eq!(tries(offer.clone()), filtered);
		let calls = vec![offer];
		assert_eq!(tries(pallet_utility::Call::batch_all { calls }.into()), filtered);
		assert_eq!(tries(pallet_clusters::Call::offer_transfer { cluster, to }.into()), filtered);
		assert_noop!(
			Registry::accept_worker(signed(&deputy.0), worker),
			pallet_registry::Error::<Runtime>::NotOffered
		);
		assert_eq!(
			pallet_bonding::Bonds::<Runtime>::get(bond).map(|bond| bond.account),
			Some(alice)
		);
		assert!(Balances::total_balance(&deputy.0) <= PHA);
	});
}

#[test]
fn two_of_three_move_money_and_one_does_not() {
	genesis("development").execute_with(|| {
		System::set_block_number(1);
		let mut three = [Sr25519Keyring::Bob, Sr25519Keyring::Charlie, Sr25519Keyring::Dave]
			.map(|key| key.to_account_id());
		three.sort();
		let shared = Multisig::multi_account_id(&three, 2);
		let to = AccountId::from([9; 32]);
		assert_ok!(Balances::transfer_keep_alive(
			signed(&endowed_alice()),
			shared.clone().into(),
			100 * PHA
		));
		let call = transfer(&to, 50 * PHA);
		let weight = call.get_dispatch_info().call_weight;
		let [first, second, third] = three;
		let agree = |who: &AccountId, others: Vec<AccountId>, timepoint| {
			Multisig::as_multi(signed(who), 2, others, timepoint, Box::new(call.clone()), weight)
		};
		assert_ok!(agree(&first, vec![second.clone(), third.clone()], None));
		assert_eq!(Balances::balance(&to), 0);
		let timepoint = Multisig::timepoint();
		let again = agree(&first, vec![second.clone(), third.clone()], Some(timepoint));
		assert_err_ignore_postinfo!(again, pallet_multisig::Error::<Runtime>::AlreadyApproved);
		assert_ok!(agree(&third, vec![first, second], Some(timepoint)));
		assert_eq!(Balances::balance(&to), 50 * PHA);
	});
}

#[test]
fn what_vests_in_genesis_is_free_bit_by_bit_and_pays_fees_before() {
	for preset in presets::names() {
		genesis(preset.as_ref()).execute_with(|| {
			let (who, to) = (presets::VESTING.to_account_id(), AccountId::from([9; 32]));
			let all = Balances::balance(&who);
			let liquid = 1_000_000 * PHA;
			let sends =
				|amount| Balances::transfer_keep_alive(signed(&who), to.clone().into(), amount);
			assert_noop!(sends(liquid + CENTS), TokenError::Frozen);
			assert_ok!(sends(liquid));

			// Half a year later half of the rest is.
			let half_a_year = 365 * time::DAYS / 2;
			System::set_block_number(half_a_year - 1);
			next(1, || ());
			assert_ok!(Vesting::vest(signed(&who)));
			let half = (all - liquid) / 2;
			assert_noop!(sends(half + PHA), TokenError::Frozen);
			assert_ok!(sends(half - PHA));
			System::set_block_number(365 * time::DAYS + 2);
			assert_ok!(Vesting::vest(signed(&who)));
			assert_noop!(Vesting::vest(signed(&who)), pallet_vesting::Error::<Runtime>::NotVesting);
		});
	}
}
