//! This crate against the chain's own libraries: headers and digests against `sp-runtime`, proofs
//! against `sp-state-machine`, justifications against `finality-grandpa`.

use codec::{Decode, Encode};
use finality_grandpa::{voter_set::VoterSet, Chain};
use phala_light_client::{
	test_chain::{
		authorities, forced_change, scheduled_change, Justification, Target, TestChain, TestHeader,
		Vote,
	},
	Checkpoint, LightClient, LightClientError,
};
use phala_protocol::{
	relay::{FinalityStep, GenesisBundle},
	storage_keys, H256,
};
use proptest::prelude::*;
use sp_consensus_grandpa::{AuthorityId, AuthoritySignature, ConsensusLog, GRANDPA_ENGINE_ID};
use sp_core::{crypto::UncheckedFrom, Blake2Hasher};
use sp_runtime::{
	generic::{self, Digest, DigestItem},
	traits::{BlakeTwo256, Header as _},
};
use sp_state_machine::StorageProof;
use std::collections::{BTreeMap, BTreeSet, HashMap};

type Header = generic::Header<u32, BlakeTwo256>;
type Commit = finality_grandpa::Commit<H256, u32, AuthoritySignature, AuthorityId>;

/// `sc_consensus_grandpa::GrandpaJustification`, field by field.
type ChainJustification = (u64, Commit, Vec<Header>);

// ── headers ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_test_chains_headers_are_the_chains() {
	let mut chain = TestChain::new(1, 4);
	chain.change_authorities(3);
	chain.seal_to(300);
	for number in 0..=300 {
		let header = Header::decode(&mut &chain.header(number)[..]).unwrap();
		assert_eq!(header.encode(), chain.header(number));
		assert_eq!(header.hash(), chain.hash(number));
		assert_eq!(*header.number(), number);
		assert_eq!(header.state_root, chain.test_header(number).state_root);
	}
}

fn digest_item() -> impl Strategy<Value = DigestItem> {
	let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
	let engine = || prop_oneof![Just(*b"BABE"), Just(*b"aura"), any::<[u8; 4]>()];
	let not_grandpa = engine().prop_filter("its logs are tested below", |e| *e != *b"FRNK");
	prop_oneof![
		(not_grandpa, bytes()).prop_map(|(engine, log)| DigestItem::Consensus(engine, log)),
		(engine(), bytes()).prop_map(|(engine, seal)| DigestItem::Seal(engine, seal)),
		(engine(), bytes()).prop_map(|(engine, pre)| DigestItem::PreRuntime(engine, pre)),
		bytes().prop_map(DigestItem::Other),
		Just(DigestItem::RuntimeEnvironmentUpdated),
	]
}

proptest! {
	#![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

	/// Any header that `sp-runtime` makes, pinned and read.
	#[test]
	fn every_header_is_read_as_sp_runtime_writes_it(
		number in prop_oneof![any::<u32>(), 0u32..3, (u32::MAX - 3)..=u32::MAX],
		parent in any::<[u8; 32]>(),
		logs in proptest::collection::vec(digest_item(), 0..8),
	) {
		let chain = TestChain::new(2, 3);
		let header = Header {
			parent_hash: parent.into(),
			number,
			state_root: chain.test_header(0).state_root,
			extrinsics_root: H256::zero(),
			digest: Digest { logs },
		};
		let bundle = GenesisBundle {
			header: header.encode(),
			state_proof: chain.genesis_bundle().state_proof,
		};
		let pinned = Checkpoint { genesis: chain.genesis(), block: header.hash() };
		let client = LightClient::from_checkpoint(pinned, &bundle).unwrap();
		prop_assert_eq!(client.finalized().number(), number);
		prop_assert_eq!(client.finalized().hash(), header.hash());
		prop_assert_eq!(client.finalized().parent(), header.parent_hash);
		prop_assert_eq!(client.finalized().state_root(), header.state_root);
	}
}

