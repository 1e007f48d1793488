//! Headers and justifications: what is followed, and whom it is refused from.

use codec::Encode;
use phala_light_client::{
	test_chain::{
		authorities, forced_change, grandpa_log, scheduled_change, Justification, Target,
		TestChain, TestHeader, Vote,
	},
	Checkpoint, LightClient, LightClientError,
};
use phala_protocol::{relay::FinalityStep, storage_keys, H256};

fn chain_of(blocks: u32) -> TestChain {
	let mut chain = TestChain::new(7, 4);
	chain.seal_to(blocks);
	chain
}

fn step(header: &TestHeader, justification: &Justification) -> FinalityStep {
	FinalityStep { header: header.encode(), justification: justification.encode() }
}

/// LightClientError, and the client stands where it stood.
#[track_caller]
fn refusal(client: &LightClient, steps: &[FinalityStep]) -> LightClientError {
	let before = (*client.finalized(), client.authority_set_id());
	let refused = client.advance(steps).expect_err("a villain is refused");
	assert_eq!((*client.finalized(), client.authority_set_id()), before);
	refused
}

// ── the honest way ─────────────────────────────────────────────────────────────────────────────

#[test]
fn given_the_pinned_genesis_then_a_client_stands_at_block_0() {
	let chain = TestChain::new(7, 4);
	let client = chain.client();
	assert_eq!(client.genesis(), chain.genesis());
	assert_eq!(client.height(), 0);
	assert_eq!(client.finalized().hash(), chain.genesis());
	assert_eq!(client.finalized().state_root(), chain.test_header(0).state_root);
	assert_eq!((client.authority_set_id(), client.authority_count()), (0, 4));
}

#[test]
fn headers_in_between_are_skipped() {
	let chain = chain_of(50);
	let client = chain.client().advance(&[chain.step(3), chain.step(50)]).unwrap();
	assert_eq!(client.height(), 50);
	assert_eq!(client.finalized().hash(), chain.hash(50));
	assert_eq!(client.finalized().parent(), chain.hash(49));
}

#[test]
fn no_steps_keep_the_header() {
	let chain = chain_of(2);
	let client = chain.client().advance(&[chain.step(2)]).unwrap();
	assert_eq!(client.advance(&[]).unwrap().finalized(), client.finalized());
}

#[test]
fn authority_sets_are_followed_through_their_last_headers() {
	let mut chain = TestChain::new(7, 4);
	for set_id in 1..=5 {
		chain.seal_to(set_id * 10 - 1);
		chain.change_authorities(3 + set_id as usize);
		chain.seal();
	}
	chain.seal_to(57);
	let steps = chain.steps(0, 57);
	assert_eq!(steps.len(), 6);
	let client = chain.client().advance(&steps).unwrap();
	assert_eq!((client.height(), client.authority_set_id(), client.authority_count()), (57, 5, 8));

	// In two goes, the first ending with a set: the same.
	let halfway = chain.client().advance(&steps[..3]).unwrap();
	assert_eq!((halfway.height(), halfway.authority_set_id()), (30, 3));
	assert_eq!(halfway.advance(&steps[3..]).unwrap().finalized(), client.finalized());
}

#[test]
fn votes_for_descendants_count_for_their_ancestor() {
	let chain = chain_of(9);
	let mut justification = chain.justify(6);
	justification.votes[0].target = Target::from(chain.test_header(9));
	justification.votes[1].target = Target::from(chain.test_header(7));
	justification.ancestry = (7..=9).map(|n| chain.test_header(n).clone()).collect();
	let client = chain.client().advance(&[step(chain.test_header(6), &justification)]).unwrap();
	assert_eq!(client.height(), 6);
}

#[test]
fn one_of_four_may_be_away() {
	let chain = chain_of(3);
	let mut justification = chain.justify(3);
	justification.votes.truncate(3);
	chain.client().advance(&[step(chain.test_header(3), &justification)]).unwrap();
}

#[test]
fn a_checkpoint_at_the_end_of_a_set_starts_with_the_next_set() {
	let mut chain = chain_of(4);
	chain.change_authorities(5);
	let last = chain.seal();
	chain.seal_to(8);
	let pinned = Checkpoint { genesis: chain.genesis(), block: chain.hash(last) };
	let client = LightClient::from_checkpoint(pinned, &chain.checkpoint_bundle(last)).unwrap();
	assert_eq!((client.height(), client.authority_set_id()), (last, 1));
	assert_eq!(client.genesis(), chain.genesis());
	assert_eq!(client.advance(&chain.steps(last, 8)).unwrap().height(), 8);
}

