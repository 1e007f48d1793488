//! What validators sign with: a change here is new keys for every validator.

use super::{endowed_alice, genesis};
use crate::{opaque::SessionKeys, *};
use codec::Encode;
use frame_support::{
	assert_err_ignore_postinfo, assert_noop, assert_ok, dispatch::DispatchResultWithPostInfo,
	traits::KeyOwnerProofSystem,
};
use phala_protocol::H256;
use scale_info::{TypeDef, TypeInfo};
use sp_consensus_beefy::{
	ecdsa_crypto::{AuthorityId, Signature},
	known_payloads::MMR_ROOT_ID,
	Commitment, DoubleVotingProof, FutureBlockVotingProof, Payload, VoteMessage,
};
use sp_core::{crypto::key_types, Pair};
use sp_io::hashing::keccak_256;
use sp_keyring::Sr25519Keyring;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::{
	traits::OpaqueKeys,
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity},
	DispatchError,
};
use sp_session::MembershipProof;

type Vote = VoteMessage<BlockNumber, AuthorityId, Signature>;

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

/// A validator that votes although there is nothing to vote on yet, as tricked or careless software
/// does.
struct EarlyVoter(Sr25519Keyring);

impl EarlyVoter {
	fn vote(&self, block_number: BlockNumber, root: u8) -> Vote {
		let commitment = Commitment {
			payload: Payload::from_single_entry(MMR_ROOT_ID, H256::repeat_byte(root).encode()),
			block_number,
			validator_set_id: 0,
		};
		let pair = sp_core::ecdsa::Pair::from_string(&self.0.to_seed(), None).expect("a seed");
		let signature = pair.sign_prehashed(&keccak_256(&commitment.encode())).into();
		VoteMessage { commitment, id: self.key(), signature }
	}

	fn key(&self) -> AuthorityId {
		presets::session_keys(self.0).beefy
	}

	fn owner(&self) -> MembershipProof {
		Historical::prove((key_types::BEEFY, self.key())).expect("is a validator")
	}

	fn report_future_vote(&self) -> DispatchResultWithPostInfo {
		let proof = FutureBlockVotingProof { vote: self.vote(1_000, 1) };
		Beefy::report_future_block_voting(reporter(), Box::new(proof), self.owner())
	}

	fn report_double_vote(&self) -> DispatchResultWithPostInfo {
		let proof = DoubleVotingProof { first: self.vote(1, 1), second: self.vote(1, 2) };
		Beefy::report_double_voting(reporter(), Box::new(proof), self.owner())
	}

	/// The report of a block's author, as it is checked in the block.
	fn author_reports(&self) -> TransactionValidity {
		let proof = FutureBlockVotingProof { vote: self.vote(1_000, 1) };
		let call = pallet_beefy::Call::report_future_block_voting_unsigned {
			equivocation_proof: Box::new(proof),
			key_owner_proof: self.owner(),
		};
		Beefy::validate_unsigned(TransactionSource::InBlock, &call)
	}
}

/// The offender's other account, after its share of the slash.
fn reporter() -> RuntimeOrigin {
	RuntimeOrigin::signed(Sr25519Keyring::Ferdie.to_account_id())
}

fn slashes_that_wait() -> usize {
	pallet_staking::UnappliedSlashes::<Runtime>::iter_values().flatten().count()
}

#[test]
fn no_beefy_vote_is_an_offence_before_a_vote_of_the_chain_names_the_first_block() {
	genesis("local_testnet").execute_with(|| {
		System::set_block_number(1);
		let bob = EarlyVoter(Sr25519Keyring::Bob);
		let refused = DispatchError::Unavailable;
		assert_noop!(bob.report_future_vote(), refused);
		assert_noop!(bob.report_double_vote(), refused);
		assert_eq!(bob.author_reports(), Err(InvalidTransaction::Call.into()));
		assert_eq!(slashes_that_wait(), 0);

		// From then on the same votes are.
		assert_ok!(Beefy::set_new_genesis(RuntimeOrigin::root(), 1));
		assert_ok!(bob.author_reports());
		assert_ok!(bob.report_double_vote());
		assert_ok!(EarlyVoter(Sr25519Keyring::Charlie).report_future_vote());
		assert_eq!(slashes_that_wait(), 2);
	});
}

#[test]
fn a_report_of_beefy_votes_that_nobody_signed_is_not_believed() {
	genesis("development").execute_with(|| {
		assert_ok!(Beefy::set_new_genesis(RuntimeOrigin::root(), 1));
		let alice = EarlyVoter(Sr25519Keyring::Alice);
		let forged = |root: u8| VoteMessage {
			signature: sp_core::ecdsa::Signature::from_raw([root; 65]).into(),
			..alice.vote(1, root)
		};
		let forged = DoubleVotingProof { first: forged(1), second: forged(2) };
		assert_err_ignore_postinfo!(
			Beefy::report_double_voting(reporter(), Box::new(forged), alice.owner()),
			pallet_beefy::Error::<Runtime>::InvalidDoubleVotingProof
		);
	});
}
