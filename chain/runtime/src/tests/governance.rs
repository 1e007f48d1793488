//! Each track once, from the preimage to the effect; and what each may not do.

use super::{blocks::next, elections::endow, endowed_alice, genesis};
use crate::{
	config::tracks::{Tracks, TRACKS},
	currency::PHA,
	origins::{Origin, BIG_SPEND_MAX, MEDIUM_SPEND_MAX, SMALL_SPEND_MAX, TREASURER_SPEND_MAX},
	parameters::NetworkParameters,
	*,
};
use codec::Encode;
use frame_support::{
	assert_noop, assert_ok,
	traits::{fungible::Inspect, schedule::DispatchTime, tokens::Preservation, Bounded, Polling},
};
use frame_system::RawOrigin;
use pallet_conviction_voting::{AccountVote, Conviction, Vote};
use pallet_referenda::{Curve, ReferendumInfo, ReferendumInfoFor, TracksInfo};
use phala_protocol::H256;
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
	traits::{BadOrigin, Hash as _},
	DispatchError, DispatchResult, Perbill,
};

const MEASUREMENT: H256 = H256::repeat_byte(7);

fn stranger() -> AccountId {
	AccountId::from([0x57; 32])
}

fn signed(who: &AccountId) -> RuntimeOrigin {
	RuntimeOrigin::signed(who.clone())
}

fn root() -> OriginCaller {
	RawOrigin::Root.into()
}

/// Everybody but the account whose PHA vests.
fn voters() -> Vec<AccountId> {
	Sr25519Keyring::well_known()
		.filter(|key| *key != presets::VESTING)
		.map(|key| key.to_account_id())
		.collect()
}

fn aye(balance: Balance) -> AccountVote<Balance> {
	let vote = Vote { aye: true, conviction: Conviction::Locked1x };
	AccountVote::Standard { vote, balance }
}

/// Puts a referendum up that anybody may put up: its call's preimage, itself, its deposit.
fn put_up(origin: OriginCaller, call: impl Into<RuntimeCall>) -> u32 {
	let (call, alice) = (call.into().encode(), endowed_alice());
	let proposal = Bounded::Lookup {
		hash: <Runtime as frame_system::Config>::Hashing::hash(&call),
		len: call.len() as u32,
	};
	if !pallet_preimage::PreimageFor::<Runtime>::contains_key((proposal.hash(), call.len() as u32))
	{
		assert_ok!(Preimage::note_preimage(signed(&alice), call));
	}
	let index = pallet_referenda::ReferendumCount::<Runtime>::get();
	let after = DispatchTime::After(0);
	assert_ok!(Referenda::submit(signed(&alice), Box::new(origin), proposal, after));
	assert_ok!(Referenda::place_decision_deposit(
		signed(&Sr25519Keyring::Eve.to_account_id()),
		index
	));
	index
}

/// Makes blocks until a task of the scheduler has been carried out; what became of it.
fn result_of_the_enactment() -> DispatchResult {
	for _ in 0..200 {
		next(1, || ());
		for record in System::events() {
			if let RuntimeEvent::Scheduler(pallet_scheduler::Event::Dispatched {
				result,
				id: Some(_),
				..
			}) = record.event
			{
				return result;
			}
		}
	}
	panic!("nothing was enacted within 200 blocks")
}

/// A referendum that everybody votes for, to its end.
pub fn voted(origin: OriginCaller, call: impl Into<RuntimeCall>) -> DispatchResult {
	let index = put_up(origin, call);
	for voter in voters() {
		assert_ok!(ConvictionVoting::vote(signed(&voter), index, aye(60_000_000 * PHA)));
	}
	let result = result_of_the_enactment();
	assert!(matches!(ReferendumInfoFor::<Runtime>::get(index), Some(ReferendumInfo::Approved(..))));
	result
}

/// A development network at its first block: tracks take a dozen blocks.
fn chain() -> sp_io::TestExternalities {
	let mut externalities = genesis("local_testnet");
	externalities.execute_with(|| next(1, || ()));
	externalities
}

fn spend(amount: Balance) -> RuntimeCall {
	#[allow(deprecated)]
	pallet_treasury::Call::spend_local { amount, beneficiary: stranger().into() }.into()
}

/// The other way to spend: approved now, paid out when the beneficiary asks.
fn approve(amount: Balance) -> RuntimeCall {
	pallet_treasury::Call::spend {
		asset_kind: Box::new(()),
		amount,
		beneficiary: Box::new(stranger()),
		valid_from: None,
	}
	.into()
}

/// Is listed where it is needed.
const SUCCESSOR: H256 = H256::repeat_byte(9);