#[test]
fn grandpa_logs_are_those_of_sp_consensus_grandpa() {
	let next = authorities(TestChain::new(1, 5).validators(0));
	let change = |delay| sp_consensus_grandpa::ScheduledChange::<u32> {
		next_authorities: next
			.iter()
			.map(|(key, weight)| (AuthorityId::unchecked_from(*key), *weight))
			.collect(),
		delay,
	};
	let item = |log: ConsensusLog<u32>| DigestItem::Consensus(GRANDPA_ENGINE_ID, log.encode());
	let scheduled = item(ConsensusLog::ScheduledChange(change(3)));
	assert_eq!(scheduled.encode(), scheduled_change(&next, 3));
	let forced = item(ConsensusLog::ForcedChange(0, change(4)));
	assert_eq!(forced.encode(), forced_change(&next, 4));

	let advance = |log| {
		let mut chain = TestChain::new(1, 4);
		chain.add_digest_item(item(log).encode());
		let number = chain.seal();
		chain.client().advance(&[chain.step(number)]).map(|client| client.authority_set_id())
	};
	assert_eq!(advance(ConsensusLog::ScheduledChange(change(0))), Ok(1));
	assert_eq!(advance(ConsensusLog::OnDisabled(2)), Ok(0));
	assert_eq!(advance(ConsensusLog::Pause(2)), Ok(0));
	assert_eq!(advance(ConsensusLog::Resume(2)), Ok(0));
	assert_eq!(
		advance(ConsensusLog::ForcedChange(7, change(9))),
		Err(LightClientError::ForcedChange { number: 1 })
	);
	assert_eq!(
		advance(ConsensusLog::ScheduledChange(change(9))),
		Err(LightClientError::DelayedChange { number: 1, delay: 9 })
	);
}

#[test]
fn storage_holds_authorities_as_pallet_grandpa_writes_them() {
	let keys = TestChain::new(1, 5);
	let stored: sp_consensus_grandpa::AuthorityList = authorities(keys.validators(0))
		.into_iter()
		.map(|(key, weight)| (AuthorityId::unchecked_from(key), weight))
		.collect();
	assert_eq!(stored.encode(), authorities(keys.validators(0)).encode());
}

// ── justifications ─────────────────────────────────────────────────────────────────────────────

#[test]
fn the_test_chains_justifications_are_the_chains() {
	let mut chain = TestChain::new(1, 4);
	chain.seal_to(6);
	let mut made = chain.justify(4);
	made.votes[0].target = Target::from(chain.test_header(6));
	made.ancestry = (5..=6).map(|number| chain.test_header(number).clone()).collect();

	let encoded = made.encode();
	let (round, commit, ancestries) = ChainJustification::decode(&mut &encoded[..]).unwrap();
	assert_eq!((round, &commit, &ancestries).encode(), encoded);
	assert_eq!(ancestries.len(), 2);
	for signed in &commit.precommits {
		let message = finality_grandpa::Message::Precommit(signed.precommit.clone());
		let (signature, id) = (&signed.signature, &signed.id);
		let verdict =
			sp_consensus_grandpa::check_message_signature(&message, id, signature, round, 0);
		assert!(verdict.is_valid());
	}
}

/// What `finality-grandpa` knows of ancestry: the justification's own headers.
struct Ancestry(HashMap<H256, H256>);

impl Chain<H256, u32> for Ancestry {
	fn ancestry(&self, base: H256, block: H256) -> Result<Vec<H256>, finality_grandpa::Error> {
		let mut route = vec![];
		let mut at = block;
		while at != base {
			at = *self.0.get(&at).ok_or(finality_grandpa::Error::NotDescendent)?;
			route.push(at);
		}
		route.pop();
		Ok(route)
	}
}

/// The verdict of `finality-grandpa`.
fn validators_accept(set: &[([u8; 32], u64)], justification: &Justification) -> bool {
	let voters = set.iter().map(|(key, weight)| (AuthorityId::unchecked_from(*key), *weight));
	let voters = VoterSet::new(voters).unwrap();
	let encoded = justification.encode();
	let (_, commit, ancestries) = ChainJustification::decode(&mut &encoded[..]).unwrap();
	let parents = ancestries.iter().map(|header| (header.hash(), header.parent_hash)).collect();
	finality_grandpa::validate_commit(&commit, &voters, &Ancestry(parents))
		.is_ok_and(|result| result.is_valid())
}

