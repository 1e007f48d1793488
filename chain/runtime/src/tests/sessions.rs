//! What validators sign with: a change here is new keys for every validator.

use super::{endowed_alice, genesis};
use crate::{opaque::SessionKeys, *};
use codec::Encode;
use frame_support::{
	assert_err_ignore_postinfo, assert_noop, assert_ok, traits::KeyOwnerProofSystem,
};
use phala_protocol::H256;
use scale_info::{TypeDef, TypeInfo};
use sp_consensus_beefy::{
	known_payloads::MMR_ROOT_ID, Commitment, DoubleVotingProof, Payload, VoteMessage,
};
use sp_core::crypto::key_types;
use sp_keyring::Sr25519Keyring;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::traits::OpaqueKeys;

#[test]
fn the_session_keys_are_frozen() {
	let TypeDef::Composite(keys) = SessionKeys::type_info().type_def else {
		panic!("session keys are a struct")
	};
	let names: Vec<_> = keys.fields.iter().map(|field| field.name.unwrap_or_default()).collect();
	assert_eq!(
		(&names[..], SessionKeys::key_ids()),
		(
			&["babe", "grandpa", "authority_discovery", "beefy"][..],
			&[
				key_types::BABE,
				key_types::GRANDPA,
				key_types::AUTHORITY_DISCOVERY,
				key_types::BEEFY,
			][..]
		),
		"the session keys changed: every validator has to make and register new ones, and what is \
		 stored has to be migrated (pallet_session::Pallet::upgrade_keys); amend decision 011, the \
		 presets and the end-to-end tests' rotate_session_keys, and only then this list"
	);
	assert_eq!(presets::session_keys(Sr25519Keyring::Alice).encode().len(), 3 * 32 + 33);
}

#[test]
fn the_keys_in_genesis_are_those_that_a_node_makes_of_its_seed() {
	for validator in presets::FOUR {
		let mut externalities = sp_io::TestExternalities::default();
		externalities.register_extension(KeystoreExt::new(MemoryKeystore::new()));
		externalities.execute_with(|| {
			let seed = validator.to_seed().into_bytes();
			let made = SessionKeys::generate(b"anybody", Some(seed));
			assert_eq!(made.keys, presets::session_keys(validator), "{validator:?}");
		});
	}
}

#[test]
fn every_pallet_with_a_key_knows_the_validators_from_genesis_on() {
	genesis("local_testnet").execute_with(|| {
		let keys = presets::FOUR.map(presets::session_keys);
		assert_eq!(Babe::authorities().len(), 4);
		assert_eq!(Grandpa::grandpa_authorities().len(), 4);
		let mut reachable: Vec<_> =
			keys.iter().map(|keys| keys.authority_discovery.clone()).collect();
		reachable.sort();
		assert_eq!(AuthorityDiscovery::authorities(), reachable);
		let voters = Beefy::validator_set().expect("there are validators");
		assert_eq!(voters.validators().len(), 4);
		assert!(keys.iter().all(|keys| voters.validators().contains(&keys.beefy)));
		assert_eq!(pallet_beefy::GenesisBlock::<Runtime>::get(), None, "and nobody votes yet");
	});
}

#[test]
fn new_keys_are_taken_from_who_proves_to_have_them_and_from_nobody_else() {
	let mut externalities = genesis("development");
	externalities.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	externalities.execute_with(|| {
		let (alice, bob) = (endowed_alice(), Sr25519Keyring::Bob.to_account_id());
		let made = SessionKeys::generate(&alice.encode(), None);
		let (keys, proof) = (made.keys, made.proof.encode());
		let set = |who, proof| Session::set_keys(RuntimeOrigin::signed(who), keys.clone(), proof);
		let refused = || pallet_session::Error::<Runtime>::InvalidProof;
		assert_noop!(set(bob, proof.clone()), refused());

		// Each of the four signatures counts.
		let signatures = [0..64, 64..128, 128..192, 192..257];
		assert_eq!(proof.len(), 257);
		for signature in signatures {
			let mut forged = proof.clone();
			forged[signature.start] ^= 1;
			assert_noop!(set(alice.clone(), forged), refused());
		}
		assert_ok!(set(alice, proof));
	});
}

#[test]
fn a_report_of_beefy_votes_that_nobody_signed_is_not_believed() {
	let vote = |root: u8| VoteMessage {
		commitment: Commitment {
			payload: Payload::from_single_entry(MMR_ROOT_ID, H256::repeat_byte(root).encode()),
			block_number: 1,
			validator_set_id: 0,
		},
		id: presets::session_keys(Sr25519Keyring::Alice).beefy,
		signature: sp_core::ecdsa::Signature::from_raw([root; 65]).into(),
	};
	genesis("development").execute_with(|| {
		let owner = Historical::prove((
			key_types::BEEFY,
			presets::session_keys(Sr25519Keyring::Alice).beefy,
		))
		.expect("Alice is a validator");
		let forged = DoubleVotingProof { first: vote(1), second: vote(2) };
		let reporter = RuntimeOrigin::signed(endowed_alice());
		assert_err_ignore_postinfo!(
			Beefy::report_double_voting(reporter, Box::new(forged), owner),
			pallet_beefy::Error::<Runtime>::InvalidDoubleVotingProof
		);
	});
}