#[test]
fn logs_that_change_nobodys_vote_are_passed_over() {
	let mut chain = chain_of(1);
	for log in [(3u8, 2u64).encode(), (4u8, 9u32).encode(), (5u8, 9u32).encode()] {
		chain.add_digest_item(grandpa_log(log));
	}
	// Another engine's log with the bytes of a forced change, and the other kinds of items.
	chain.add_digest_item((4u8, *b"BABE", vec![2u8, 1, 1, 1]).encode());
	chain.add_digest_item((0u8, vec![1u8, 2, 3]).encode());
	chain.add_digest_item(vec![8]);
	let number = chain.seal();
	let client = chain.client().advance(&[chain.step(number)]).unwrap();
	assert_eq!((client.height(), client.authority_set_id()), (number, 0));
}

// ── villains ───────────────────────────────────────────────────────────────────────────────────

/// Makes up a header, and takes the justification of the real one.
struct Forger;

impl Forger {
	fn header(chain: &TestChain, number: u32) -> TestHeader {
		TestHeader { state_root: H256::repeat_byte(0xee), ..chain.test_header(number).clone() }
	}
}

#[test]
fn the_forger_finds_no_justification_for_its_header() {
	let chain = chain_of(5);
	let forged = Forger::header(&chain, 5);
	let refused = refusal(&chain.client(), &[step(&forged, &chain.justify(5))]);
	assert_eq!(
		refused,
		LightClientError::OtherBlockJustified {
			number: 5,
			hash: forged.hash(),
			justified: 5,
			justified_hash: chain.hash(5)
		}
	);
}

#[test]
fn the_forger_cannot_change_what_was_signed() {
	let chain = chain_of(5);
	let forged = Forger::header(&chain, 5);
	// Signatures over the real block, around the forged one: bytes 8..40 are the target's hash.
	let mut justification = chain.justify(5).encode();
	justification[8..40].copy_from_slice(forged.hash().as_bytes());
	let claimed = FinalityStep { header: forged.encode(), justification };
	assert_eq!(
		refusal(&chain.client(), &[claimed]),
		LightClientError::NotEnoughVotes { number: 5, set_id: 0, weight: 0, threshold: 3 }
	);

	// The hash replaced in every vote as well.
	let mut justification = chain.justify(5).encode();
	let real = chain.hash(5);
	for at in 0..justification.len() - 32 {
		if justification[at..at + 32] == real.0 {
			justification[at..at + 32].copy_from_slice(forged.hash().as_bytes());
		}
	}
	let claimed = FinalityStep { header: forged.encode(), justification };
	let refused = refusal(&chain.client(), &[claimed]);
	assert!(
		matches!(refused, LightClientError::BadSignature { number: 5, set_id: 0, .. }),
		"{refused}"
	);
}

#[test]
fn the_forger_cannot_claim_another_number() {
	let chain = chain_of(5);
	let mut justification = chain.justify(5);
	justification.target.number = 6;
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(
		matches!(refused, LightClientError::OtherBlockJustified { justified: 6, .. }),
		"{refused}"
	);
}

/// A set that is not the one in charge: former validators, or ones of its own making.
struct WrongSet;

#[test]
fn the_wrong_set_of_strangers_is_unknown() {
	let chain = chain_of(5);
	let strangers = TestChain::new(8, 4);
	let mut justification = chain.justify(5);
	justification.votes = strangers
		.validators(0)
		.iter()
		.map(|signer| Vote { signer: *signer, target: justification.target })
		.collect();
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(
		matches!(refused, LightClientError::UnknownVoter { number: 5, set_id: 0, .. }),
		"{refused}"
	);
}

impl WrongSet {
	/// The former set finalizes a block of the next one's time.
	fn justify(chain: &TestChain, number: u32, set_id: u64) -> Justification {
		let target = Target::from(chain.test_header(number));
		Justification::by(chain.validators(set_id), set_id, target)
	}
}

#[test]
fn the_wrong_set_of_former_validators_is_unknown() {
	let mut chain = chain_of(4);
	chain.change_authorities(4);
	let last = chain.seal();
	chain.seal_to(8);
	let client = chain.client().advance(&[chain.step(last)]).unwrap();
	let refused = refusal(&client, &[step(chain.test_header(8), &WrongSet::justify(&chain, 8, 0))]);
	assert!(
		matches!(refused, LightClientError::UnknownVoter { number: 8, set_id: 1, .. }),
		"{refused}"
	);
}