/// Blocks 5 to 8, and a fork of 6 and 7.
fn tree(chain: &TestChain) -> Vec<TestHeader> {
	let mut headers: Vec<_> = (5..=8).map(|number| chain.test_header(number).clone()).collect();
	let sixth = TestHeader { extrinsics_root: H256::zero(), ..headers[1].clone() };
	let seventh = TestHeader { parent: sixth.hash(), ..headers[2].clone() };
	headers.extend([sixth, seventh]);
	headers
}

/// Mostly in one line, so that many cases reach a majority.
fn block_voted_for() -> impl Strategy<Value = usize> {
	prop_oneof![1 => 0usize..6, 1 => Just(1), 3 => 2usize..4]
}

proptest! {
	#![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

	/// Random votes on a small tree: whatever validators accept is accepted.
	#[test]
	fn a_commit_is_final_when_validators_say_so(
		votes in proptest::collection::vec((0usize..7, block_voted_for()), 0..14),
		target in 0usize..6,
	) {
		let mut chain = TestChain::new(3, 7);
		chain.seal_to(8);
		let tree = tree(&chain);
		let justify = |target: usize| {
			let votes = votes.iter().map(|(voter, block)| Vote {
				signer: chain.validators(0)[*voter],
				target: Target::from(&tree[*block]),
			});
			Justification {
				round: 9,
				set_id: 0,
				target: Target::from(&tree[target]),
				votes: votes.collect(),
				ancestry: tree.clone(),
			}
		};
		let set = authorities(chain.validators(0));
		let ours = |target: usize| {
			let step = FinalityStep {
				header: tree[target].encode(),
				justification: justify(target).encode(),
			};
			match chain.client().advance(&[step]) {
				Ok(_) => Some(true),
				Err(LightClientError::NotEnoughVotes { .. }) => Some(false),
				// Three different votes of one voter: `finality-grandpa` lets the third pass in
				// silence or refuses, depending on order. Honest nodes keep at most two.
				Err(LightClientError::TooManyVotes { .. }) => None,
				Err(refused) => panic!("{refused}"),
			}
		};
		let Some(accepted) = ours(target) else { return Ok(()) };
		if validators_accept(&set, &justify(target)) {
			prop_assert!(accepted);
		}
		// What is accepted beyond that is no more than GRANDPA's rule: two thirds voted for the
		// target or above it, or for two blocks at once. (`finality-grandpa` also wants the commit
		// to name the highest such block, and all votes to descend from the lowest of them.)
		let mut voted_for = BTreeMap::<usize, BTreeSet<usize>>::new();
		for (voter, block) in &votes {
			voted_for.entry(*voter).or_default().insert(*block);
		}
		let descends = |block: usize| match target {
			0 => true,
			1..=3 => (target..=3).contains(&block),
			_ => (target..=5).contains(&block),
		};
		let counted = voted_for
			.values()
			.filter(|blocks| blocks.len() > 1 || blocks.iter().all(|block| descends(*block)))
			.count();
		prop_assert_eq!(accepted, counted >= 5);
	}
}

/// ZIP-215 and stricter rules differ on a key of small order: any message verifies under it. The
/// chain's host functions accept; an enclave that did not would stand still.
#[test]
fn signatures_are_judged_as_by_the_chains_host_functions() {
	use sp_core::{ed25519, Pair};
	// The identity point as key, and R = identity, s = 0 as signature.
	let mut key = [0; 32];
	key[0] = 1;
	let mut signature = [0; 64];
	signature[0] = 1;
	assert!(ed25519::Pair::verify(
		&ed25519::Signature::from_raw(signature),
		b"anything",
		&ed25519::Public::from_raw(key)
	));

	let mut chain = TestChain::new(1, 1);
	chain.add_digest_item(scheduled_change(&[(key, 1)], 0));
	chain.seal();
	let number = chain.seal();
	let target = Target::from(chain.test_header(number));
	let mut justification = (1u64, target).encode();
	justification.extend((vec![(target, signature, key)], Vec::<u8>::new()).encode());
	let steps = [chain.step(1), FinalityStep { header: chain.header(number), justification }];
	assert_eq!(chain.client().advance(&steps).unwrap().height(), number);
}