fn list(measurement: H256) -> RuntimeCall {
	pallet_registry::Call::allow_measurement { measurement }.into()
}

fn delist(measurement: H256) -> RuntimeCall {
	let (until, successor) = (1_000, SUCCESSOR);
	pallet_registry::Call::delist_measurement { measurement, until, successor }.into()
}

fn is_listed(measurement: H256) -> bool {
	pallet_registry::Measurements::<Runtime>::contains_key(measurement)
}

#[test]
fn root_may_do_everything() {
	chain().execute_with(|| {
		let value = vec![(b"key".to_vec(), b"value".to_vec())];
		assert_ok!(voted(root(), frame_system::Call::set_storage { items: value }));
		assert_eq!(
			sp_io::storage::get(b"key").map(|value| value.to_vec()),
			Some(b"value".to_vec())
		);
		assert_ok!(voted(root(), list(MEASUREMENT)));
		assert!(is_listed(MEASUREMENT));
	});
}

#[test]
fn the_policy_admin_lists_and_seats_and_touches_no_money() {
	chain().execute_with(|| {
		assert_ok!(voted(Origin::PolicyAdmin.into(), list(MEASUREMENT)));
		assert!(is_listed(MEASUREMENT));
		// It is heard, and refused for what it asks.
		let seats = pallet_gatekeepers::Call::seat { workers: vec![] };
		assert_eq!(
			voted(Origin::PolicyAdmin.into(), seats),
			Err(pallet_gatekeepers::Error::<Runtime>::NoSeats.into())
		);
		let reason = pallet_registry::EvictionReason::Delisted;
		let evict = pallet_registry::Call::evict_for { worker: 9, reason };
		assert_eq!(
			voted(Origin::PolicyAdmin.into(), evict),
			Err(pallet_registry::Error::<Runtime>::NoBoot.into())
		);
		assert_eq!(voted(Origin::PolicyAdmin.into(), spend(PHA)), Err(BadOrigin.into()));
	});
}

#[test]
fn the_delister_delists_and_lists_nothing() {
	chain().execute_with(|| {
		for measurement in [MEASUREMENT, SUCCESSOR] {
			assert_ok!(Registry::allow_measurement(RuntimeOrigin::root(), measurement));
		}
		let begun = System::block_number();
		assert_ok!(voted(Origin::Delister.into(), delist(MEASUREMENT)));
		let until =
			pallet_registry::Measurements::<Runtime>::get(MEASUREMENT).and_then(|rule| rule.until);
		assert_eq!(until, Some(1_000));
		assert!(System::block_number() - begun <= 12);
		let (measurement, until) = (MEASUREMENT, 900);
		let destroy: RuntimeCall =
			pallet_registry::Call::destroy_measurement { measurement, until }.into();
		assert_eq!(voted(Origin::Delister.into(), destroy.clone()), Err(BadOrigin.into()));
		assert_ok!(voted(Origin::PolicyAdmin.into(), destroy));
		let other = H256::repeat_byte(8);
		assert_eq!(voted(Origin::Delister.into(), list(other)), Err(BadOrigin.into()));
		assert!(!is_listed(other));
	});
}

#[test]
fn the_staking_admin_cancels_slashes_and_sets_the_budget_and_not_the_bonds() {
	chain().execute_with(|| {
		let admin = || Origin::StakingAdmin.into();
		assert_ok!(voted(admin(), reserve::Call::set_budget { per_year: 5 * PHA }));
		assert_eq!(reserve::PerYear::<Runtime>::get(), 5 * PHA);
		let new = Perbill::from_percent(3);
		assert_ok!(voted(admin(), pallet_staking::Call::set_min_commission { new }));
		assert_eq!(pallet_staking::MinCommission::<Runtime>::get(), new);
		let slash = pallet_staking::Call::cancel_deferred_slash { era: 1, slash_indices: vec![] };
		assert_eq!(
			voted(admin(), slash),
			Err(pallet_staking::Error::<Runtime>::EmptyTargets.into()),
			"is heard"
		);
		let eras = pallet_staking::Call::force_no_eras {};
		assert_eq!(voted(admin(), eras), Err(BadOrigin.into()));
		assert_eq!(voted(admin(), list(MEASUREMENT)), Err(BadOrigin.into()));
	});
}