#[test]
fn the_wrong_set_id_is_not_what_was_signed() {
	let chain = chain_of(4);
	let mut justification = chain.justify(4);
	justification.set_id = 1;
	let refused = refusal(&chain.client(), &[step(chain.test_header(4), &justification)]);
	assert!(matches!(refused, LightClientError::BadSignature { set_id: 0, .. }), "{refused}");
}

#[test]
fn a_skipped_change_of_authorities_is_noticed() {
	let mut chain = chain_of(4);
	chain.change_authorities(4);
	chain.seal();
	chain.seal_to(8);
	let refused = refusal(&chain.client(), &[chain.step(8)]);
	assert!(
		matches!(refused, LightClientError::UnknownVoter { number: 8, set_id: 0, .. }),
		"{refused}"
	);
}

/// Fewer than two thirds.
struct Minority;

impl Minority {
	fn justify(chain: &TestChain, number: u32) -> Justification {
		let mut justification = chain.justify(number);
		justification.votes.truncate(2);
		justification
	}
}

#[test]
fn a_minority_finalizes_nothing() {
	let chain = chain_of(5);
	let justification = Minority::justify(&chain, 5);
	let enough = LightClientError::NotEnoughVotes { number: 5, set_id: 0, weight: 2, threshold: 3 };
	assert_eq!(refusal(&chain.client(), &[step(chain.test_header(5), &justification)]), enough);
}

#[test]
fn the_majority_is_more_than_two_thirds_of_sets_of_any_size() {
	for (validators, needed) in
		[(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (9, 7), (10, 7), (100, 67)]
	{
		let mut chain = TestChain::new(7, validators);
		chain.seal();
		let mut justification = chain.justify(1);
		justification.votes.truncate(needed);
		chain.client().advance(&[step(chain.test_header(1), &justification)]).unwrap();
		justification.votes.pop();
		let (weight, threshold) = (needed as u64 - 1, needed as u64);
		assert_eq!(
			refusal(&chain.client(), &[step(chain.test_header(1), &justification)]),
			LightClientError::NotEnoughVotes { number: 1, set_id: 0, weight, threshold }
		);
	}
}

#[test]
fn a_minority_gains_nothing_by_repeating_itself() {
	let chain = chain_of(5);
	let mut justification = Minority::justify(&chain, 5);
	justification.votes.extend(justification.votes.clone());
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, .. }), "{refused}");
}

#[test]
fn a_minority_gains_nothing_from_votes_for_another_fork() {
	let chain = chain_of(5);
	let mut justification = chain.justify(5);
	let fork = TestHeader { extrinsics_root: H256::zero(), ..chain.test_header(5).clone() };
	for vote in &mut justification.votes[2..] {
		vote.target = Target::from(&fork);
	}
	justification.ancestry = vec![fork];
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, .. }), "{refused}");
}

#[test]
fn a_minority_gains_nothing_from_votes_for_the_parent() {
	let chain = chain_of(5);
	let mut justification = chain.justify(5);
	for vote in &mut justification.votes[2..] {
		vote.target = Target::from(chain.test_header(4));
	}
	justification.ancestry = vec![chain.test_header(5).clone()];
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, .. }), "{refused}");
}

/// A validator that signs two votes in one round.
struct DoubleVoter;

impl DoubleVoter {
	fn also(justification: &mut Justification, voter: usize, target: Target) {
		let signer = justification.votes[voter].signer;
		justification.votes.push(Vote { signer, target });
	}
}

#[test]
fn a_double_voter_counts_once() {
	let chain = chain_of(5);
	let fork = TestHeader { extrinsics_root: H256::zero(), ..chain.test_header(5).clone() };
	let mut justification = Minority::justify(&chain, 5);
	DoubleVoter::also(&mut justification, 0, Target::from(&fork));
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, .. }), "{refused}");

	// With one honest vote more there is a majority, as for the validators.
	justification.votes.push(chain.justify(5).votes[2].clone());
	chain.client().advance(&[step(chain.test_header(5), &justification)]).unwrap();
}

