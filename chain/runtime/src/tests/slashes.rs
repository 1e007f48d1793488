//! Who equivocates pays for it, whenever within the bonding period that is reported.

use super::genesis;
use crate::{parameters::NetworkParameters, *};
use frame_support::{
	assert_err_ignore_postinfo, assert_ok,
	traits::{Get, Hooks, KeyOwnerProofSystem},
};
use pallet_staking::{ActiveEra, Ledger, UnappliedSlashes};
use phala_protocol::H256;
use sp_consensus_babe::{
	digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest},
	EquivocationProof, Slot, KEY_TYPE,
};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{generic::DigestItem, traits::Header as _, Digest};
use sp_session::MembershipProof;
use sp_staking::EraIndex;

/// The slot of the first block.
const FIRST_SLOT: u64 = 1_000;

fn claims(slot: Slot) -> Digest {
	let claim = SecondaryPlainPreDigest { authority_index: 0, slot };
	Digest { logs: vec![DigestItem::babe_pre_digest(PreDigest::SecondaryPlain(claim))] }
}

/// A chain with one block an epoch, at its first block.
fn chain(preset: &str) -> sp_io::TestExternalities {
	let mut externalities = genesis(preset);
	externalities.execute_with(next_session);
	externalities
}

fn next_session() {
	let number = System::block_number() + 1;
	let slot = FIRST_SLOT + u64::from(number - 1) * parameters::EpochSlots::get();
	System::initialize(&number, &H256::repeat_byte(1), &claims(slot.into()));
	Babe::on_initialize(number);
	Session::on_initialize(number);
	Grandpa::on_finalize(number);
	Babe::on_finalize(number);
}

fn active_era() -> EraIndex {
	ActiveEra::<Runtime>::get().expect("there is one from genesis on").index
}

fn enter_era(era: EraIndex) {
	while active_era() < era {
		next_session();
	}
}

fn bond_of(validator: Sr25519Keyring) -> Balance {
	Ledger::<Runtime>::get(validator.to_account_id()).expect("a validator of genesis").active
}

/// A validator that makes two blocks in one slot.
struct Equivocator {
	validator: Sr25519Keyring,
	slot: Slot,
	owner: MembershipProof,
}

impl Equivocator {
	/// In the slot that is.
	fn in_this_slot(validator: Sr25519Keyring) -> Self {
		let key = presets::session_keys(validator).babe;
		let owner = Historical::prove((KEY_TYPE, key)).expect("is a validator");
		Self { validator, slot: Babe::current_slot(), owner }
	}

	fn block(&self, state_root: u8) -> Header {
		let mut header = Header::new(
			1,
			H256::zero(),
			H256::repeat_byte(state_root),
			H256::zero(),
			claims(self.slot),
		);
		let signature = self.validator.sign(header.hash().as_bytes());
		header.digest_mut().push(DigestItem::babe_seal(signature.into()));
		header
	}

	fn report(&self) -> frame_support::dispatch::DispatchResultWithPostInfo {
		let proof = EquivocationProof {
			offender: presets::session_keys(self.validator).babe,
			slot: self.slot,
			first_header: self.block(1),
			second_header: self.block(2),
		};
		let reporter = Sr25519Keyring::Ferdie.to_account_id();
		Babe::report_equivocation(
			RuntimeOrigin::signed(reporter),
			Box::new(proof),
			self.owner.clone(),
		)
	}
}

/// The era in which the bond of who equivocated in era 1 falls, when that is reported `age` eras
/// later.
fn era_of_the_slash(preset: &str, age: EraIndex) -> EraIndex {
	chain(preset).execute_with(|| {
		enter_era(1);
		let bob = Sr25519Keyring::Bob;
		let bonded = bond_of(bob);
		let equivocator = Equivocator::in_this_slot(bob);
		enter_era(1 + age);
		assert_ok!(equivocator.report());
		assert_eq!(bond_of(bob), bonded, "nothing is taken before its era");

		let last = active_era() + parameters::BondingDuration::get() + 1;
		while bond_of(bob) == bonded && active_era() < last {
			next_session();
		}
		assert!(
			bond_of(bob) < bonded,
			"{preset}: an equivocation reported {age} eras later was never punished, {:?}",
			UnappliedSlashes::<Runtime>::iter_keys().collect::<Vec<_>>(),
		);
		assert_eq!(UnappliedSlashes::<Runtime>::iter().count(), 0, "and none is left behind");
		active_era()
	})
}

#[test]
fn an_equivocation_is_punished_however_late_it_is_reported() {
	for (preset, network) in [
		("local_testnet", NetworkParameters::DEVELOPMENT),
		(presets::STAGING, NetworkParameters::PRODUCTION),
	] {
		let bonding = network.bonding_eras;
		// Who leaves in the era of the offence can have left in this one.
		let free = 1 + bonding;
		assert_eq!(era_of_the_slash(preset, 0), free);
		// The first age that a wait of seven eras would have left unpunished.
		assert_eq!(era_of_the_slash(preset, 8.min(bonding - 1)), free);
		assert_eq!(era_of_the_slash(preset, bonding - 1), free);
		// The oldest that can be reported.
		assert_eq!(era_of_the_slash(preset, bonding), free + 1);
	}
}

#[test]
fn what_is_older_than_the_bonding_period_is_not_believed() {
	chain("local_testnet").execute_with(|| {
		enter_era(1);
		let equivocator = Equivocator::in_this_slot(Sr25519Keyring::Bob);
		enter_era(1 + parameters::BondingDuration::get() + 1);
		assert_err_ignore_postinfo!(
			equivocator.report(),
			pallet_babe::Error::<Runtime>::InvalidKeyOwnershipProof
		);
	});
}

#[test]
fn a_vote_can_cancel_a_slash_that_was_reported_in_its_era() {
	chain(presets::STAGING).execute_with(|| {
		enter_era(1);
		let equivocator = Equivocator::in_this_slot(Sr25519Keyring::Bob);
		let bonded = bond_of(Sr25519Keyring::Bob);
		// As late as the era allows.
		while pallet_staking::CurrentEra::<Runtime>::get() == Some(1) {
			next_session();
		}
		assert_eq!(active_era(), 1);
		assert_ok!(equivocator.report());
		let filed = UnappliedSlashes::<Runtime>::iter_keys().next().expect("the slash waits");

		let NetworkParameters {
			referendum_preparation,
			referendum_confirmation,
			referendum_enactment,
			..
		} = NetworkParameters::PRODUCTION;
		let blocks = referendum_preparation + referendum_confirmation + referendum_enactment;
		// As fast as a chain without empty slots goes through its sessions.
		for _ in 0..blocks.div_ceil(parameters::EpochSlots::get() as BlockNumber) {
			next_session();
		}
		assert_eq!(bond_of(Sr25519Keyring::Bob), bonded);
		assert_ok!(Staking::cancel_deferred_slash(RuntimeOrigin::root(), filed, vec![0]));
		enter_era(filed + 1);
		assert_eq!(bond_of(Sr25519Keyring::Bob), bonded);
	});
}