#[test]
fn each_spender_spends_up_to_its_limit() {
	let too_much = || pallet_treasury::Error::<Runtime>::InsufficientPermission.into();
	for (origin, limit) in [
		(Origin::SmallSpender, SMALL_SPEND_MAX),
		(Origin::MediumSpender, MEDIUM_SPEND_MAX),
		(Origin::BigSpender, BIG_SPEND_MAX),
		(Origin::Treasurer, TREASURER_SPEND_MAX),
	] {
		chain().execute_with(|| {
			assert_ok!(voted(origin.into(), approve(limit)));
			endow(&stranger(), PHA);
			assert_ok!(Treasury::payout(signed(&stranger()), 0));
			assert_eq!(Balances::balance(&stranger()), limit + PHA);
			assert_eq!(voted(origin.into(), approve(limit + 1)), Err(too_much()));
			assert_eq!(voted(origin.into(), list(MEASUREMENT)), Err(BadOrigin.into()));
		});
	}
}

#[test]
fn a_budget_of_the_treasurer_is_paid_at_the_end_of_the_period() {
	chain().execute_with(|| {
		assert_ok!(voted(Origin::Treasurer.into(), spend(1_000 * PHA)));
		assert_eq!(Balances::balance(&stranger()), 0);
		a_spend_period_later();
		assert_eq!(Balances::balance(&stranger()), 1_000 * PHA);
	});
}

/// The block in which the treasury pays.
fn a_spend_period_later() {
	System::set_block_number(System::block_number() + time::DAYS);
	next(1, || ());
}

#[test]
fn a_canceller_ends_a_vote_and_returns_its_deposits() {
	chain().execute_with(|| {
		let eve = Sr25519Keyring::Eve.to_account_id();
		let had = Balances::balance(&eve);
		let bad = put_up(root(), spend(PHA));
		assert!(Balances::balance(&eve) < had);
		let cancel = pallet_referenda::Call::cancel { index: bad };
		assert_ok!(voted(Origin::ReferendumCanceller.into(), cancel));
		assert!(matches!(
			ReferendumInfoFor::<Runtime>::get(bad),
			Some(ReferendumInfo::Cancelled(..))
		));
		assert_ok!(Referenda::refund_decision_deposit(signed(&eve), bad));
		let other = put_up(root(), spend(2 * PHA));
		let kill = pallet_referenda::Call::kill { index: other };
		assert_eq!(voted(Origin::ReferendumCanceller.into(), kill), Err(BadOrigin.into()));
	});
}

#[test]
fn a_killer_ends_a_vote_and_takes_its_deposits() {
	chain().execute_with(|| {
		let bad = put_up(root(), spend(PHA));
		let kill = pallet_referenda::Call::kill { index: bad };
		assert_ok!(voted(Origin::ReferendumKiller.into(), kill));
		assert!(matches!(ReferendumInfoFor::<Runtime>::get(bad), Some(ReferendumInfo::Killed(..))));
		assert_noop!(
			Referenda::refund_decision_deposit(signed(&endowed_alice()), bad),
			pallet_referenda::Error::<Runtime>::NoDeposit
		);
		let other = put_up(root(), spend(2 * PHA));
		let cancel = pallet_referenda::Call::cancel { index: other };
		assert_eq!(voted(Origin::ReferendumKiller.into(), cancel), Err(BadOrigin.into()));
	});
}

/// Wants the chain's root with little PHA, while nobody looks.
struct QuietUsurper(AccountId);

#[test]
fn a_majority_of_few_never_gets_root() {
	chain().execute_with(|| {
		// Four percent of the issuance, against nobody.
		let villain = QuietUsurper(Sr25519Keyring::Bob.to_account_id());
		let index = put_up(root(), list(MEASUREMENT));
		let purse = currency::ISSUANCE / 100 * 4;
		assert_ok!(ConvictionVoting::vote(signed(&villain.0), index, aye(purse)));
		let lost = || {
			matches!(ReferendumInfoFor::<Runtime>::get(index), Some(ReferendumInfo::Rejected(..)))
		};
		for _ in 0..NetworkParameters::DEVELOPMENT.referendum_decision + 10 {
			next(1, || ());
		}
		assert!(lost());
		assert!(!is_listed(MEASUREMENT));

		// With the floor it would have.
		let index = put_up(root(), list(MEASUREMENT));
		let floor = currency::ISSUANCE / 100 * 5;
		assert_ok!(ConvictionVoting::vote(signed(&villain.0), index, aye(floor + PHA)));
		assert_ok!(result_of_the_enactment());
		assert!(is_listed(MEASUREMENT));
	});
}