// ── proofs ─────────────────────────────────────────────────────────────────────────────────────

fn key_values() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
	// Short keys over few bytes share prefixes; values on both sides of the 32-byte threshold.
	let byte = prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0xff), any::<u8>()];
	let key = proptest::collection::vec(byte, 0..6);
	let value = prop_oneof![
		proptest::collection::vec(any::<u8>(), 0..8),
		proptest::collection::vec(any::<u8>(), 30..36),
		proptest::collection::vec(any::<u8>(), 200..300),
	];
	proptest::collection::btree_map(key, value, 0..60)
}

proptest! {
	#![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

	/// Any trie, any keys, any part of the proof left out: this crate and `sp-state-machine` read
	/// the same, or both refuse.
	#[test]
	fn proofs_are_read_as_by_sp_state_machine(
		first in key_values(),
		second in key_values(),
		left_out in proptest::option::of(any::<proptest::sample::Index>()),
		unknown in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..8),
	) {
		let mut chain = TestChain::new(4, 3);
		for (key, value) in &first {
			chain.put(key.clone(), value.clone());
		}
		chain.seal();
		for key in first.keys().step_by(2) {
			chain.remove(key.clone());
		}
		for (key, value) in &second {
			chain.put(key.clone(), value.clone());
		}
		let number = chain.seal();
		let root = chain.test_header(number).state_root;

		let mut keys: Vec<_> = first.keys().chain(second.keys()).cloned().collect();
		keys.extend(unknown);
		keys.push(storage_keys::grandpa_authorities());
		let mut proof = chain.read_proof(number, keys.clone());
		if let Some(index) = left_out {
			proof.remove(index.index(proof.len()));
		}
		let client = chain.client().advance(&[chain.step(number)]).unwrap();
		let state = client.prove(proof.clone()).unwrap();
		for key in keys {
			let theirs = sp_state_machine::read_proof_check::<Blake2Hasher, _>(
				root,
				StorageProof::new(proof.clone()),
				[&key],
			);
			match (state.read(&key), theirs) {
				(Ok(ours), Ok(theirs)) => prop_assert_eq!(Some(&ours), theirs.get(&key)),
				(Err(LightClientError::ProofIncomplete { .. }), Err(_)) => (),
				(ours, theirs) => prop_assert!(false, "{:?}, sp-state-machine: {:?}", ours, theirs),
			}
			if left_out.is_none() {
				let expected = second.get(&key).or_else(|| {
					let place = first.keys().position(|other| *other == key)?;
					(place % 2 == 1).then(|| first.get(&key))?
				});
				if key != storage_keys::grandpa_authorities() {
					prop_assert_eq!(state.read(&key).unwrap(), expected.cloned());
				}
			}
		}
	}
}

#[test]
fn keys_longer_than_one_length_byte_are_read() {
	// Partial keys of 62, 63, 64 nibbles and more take further length bytes; of hashed values 30
	// (leaf) and 14 (branch).
	let mut chain = TestChain::new(4, 3);
	let mut expected = BTreeMap::new();
	for length in (0..80).chain([126, 127, 128, 129, 150, 159, 160, 300]) {
		for value_bytes in [1, 33] {
			let key = [vec![length as u8, value_bytes], vec![0xab; length]].concat();
			expected.insert(key.clone(), vec![7; value_bytes as usize]);
			// The same with a child below, so that a branch has the long partial key.
			expected.insert([key.clone(), vec![1]].concat(), vec![8; value_bytes as usize]);
			expected.insert([key, vec![2]].concat(), vec![9; value_bytes as usize]);
		}
	}
	for (key, value) in &expected {
		chain.put(key.clone(), value.clone());
	}
	let number = chain.seal();
	let client = chain.client().advance(&[chain.step(number)]).unwrap();
	let state = client.prove(chain.read_proof(number, expected.keys().cloned())).unwrap();
	for (key, value) in &expected {
		assert_eq!(state.read(key).unwrap().as_ref(), Some(value));
	}
}