#[test]
fn a_triple_voter_is_refused() {
	let chain = chain_of(5);
	let mut justification = chain.justify(5);
	DoubleVoter::also(&mut justification, 0, Target::from(chain.test_header(4)));
	DoubleVoter::also(&mut justification, 0, Target::from(chain.test_header(3)));
	let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
	assert!(matches!(refused, LightClientError::TooManyVotes { number: 5, .. }), "{refused}");
}

/// A validator that signs a block number that is not the block's.
struct MisNumberer;

impl MisNumberer {
	const NUMBERS: [u32; 6] = [0, 1, 4, 6, u32::MAX - 1, u32::MAX];
}

#[test]
fn a_misnumbered_vote_counts_for_nothing_and_stops_nothing() {
	let chain = chain_of(7);
	for number in MisNumberer::NUMBERS {
		let mut justification = chain.justify(5);
		justification.votes[0].target.number = number;
		let one = step(chain.test_header(5), &justification);
		assert_eq!(chain.client().advance(&[one]).unwrap().height(), 5);

		justification.votes[1].target.number = number;
		let refused = refusal(&chain.client(), &[step(chain.test_header(5), &justification)]);
		assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, .. }), "{refused}");
	}
}

/// Brings what is true of the past.
struct TimeTraveller;

#[test]
fn the_time_traveller_is_told_what_is_finalized() {
	let chain = chain_of(9);
	let client = chain.client().advance(&[chain.step(6)]).unwrap();
	for number in [1, 5, 6] {
		let refused = refusal(&client, &[TimeTraveller::step(&chain, number)]);
		assert_eq!(refused, LightClientError::NotNewer { number, finalized: 6 });
	}
	let backwards = [chain.step(9), chain.step(8)];
	assert_eq!(
		refusal(&client, &backwards),
		LightClientError::NotNewer { number: 8, finalized: 9 }
	);
}

impl TimeTraveller {
	fn step(chain: &TestChain, number: u32) -> FinalityStep {
		chain.step(number)
	}
}

/// Another chain's.
struct Foreigner;

impl Foreigner {
	fn chain() -> TestChain {
		let mut chain = TestChain::new(99, 4);
		chain.seal_to(5);
		chain
	}
}

#[test]
fn a_foreigners_genesis_is_not_the_pinned_one() {
	let (chain, foreign) = (chain_of(5), Foreigner::chain());
	let refused = LightClient::from_genesis(chain.genesis(), &foreign.genesis_bundle());
	let (pinned, found) = (chain.genesis(), foreign.genesis());
	assert_eq!(refused.unwrap_err(), LightClientError::ForeignChain { pinned, found });
}

#[test]
fn a_foreigners_authorities_are_not_proven_under_the_pinned_genesis() {
	let (chain, foreign) = (chain_of(5), Foreigner::chain());
	let mut bundle = chain.genesis_bundle();
	bundle.state_proof = foreign.genesis_bundle().state_proof;
	let refused = LightClient::from_genesis(chain.genesis(), &bundle).unwrap_err();
	assert!(matches!(refused, LightClientError::ProofIncomplete { number: 0, .. }), "{refused}");
}

#[test]
fn a_foreigners_headers_are_not_followed() {
	let (chain, foreign) = (chain_of(5), Foreigner::chain());
	let refused = refusal(&chain.client(), &[foreign.step(5)]);
	assert!(matches!(refused, LightClientError::UnknownVoter { .. }), "{refused}");
}

#[test]
fn a_later_block_is_no_genesis() {
	let chain = chain_of(5);
	let refused = LightClient::from_genesis(chain.hash(5), &chain.checkpoint_bundle(5));
	assert_eq!(refused.unwrap_err(), LightClientError::NotGenesis { number: 5 });
}

/// Governance that names new authorities over the heads of the old ones.
struct ForcedChange;

#[test]
fn a_forced_change_is_refused_by_name() {
	let mut chain = chain_of(3);
	ForcedChange::announce(&mut chain);
	let number = chain.seal();
	assert_eq!(
		refusal(&chain.client(), &[chain.step(number)]),
		LightClientError::ForcedChange { number }
	);
}

impl ForcedChange {
	fn announce(chain: &mut TestChain) {
		let next = authorities(TestChain::new(66, 4).validators(0));
		chain.add_digest_item(forced_change(&next, 0));
	}
}

#[test]
fn a_forced_change_is_refused_also_beside_a_scheduled_one() {
	let mut chain = chain_of(3);
	chain.change_authorities(4);
	ForcedChange::announce(&mut chain);
	let number = chain.seal();
	assert_eq!(
		refusal(&chain.client(), &[chain.step(number)]),
		LightClientError::ForcedChange { number }
	);
}