#[test]
fn every_track_has_a_floor_of_support_and_of_approval() {
	for (id, rules) in TRACKS.iter() {
		let end = Perbill::one();
		let floor = rules.support.threshold(end);
		let least = match rules.origin {
			None | Some(Origin::PolicyAdmin) => 5,
			_ => 1,
		};
		assert!(floor >= Perbill::from_percent(least), "{id} {}: {floor:?}", rules.name);
		// The curve comes to half but for one part in 10⁹.
		assert!(rules.approval.threshold(end).deconstruct() >= 499_999_999, "{id}");
		assert!(rules.support.threshold(Perbill::zero()) > floor, "{id}: more while it is young");
	}
}

#[test]
fn who_delegates_votes_through_another_and_on_that_track_alone() {
	chain().execute_with(|| {
		let (bob, dave) =
			(Sr25519Keyring::Bob.to_account_id(), Sr25519Keyring::Dave.to_account_id());
		let amount = 20_000_000 * PHA;
		let delegate = |track| {
			let class = Conviction::Locked1x;
			ConvictionVoting::delegate(signed(&bob), track, dave.clone().into(), class, amount)
		};
		assert_ok!(delegate(4));
		let spending = put_up(Origin::SmallSpender.into(), approve(PHA));
		let other = put_up(root(), list(MEASUREMENT));
		for index in [spending, other] {
			assert_ok!(ConvictionVoting::vote(signed(&dave), index, aye(PHA)));
		}
		let support = |index| Referenda::as_ongoing(index).expect("is being decided").0.support;
		assert_eq!(support(spending), amount + PHA);
		assert_eq!(support(other), PHA);
		assert_noop!(
			ConvictionVoting::vote(signed(&bob), spending, aye(PHA)),
			pallet_conviction_voting::Error::<Runtime>::AlreadyDelegating
		);
		assert_ok!(ConvictionVoting::undelegate(signed(&bob), 4));
		assert_eq!(support(spending), PHA);
	});
}

#[test]
fn staked_pha_votes() {
	chain().execute_with(|| {
		let bob = Sr25519Keyring::Bob.to_account_id();
		let all = Balances::total_balance(&bob);
		assert!(
			Balances::reducible_balance(
				&bob,
				Preservation::Preserve,
				frame_support::traits::tokens::Fortitude::Polite
			) < all
		);
		let index = put_up(root(), list(MEASUREMENT));
		assert_ok!(ConvictionVoting::vote(signed(&bob), index, aye(all)));
	});
}

#[test]
fn a_bounty_is_split_among_those_who_did_the_work() {
	chain().execute_with(|| {
		let (alice, curator, worker, helper) = (
			endowed_alice(),
			Sr25519Keyring::Charlie.to_account_id(),
			AccountId::from([1; 32]),
			AccountId::from([2; 32]),
		);
		let value = 5_000 * PHA;
		assert_ok!(Bounties::propose_bounty(signed(&alice), value, b"a light client".to_vec()));
		// A bounty is spent of the treasury like anything else.
		let approve = || pallet_bounties::Call::approve_bounty { bounty_id: 0 };
		assert_eq!(voted(Origin::PolicyAdmin.into(), approve()), Err(BadOrigin.into()));
		assert_ok!(voted(Origin::SmallSpender.into(), approve()));
		a_spend_period_later();
		let curate = pallet_bounties::Call::propose_curator {
			bounty_id: 0,
			curator: curator.clone().into(),
			fee: 100 * PHA,
		};
		assert_ok!(voted(Origin::SmallSpender.into(), curate));
		assert_ok!(Bounties::accept_curator(signed(&curator), 0));

		let part = b"its tests".to_vec();
		assert_ok!(ChildBounties::add_child_bounty(signed(&curator), 0, 1_000 * PHA, part));
		let fee = 10 * PHA;
		assert_ok!(ChildBounties::propose_curator(
			signed(&curator),
			0,
			0,
			curator.clone().into(),
			fee
		));
		assert_ok!(ChildBounties::accept_curator(signed(&curator), 0, 0));
		assert_ok!(ChildBounties::award_child_bounty(
			signed(&curator),
			0,
			0,
			helper.clone().into()
		));
		System::set_block_number(System::block_number() + 7 * time::DAYS);
		assert_ok!(ChildBounties::claim_child_bounty(signed(&alice), 0, 0));
		assert_eq!(Balances::balance(&helper), 990 * PHA);

		assert_ok!(Bounties::award_bounty(signed(&curator), 0, worker.clone().into()));
		System::set_block_number(System::block_number() + 7 * time::DAYS);
		assert_ok!(Bounties::claim_bounty(signed(&alice), 0));
		assert_eq!(Balances::balance(&worker), value - 1_000 * PHA - 100 * PHA);
	});
}