#[test]
fn a_delayed_change_is_refused_by_name() {
	let mut chain = chain_of(3);
	let next = authorities(chain.validators(0));
	chain.add_digest_item(scheduled_change(&next, 1));
	let number = chain.seal();
	assert_eq!(
		refusal(&chain.client(), &[chain.step(number)]),
		LightClientError::DelayedChange { number, delay: 1 }
	);
}

#[test]
fn two_changes_in_one_header_are_refused() {
	let mut chain = chain_of(3);
	let next = authorities(chain.validators(0));
	chain.add_digest_item(scheduled_change(&next, 0));
	chain.add_digest_item(scheduled_change(&next, 0));
	let number = chain.seal();
	assert_eq!(
		refusal(&chain.client(), &[chain.step(number)]),
		LightClientError::AmbiguousChange { number }
	);
}

#[test]
fn an_unknown_grandpa_log_is_refused() {
	for log in [vec![], vec![0], vec![6, 1, 2], vec![1, 4], vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
		let mut chain = chain_of(3);
		chain.add_digest_item(grandpa_log(log));
		let number = chain.seal();
		assert_eq!(
			refusal(&chain.client(), &[chain.step(number)]),
			LightClientError::UnknownGrandpaLog { number }
		);
	}
}

#[test]
fn a_set_without_weight_or_with_too_much_is_refused() {
	let max = u64::MAX;
	let key = |n| [n; 32];
	for next in [
		vec![],
		vec![(key(1), 0)],
		vec![(key(1), max), (key(2), 1)],
		vec![(key(1), max), (key(1), 1)],
	] {
		let mut chain = chain_of(3);
		chain.add_digest_item(scheduled_change(&next, 0));
		let number = chain.seal();
		let refused = refusal(&chain.client(), &[chain.step(number)]);
		assert_eq!(refused, LightClientError::BadAuthoritySet { set_id: 1 });
	}
}

#[test]
fn an_authority_listed_twice_has_both_weights() {
	let mut chain = chain_of(3);
	let mut next = authorities(chain.validators(0));
	next.push(next[0]);
	chain.add_digest_item(scheduled_change(&next, 0));
	let last = chain.seal();
	let number = chain.seal();
	// Of a total of 5, four are needed: the first authority's two, and two others.
	let mut justification = chain.justify(number);
	justification.set_id = 1;
	justification.votes.truncate(3);
	let steps = [chain.step(last), step(chain.test_header(number), &justification)];
	assert_eq!(chain.client().advance(&steps).unwrap().authority_count(), 4);
	justification.votes.remove(0);
	let steps = [chain.step(last), step(chain.test_header(number), &justification)];
	let refused = refusal(&chain.client(), &steps);
	assert!(matches!(refused, LightClientError::NotEnoughVotes { weight: 2, threshold: 4, .. }));
}

#[test]
fn a_key_that_is_no_point_cannot_vote_and_does_not_stop_the_set() {
	let no_point = [2; 32];
	assert!(ed25519_zebra::VerificationKey::try_from(no_point).is_err());
	let mut next = authorities(chain_of(0).validators(0));
	next.push((no_point, 1));

	let mut chain = chain_of(3);
	chain.add_digest_item(scheduled_change(&next, 0));
	let last = chain.seal();
	let number = chain.seal();
	let mut justification = chain.justify(number);
	justification.set_id = 1;
	let steps = [chain.step(last), step(chain.test_header(number), &justification)];
	let client = chain.client().advance(&steps).unwrap();
	assert_eq!((client.height(), client.authority_count()), (number, 5));

	// Its vote, were it brought, has no signature that could hold.
	let mut forged = justification.encode();
	let real = next[0].0;
	let at = forged.windows(32).position(|window| window == real).unwrap();
	forged[at..at + 32].copy_from_slice(&no_point);
	let step = FinalityStep { header: chain.header(number), justification: forged };
	let refused = refusal(&chain.client(), &[chain.step(last), step]);
	assert_eq!(refused, LightClientError::BadSignature { number, set_id: 1, voter: no_point });
}

/// A trie of a future format: its root is a node that this release cannot read.
#[test]
fn unknown_trie_nodes_are_refused_by_name() {
	let key = storage_keys::grandpa_authorities();
	for root in [
		vec![],                                 // nothing
		vec![1],                                // the escape of compact proofs
		vec![0x08],                             // a reserved kind
		vec![0, 0],                             // more than an empty trie
		vec![0x41, 0x12, 0],                    // a leaf whose padding is not zero
		vec![0x42],                             // a leaf without its partial key
		vec![0x40, 0xff],                       // a leaf whose value has no length
		vec![0x40, 0x08, 1],                    // a leaf whose value is cut
		vec![0x20, 1, 2, 3],                    // a hashed value that is cut
		vec![0x80],                             // a branch without children
		vec![0x80, 0xff, 0xff],                 // a branch whose children are missing
		[vec![0x7f], vec![0xff; 900]].concat(), // a length without an end
	] {
		let mut header = chain_of(0).test_header(0).clone();
		header.state_root = phala_protocol::blake2_256(&root);
		let node = header.state_root;
		let bundle = phala_protocol::relay::GenesisBundle {
			header: header.encode(),
			state_proof: vec![root],
		};
		let refused = LightClient::from_genesis(header.hash(), &bundle).unwrap_err();
		assert_eq!(
			refused,
			LightClientError::UnknownTrieNode { number: 0, key: key.clone(), node }
		);
	}
	// An empty trie is one that can be read: it has no authorities.
	let mut header = chain_of(0).test_header(0).clone();
	header.state_root = phala_protocol::blake2_256(&[0]);
	let bundle = phala_protocol::relay::GenesisBundle {
		header: header.encode(),
		state_proof: vec![vec![0]],
	};
	let refused = LightClient::from_genesis(header.hash(), &bundle).unwrap_err();
	assert_eq!(refused, LightClientError::NoAuthorities { number: 0 });
}

#[test]
fn a_chain_without_authorities_is_refused() {
	let mut chain = chain_of(1);
	chain.remove(storage_keys::grandpa_authorities());
	let number = chain.seal();
	let pinned = Checkpoint { genesis: chain.genesis(), block: chain.hash(number) };
	let refused = LightClient::from_checkpoint(pinned, &chain.checkpoint_bundle(number));
	assert_eq!(refused.unwrap_err(), LightClientError::NoAuthorities { number });
}

#[test]
fn an_absent_set_id_means_0_but_an_unproven_one_nothing() {
	let mut chain = chain_of(1);
	chain.remove(storage_keys::grandpa_current_set_id());
	let number = chain.seal();
	let pinned = Checkpoint { genesis: chain.genesis(), block: chain.hash(number) };
	let client = LightClient::from_checkpoint(pinned, &chain.checkpoint_bundle(number)).unwrap();
	assert_eq!(client.authority_set_id(), 0);

	let mut bundle = chain.genesis_bundle();
	bundle.state_proof = chain.read_proof(0, [storage_keys::grandpa_authorities()]);
	// Both keys share most of their way; whatever node is left out, it is noticed.
	for left_out in 0..chain.genesis_bundle().state_proof.len() {
		let mut bundle = chain.genesis_bundle();
		bundle.state_proof.remove(left_out);
		let refused = LightClient::from_genesis(chain.genesis(), &bundle).unwrap_err();
		assert!(
			matches!(refused, LightClientError::ProofIncomplete { number: 0, .. }),
			"{refused}"
		);
	}
}

#[test]
fn set_ids_end() {
	let mut chain = chain_of(1);
	chain.put(storage_keys::grandpa_current_set_id(), u64::MAX.encode());
	let start = chain.seal();
	let pinned = Checkpoint { genesis: chain.genesis(), block: chain.hash(start) };
	let client = LightClient::from_checkpoint(pinned, &chain.checkpoint_bundle(start)).unwrap();
	chain.add_digest_item(scheduled_change(&authorities(chain.validators(0)), 0));
	let last = chain.seal();
	let mut justification = chain.justify(last);
	justification.set_id = u64::MAX;
	assert_eq!(
		refusal(&client, &[step(chain.test_header(last), &justification)]),
		LightClientError::SetIdsExhausted { set_id: u64::MAX }
	);
}

#[test]
fn one_bad_step_undoes_the_good_ones_before_it() {
	let chain = chain_of(9);
	let client = chain.client();
	let bad = step(chain.test_header(9), &Minority::justify(&chain, 9));
	refusal(&client, &[chain.step(3), chain.step(6), bad]);
	assert_eq!(client.height(), 0);
}