#[test]
fn nobody_but_a_vote_has_a_tracks_power() {
	chain().execute_with(|| {
		let alice = signed(&endowed_alice());
		let refused = || DispatchError::BadOrigin;
		assert_noop!(Registry::allow_measurement(alice.clone(), MEASUREMENT), refused());
		assert_noop!(Referenda::kill(alice.clone(), 0), refused());
		assert_noop!(
			Treasury::spend(alice.clone(), Box::new(()), 1, Box::new(stranger()), None),
			refused()
		);
		assert_noop!(
			Sudo::sudo(alice, Box::new(list(MEASUREMENT))),
			pallet_sudo::Error::<Runtime>::RequireSudo
		);
		// A signed origin has no track.
		let caller = OriginCaller::system(RawOrigin::Signed(endowed_alice()));
		assert_eq!(Tracks::track_for(&caller), Err(()));
	});
}

#[test]
fn each_origin_has_one_track_and_each_network_its_own_periods() {
	for (index, (id, rules)) in TRACKS.iter().enumerate() {
		assert_eq!(usize::from(*id), index);
		let caller = match rules.origin {
			None => root(),
			Some(origin) => origin.into(),
		};
		assert_eq!(Tracks::track_for(&caller), Ok(*id));
	}
	genesis(presets::STAGING).execute_with(|| {
		assert_ok!(Tracks::check_integrity());
		for (track, (_, rules)) in Tracks::tracks().zip(TRACKS.iter()) {
			let found = &track.info;
			assert_eq!(
				(
					found.prepare_period,
					found.decision_period,
					found.confirm_period,
					found.min_enactment_period
				),
				(rules.prepare, rules.decide, rules.confirm, rules.enact)
			);
		}
	});
	genesis("development").execute_with(|| {
		for track in Tracks::tracks() {
			let info = &track.info;
			assert!((3..=6).contains(&info.prepare_period), "{}", info.prepare_period);
			assert!((3..=30).contains(&info.decision_period), "{}", info.decision_period);
			assert!((3..=6).contains(&info.confirm_period), "{}", info.confirm_period);
			assert!((3..=3).contains(&info.min_enactment_period), "{}", info.min_enactment_period);
		}
	});
}

/// As the table in `docs/governance.md` has it.
fn row((id, rules): &(u16, config::tracks::TrackRules)) -> String {
	let blocks = |blocks: BlockNumber| match blocks {
		days if days % time::DAYS == 0 => format!("{} d", days / time::DAYS),
		hours if hours % time::HOURS == 0 => format!("{} h", hours / time::HOURS),
		minutes => format!("{} min", minutes / time::MINUTES),
	};
	let percent = |curve: &Curve| {
		let at = |part| (curve.threshold(part).deconstruct() + 5_000_000) / 10_000_000;
		format!("{} → {} %", at(Perbill::zero()), at(Perbill::one()))
	};
	format!(
		"| {id} | `{}` | {} | {} PHA | {} | {} | {} | {} | {} | {} |",
		rules.name,
		rules.max_deciding,
		rules.decision_deposit / PHA,
		blocks(rules.prepare),
		blocks(rules.decide),
		blocks(rules.confirm),
		blocks(rules.enact),
		percent(&rules.approval),
		percent(&rules.support),
	)
}

#[test]
fn the_table_in_the_docs_is_that_of_the_chain() {
	const DOCS: &str = include_str!("../../../../docs/governance.md");
	let rows: Vec<_> = TRACKS.iter().map(row).collect();
	let found: Vec<_> = DOCS
		.lines()
		.filter(|line| {
			line.starts_with("| ") && line[2..].starts_with(|of: char| of.is_ascii_digit())
		})
		.collect();
	assert_eq!(found, rows, "docs/governance.md should have:\n{}", rows.join("\n"));
	for (name, limit) in [
		("`small_spender`", SMALL_SPEND_MAX),
		("`medium_spender`", MEDIUM_SPEND_MAX),
		("`big_spender`", BIG_SPEND_MAX),
		("`treasurer`", TREASURER_SPEND_MAX),
	] {
		let said = format!("{name} no more than {} PHA", limit / PHA);
		assert!(DOCS.contains(&said), "docs/governance.md says: {said}");
	}
}

#[test]
fn a_vote_that_cancels_a_slash_is_enacted_before_the_slash_is() {
	// What `NetworkParameters` checks of root holds for the track that is for it.
	let (_, rules) = &TRACKS[2];
	assert_eq!(rules.origin, Some(Origin::StakingAdmin));
	let (_, of_root) = &TRACKS[0];
	assert!(
		rules.prepare + rules.confirm + rules.enact
			<= of_root.prepare + of_root.confirm + of_root.enact
	);
}
