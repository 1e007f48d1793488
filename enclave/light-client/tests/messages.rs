//! Messages: complete, in order, exactly once, or not at all.

use codec::{Decode, Encode};
use phala_light_client::{
	test_chain::TestChain, ChannelChange, LightClientError, MailboxReader, ProvenMessage, Synced,
};
use phala_protocol::{
	mailbox::{Channel, ChannelHead},
	relay::{ChannelBodies, SyncBundle},
	storage_keys, H256,
};

const WORKER: Channel = Channel::Worker(5);
const SYSTEM: Channel = Channel::System;

fn cluster(id: u32) -> Channel {
	Channel::Cluster(id)
}

/// Nothing but bytes; changes no subscription.
fn plain(_: &ProvenMessage) -> Vec<ChannelChange> {
	vec![]
}

/// Bodies of these tests: what a message says to follow, unfollow, and some text.
#[derive(Encode, Decode)]
struct Body(Vec<(Channel, ChannelHead)>, Vec<Channel>, Vec<u8>);

fn told(message: &ProvenMessage) -> Vec<ChannelChange> {
	let Ok(Body(follow, unfollow, _)) = Body::decode(&mut message.body()) else { return vec![] };
	let unfollow = unfollow.into_iter().map(|channel| ChannelChange::Unfollow { channel });
	let follow = follow.into_iter().map(|(channel, head)| ChannelChange::Follow { channel, head });
	unfollow.chain(follow).collect()
}

fn text(text: &str) -> Vec<u8> {
	Body(vec![], vec![], text.into()).encode()
}

fn follow(chain: &TestChain, channel: Channel) -> Vec<u8> {
	Body(vec![(channel, chain.channel_head(channel))], vec![], vec![]).encode()
}

fn unfollow(channel: Channel) -> Vec<u8> {
	Body(vec![], vec![channel], vec![]).encode()
}

fn said(synced: &Synced) -> Vec<(Channel, u64)> {
	synced.messages.iter().map(|message| (message.channel(), message.seq())).collect()
}

/// Three messages on two channels, interleaved, in blocks 2, 3 and 5.
fn story() -> (TestChain, MailboxReader) {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([SYSTEM, WORKER]);
	chain.seal();
	chain.push(WORKER, text("one"));
	chain.push(SYSTEM, text("two"));
	chain.push(WORKER, text("three"));
	chain.seal();
	chain.push(SYSTEM, text("four"));
	chain.seal();
	chain.seal();
	chain.push(WORKER, text("five"));
	chain.push(WORKER, text("six"));
	chain.seal();
	chain.seal();
	(chain, reader)
}

/// The list of bodies of a channel in a bundle.
fn bodies(bundle: &mut SyncBundle, channel: Channel) -> &mut ChannelBodies {
	bundle.bodies.iter_mut().find(|bodies| bodies.channel == channel).unwrap()
}

#[track_caller]
fn refusal(reader: &MailboxReader, bundle: SyncBundle) -> LightClientError {
	let before = (*reader.client().finalized(), reader.channels().clone());
	let refused = reader.sync(bundle, told).expect_err("a villain is refused");
	assert_eq!((*reader.client().finalized(), reader.channels().clone()), before);
	refused
}

// ── the honest way ─────────────────────────────────────────────────────────────────────────────

#[test]
fn messages_of_all_channels_come_in_the_chains_order() {
	let (chain, reader) = story();
	let synced = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap();
	assert_eq!(
		said(&synced),
		[(WORKER, 0), (SYSTEM, 0), (WORKER, 1), (SYSTEM, 1), (WORKER, 2), (WORKER, 3)]
	);
	assert!(synced.messages.iter().is_sorted_by_key(|message| message.position()));
	let places: Vec<_> = synced.messages.iter().map(|m| (m.block(), m.index())).collect();
	assert_eq!(places, [(2, 0), (2, 1), (2, 2), (3, 0), (5, 0), (5, 1)]);
	assert_eq!(synced.reader.client().height(), 6);
	assert_eq!(synced.reader.channels().head(WORKER), Some(chain.channel_head(WORKER)));
	assert_eq!(synced.reader.channels().head(SYSTEM), Some(chain.channel_head(SYSTEM)));
	assert_eq!(synced.state.header(), synced.reader.client().finalized());
}

#[test]
fn block_by_block_or_at_once_is_the_same() {
	let (chain, reader) = story();
	let at_once = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap();
	let mut step_by_step = reader;
	let mut messages = Vec::new();
	for number in 1..=6 {
		let bundle = chain.sync_bundle(&step_by_step, number);
		let synced = step_by_step.sync(bundle, plain).unwrap();
		messages.extend(synced.messages);
		step_by_step = synced.reader;
	}
	assert_eq!(messages, at_once.messages.into_iter().collect::<Vec<_>>());
	assert_eq!(step_by_step.channels(), at_once.reader.channels());
	assert_eq!(step_by_step.client().finalized(), at_once.reader.client().finalized());
}

#[test]
fn messages_are_read_across_changes_of_authorities() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER]);
	for n in 0u8..20 {
		chain.push(WORKER, vec![n]);
		if n % 3 == 0 {
			chain.change_authorities(4 + usize::from(n % 2));
		}
		chain.seal();
	}
	let synced = reader.sync(chain.sync_bundle(&reader, 20), plain).unwrap();
	assert_eq!(synced.messages.len(), 20);
	assert_eq!(synced.reader.client().authority_set_id(), 7);
}

#[test]
fn what_was_said_before_an_enclave_started_concerns_others() {
	let (chain, reader) = story();
	let client = reader.client().advance(&chain.steps(0, 3)).unwrap();
	let state = client.prove(chain.heads_proof(3, [WORKER])).unwrap();
	let reader = MailboxReader::new(client).adopt(&state, [WORKER]).unwrap();
	let synced = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap();
	assert_eq!(said(&synced), [(WORKER, 2), (WORKER, 3)]);
}

#[test]
fn an_adopted_channel_is_proven_at_the_present_header() {
	let (chain, reader) = story();
	let old = reader.client().prove(chain.heads_proof(0, [cluster(1)])).unwrap();
	let reader = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap().reader;
	let refused = reader.adopt(&old, [cluster(1)]).unwrap_err();
	assert_eq!(refused, LightClientError::OtherHeader { expected: 6, found: 0 });

	let unproven = reader.client().prove(chain.heads_proof(6, [WORKER])).unwrap();
	let refused = reader.unfollow(SYSTEM).adopt(&unproven, [SYSTEM]).unwrap_err();
	assert!(matches!(refused, LightClientError::ProofIncomplete { number: 6, .. }), "{refused}");

	let proven = reader.client().prove(chain.heads_proof(6, [cluster(1)])).unwrap();
	let reader = reader.adopt(&proven, [cluster(1), WORKER]).unwrap();
	assert_eq!(reader.channels().len(), 3);
	assert_eq!(reader.channels().head(cluster(1)), Some(ChannelHead::default()));
	assert_eq!(reader.channels().head(WORKER), Some(chain.channel_head(WORKER)));
}

#[test]
fn the_same_header_again_brings_nothing_and_harms_nothing() {
	let (chain, reader) = story();
	let reader = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap().reader;
	let again = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap();
	assert!(again.messages.is_empty());
	assert_eq!(again.reader.channels(), reader.channels());
}

#[test]
fn other_facts_are_read_from_the_same_bundle() {
	let (mut chain, reader) = story();
	chain.put(b"fact".to_vec(), 7u32.encode());
	let number = chain.seal();
	let mut bundle = chain.sync_bundle(&reader, number);
	bundle.state_proof.extend(chain.read_proof(number, [b"fact".to_vec(), b"no fact".to_vec()]));
	let synced = reader.sync(bundle, plain).unwrap();
	assert_eq!(synced.state.read_as::<u32>(b"fact").unwrap(), Some(7));
	assert_eq!(synced.state.read(b"no fact").unwrap(), None);
	let refused = synced.state.read_as::<u64>(b"fact").unwrap_err();
	assert!(matches!(refused, LightClientError::UnexpectedValue { number: 7, .. }), "{refused}");
}

#[test]
fn a_message_opens_a_channel_and_what_is_said_there_since_is_in_the_same_bundle() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER]);
	chain.push(cluster(1), text("before"));
	chain.push(WORKER, follow(&chain, cluster(1)));
	chain.push(cluster(1), text("after"));
	chain.push(WORKER, text("also"));
	let number = chain.seal();
	chain.push(cluster(1), text("later"));
	let last = chain.seal();

	// A relayer that does not read messages is told which channel the bundle lacks.
	let lacking = chain.sync_bundle(&reader, last);
	let refused = refusal(&reader, lacking);
	assert!(
		matches!(&refused, LightClientError::ProofIncomplete { key, .. }
		if *key == storage_keys::mailbox_head(cluster(1))),
		"{refused}"
	);

	let synced =
		reader.sync(chain.sync_bundle_with(&reader, number, &[(cluster(1), 1)]), told).unwrap();
	assert_eq!(said(&synced), [(WORKER, 0), (cluster(1), 1), (WORKER, 1)]);
	let synced = synced.reader.sync(chain.sync_bundle(&synced.reader, last), told).unwrap();
	assert_eq!(said(&synced), [(cluster(1), 2)]);
}

#[test]
fn a_channel_opened_by_a_message_may_open_another() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER]);
	chain.push(WORKER, follow(&chain, cluster(1)));
	chain.seal();
	chain.push(cluster(1), follow(&chain, cluster(2)));
	chain.push(cluster(2), follow(&chain, cluster(3)));
	chain.push(cluster(3), text("here"));
	chain.push(cluster(1), text("there"));
	let number = chain.seal();
	let further = [(cluster(1), 0), (cluster(2), 0), (cluster(3), 0)];
	let bundle = chain.sync_bundle_with(&reader, number, &further);
	let synced = reader.sync(bundle.clone(), told).unwrap();
	assert_eq!(
		said(&synced),
		[(WORKER, 0), (cluster(1), 0), (cluster(2), 0), (cluster(3), 0), (cluster(1), 1)]
	);
	assert_eq!(synced.reader.channels().len(), 4);

	// Whatever list is held back, and however deep: all or nothing.
	for held_back in 0..bundle.bodies.len() {
		let mut bundle = bundle.clone();
		let channel = bundle.bodies.remove(held_back).channel;
		let refused = refusal(&reader, bundle);
		assert!(
			matches!(refused, LightClientError::HeldBack { channel: c, from: 0, .. } if c == channel)
		);
	}
}

#[test]
fn after_unfollow_nothing_is_delivered() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER, cluster(1)]);
	chain.push(cluster(1), text("heard"));
	chain.push(WORKER, unfollow(cluster(1)));
	chain.push(cluster(1), text("unheard"));
	let number = chain.seal();
	let synced = reader.sync(chain.sync_bundle(&reader, number), told).unwrap();
	assert_eq!(said(&synced), [(cluster(1), 0), (WORKER, 0)]);
	assert_eq!(synced.reader.channels().head(cluster(1)), None);
	// What it no longer reads is proven nevertheless: a list cut short could hide "heard".
	let mut cut = chain.sync_bundle(&reader, number);
	bodies(&mut cut, cluster(1)).messages.pop();
	let refused = refusal(&reader, cut);
	assert_eq!(refused, LightClientError::HeldBack { channel: cluster(1), from: 1, until: 2 });
}

#[test]
fn a_channel_left_and_joined_again_lacks_what_was_said_in_between() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER, cluster(1)]);
	chain.push(cluster(1), text("heard"));
	chain.push(WORKER, unfollow(cluster(1)));
	chain.push(cluster(1), text("unheard"));
	chain.seal();
	chain.push(WORKER, follow(&chain, cluster(1)));
	chain.push(cluster(1), text("heard again"));
	let number = chain.seal();
	let synced = reader.sync(chain.sync_bundle(&reader, number), told).unwrap();
	assert_eq!(said(&synced), [(cluster(1), 0), (WORKER, 0), (WORKER, 1), (cluster(1), 2)]);
	assert_eq!(synced.reader.channels().head(cluster(1)), Some(chain.channel_head(cluster(1))));
}

#[test]
fn following_what_is_followed_already_changes_nothing() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER, cluster(1)]);
	chain.push(cluster(1), text("one"));
	chain.push(WORKER, follow(&chain, cluster(1)));
	chain.push(cluster(1), text("two"));
	let number = chain.seal();
	let synced = reader.sync(chain.sync_bundle(&reader, number), told).unwrap();
	assert_eq!(said(&synced), [(cluster(1), 0), (WORKER, 0), (cluster(1), 1)]);
}

#[test]
fn following_from_elsewhere_is_refused() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER, cluster(1)]);
	let at_0 = follow(&chain, cluster(1));
	chain.push(cluster(1), text("one"));
	chain.push(WORKER, at_0);
	let number = chain.seal();
	assert_eq!(
		refusal(&reader, chain.sync_bundle(&reader, number)),
		LightClientError::FollowedElsewhere { channel: cluster(1), followed: 1, told: 0 }
	);
}

#[test]
fn a_channel_cannot_be_opened_in_its_past() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER]);
	let at_0 = follow(&chain, cluster(1));
	chain.push(cluster(1), text("one"));
	chain.push(WORKER, at_0);
	let number = chain.seal();
	let refused = refusal(&reader, chain.sync_bundle_with(&reader, number, &[(cluster(1), 0)]));
	assert!(matches!(refused, LightClientError::NotAfter { seq: 0, .. }), "{refused}");
}

#[test]
fn unfollow_by_the_enclave_itself_takes_effect_at_once() {
	let (chain, reader) = story();
	let reader = reader.unfollow(SYSTEM).unfollow(cluster(9));
	let synced = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap();
	assert_eq!(said(&synced), [(WORKER, 0), (WORKER, 1), (WORKER, 2), (WORKER, 3)]);
}

// ── crash and replay ───────────────────────────────────────────────────────────────────────────

#[test]
fn the_same_bundle_twice_takes_effect_once() {
	let (chain, reader) = story();
	let bundle = chain.sync_bundle(&reader, 6);
	let synced = reader.sync(bundle.clone(), plain).unwrap();
	let refused = refusal(&synced.reader, bundle.clone());
	assert_eq!(refused, LightClientError::NotNewer { number: 6, finalized: 6 });

	// An enclave that died before it used the result has lost nothing: the same comes out again.
	let again = reader.sync(bundle, plain).unwrap();
	assert_eq!(again.messages, synced.messages);
	assert_eq!(again.reader.channels(), synced.reader.channels());
}

#[test]
fn bodies_replayed_under_a_newer_header_are_refused() {
	let (mut chain, reader) = story();
	let old = chain.sync_bundle(&reader, 6);
	let reader = reader.sync(old.clone(), plain).unwrap().reader;
	let number = chain.seal();
	let replayed = SyncBundle { bodies: old.bodies, ..chain.sync_bundle(&reader, number) };
	let refused = refusal(&reader, replayed);
	assert!(matches!(refused, LightClientError::Repeated { seq: 2, found: 0, .. }), "{refused}");
}

// ── villains ───────────────────────────────────────────────────────────────────────────────────

/// Leaves messages out.
struct Dropper;

impl Dropper {
	fn drop(bundle: &mut SyncBundle, channel: Channel, at: usize) {
		bodies(bundle, channel).messages.remove(at);
	}
}

#[test]
fn the_dropper_is_caught_wherever_it_drops() {
	let (chain, reader) = story();
	for at in 0..4 {
		let mut bundle = chain.sync_bundle(&reader, 6);
		Dropper::drop(&mut bundle, WORKER, at);
		let seq = at as u64;
		let expected = if at < 3 {
			LightClientError::Missing { channel: WORKER, seq, found: seq + 1 }
		} else {
			LightClientError::HeldBack { channel: WORKER, from: 3, until: 4 }
		};
		assert_eq!(refusal(&reader, bundle), expected);
	}
}

#[test]
fn the_dropper_cannot_close_the_gap_by_renumbering() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	Dropper::drop(&mut bundle, WORKER, 1);
	for (seq, message) in bodies(&mut bundle, WORKER).messages.iter_mut().enumerate() {
		message.seq = seq as u64;
	}
	let refused = refusal(&reader, bundle.clone());
	assert_eq!(refused, LightClientError::HeldBack { channel: WORKER, from: 3, until: 4 });
	let last = bodies(&mut bundle, WORKER).messages.last().unwrap().clone();
	let filler = phala_protocol::mailbox::OutboundMessage { seq: 3, index: 7, ..last };
	bodies(&mut bundle, WORKER).messages.push(filler);
	assert_eq!(refusal(&reader, bundle), LightClientError::Altered { channel: WORKER });
}

/// Swaps messages.
struct Reorderer;

impl Reorderer {
	fn swap(bundle: &mut SyncBundle, channel: Channel, a: usize, b: usize) {
		bodies(bundle, channel).messages.swap(a, b);
	}
}

#[test]
fn the_reorderer_is_caught() {
	let (chain, reader) = story();
	for (a, b) in [(0, 1), (1, 2), (0, 3)] {
		let mut bundle = chain.sync_bundle(&reader, 6);
		Reorderer::swap(&mut bundle, WORKER, a, b);
		let expected =
			LightClientError::Reordered { channel: WORKER, seq: a as u64, found: b as u64 };
		assert_eq!(refusal(&reader, bundle), expected);
	}
}

#[test]
fn the_reorderer_cannot_exchange_bodies_places_or_channels() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	let messages = &mut bodies(&mut bundle, WORKER).messages;
	let first = std::mem::take(&mut messages[0].body);
	messages[0].body = std::mem::replace(&mut messages[1].body, first);
	assert_eq!(refusal(&reader, bundle), LightClientError::Altered { channel: WORKER });

	let mut bundle = chain.sync_bundle(&reader, 6);
	bodies(&mut bundle, WORKER).messages[0].index = 1;
	assert_eq!(refusal(&reader, bundle), LightClientError::Altered { channel: WORKER });

	let mut bundle = chain.sync_bundle(&reader, 6);
	bodies(&mut bundle, WORKER).messages[1].index = 0;
	let refused = refusal(&reader, bundle);
	assert!(
		matches!(refused, LightClientError::NotAfter { channel: WORKER, seq: 1, .. }),
		"{refused}"
	);

	let mut bundle = chain.sync_bundle(&reader, 6);
	let [a, b] = &mut bundle.bodies[..] else { panic!() };
	std::mem::swap(&mut a.messages, &mut b.messages);
	refusal(&reader, bundle);
}

#[test]
fn a_message_is_not_of_a_block_after_the_header() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	bodies(&mut bundle, WORKER).messages[3].block = 7;
	assert_eq!(
		refusal(&reader, bundle),
		LightClientError::AheadOfHeader { channel: WORKER, seq: 3, block: 7, number: 6 }
	);
}

/// Brings messages twice.
struct Repeater;

impl Repeater {
	fn repeat(bundle: &mut SyncBundle, channel: Channel, at: usize) {
		let messages = &mut bodies(bundle, channel).messages;
		messages.insert(at, messages[at].clone());
	}
}

#[test]
fn the_repeater_is_caught() {
	let (chain, reader) = story();
	for at in 0..4 {
		let mut bundle = chain.sync_bundle(&reader, 6);
		Repeater::repeat(&mut bundle, WORKER, at);
		let (seq, found) = (at as u64 + 1, at as u64);
		assert_eq!(
			refusal(&reader, bundle),
			LightClientError::Repeated { channel: WORKER, seq, found }
		);
	}
	let mut bundle = chain.sync_bundle(&reader, 6);
	let list = bundle.bodies[0].clone();
	bundle.bodies.push(list.clone());
	assert_eq!(refusal(&reader, bundle), LightClientError::ChannelTwice { channel: list.channel });
}

/// Holds one channel back and brings the others.
struct Withholder;

impl Withholder {
	fn withhold(bundle: &mut SyncBundle, channel: Channel) {
		bundle.bodies.retain(|bodies| bodies.channel != channel);
	}
}

#[test]
fn the_withholder_stops_all_channels_not_one() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	Withholder::withhold(&mut bundle, SYSTEM);
	let refused = refusal(&reader, bundle);
	assert_eq!(refused, LightClientError::HeldBack { channel: SYSTEM, from: 0, until: 2 });
}

#[test]
fn the_withholder_cannot_leave_the_proof_of_a_head_out() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	Withholder::withhold(&mut bundle, SYSTEM);
	bundle.state_proof = chain.heads_proof(6, [WORKER]);
	let refused = refusal(&reader, bundle);
	assert!(matches!(refused, LightClientError::ProofIncomplete { number: 6, .. }), "{refused}");
}

#[test]
fn the_withholder_cannot_prove_a_head_at_an_older_header() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	Withholder::withhold(&mut bundle, SYSTEM);
	bundle.state_proof = chain.heads_proof(6, [WORKER]);
	bundle.state_proof.extend(chain.heads_proof(1, [SYSTEM]));
	let refused = refusal(&reader, bundle);
	assert!(matches!(refused, LightClientError::ProofIncomplete { number: 6, .. }), "{refused}");
}

/// Changes what was said.
struct Rewriter;

impl Rewriter {
	fn rewrite(bundle: &mut SyncBundle, channel: Channel, at: usize) {
		let body = &mut bodies(bundle, channel).messages[at].body;
		*body.last_mut().unwrap() ^= 1;
	}
}

#[test]
fn the_rewriter_is_caught_wherever_it_writes() {
	let (chain, reader) = story();
	for at in 0..4 {
		let mut bundle = chain.sync_bundle(&reader, 6);
		Rewriter::rewrite(&mut bundle, WORKER, at);
		assert_eq!(refusal(&reader, bundle), LightClientError::Altered { channel: WORKER });
	}
}

#[test]
fn the_rewriter_cannot_change_the_proof() {
	let (chain, reader) = story();
	let honest = chain.sync_bundle(&reader, 6);
	for node in 0..honest.state_proof.len() {
		let mut bundle = honest.clone();
		bundle.state_proof[node][0] ^= 1;
		let refused = refusal(&reader, bundle);
		assert!(
			matches!(refused, LightClientError::ProofIncomplete { number: 6, .. }),
			"{refused}"
		);
	}
}

/// Brings what is not on the chain yet, or never was.
struct Inventor;

impl Inventor {
	fn invent(bundle: &mut SyncBundle, channel: Channel) {
		let messages = &mut bodies(bundle, channel).messages;
		let mut invented = messages.last().unwrap().clone();
		invented.seq += 1;
		invented.index += 1;
		messages.push(invented);
	}
}

#[test]
fn the_inventor_is_caught() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 6);
	Inventor::invent(&mut bundle, WORKER);
	assert_eq!(refusal(&reader, bundle), LightClientError::NotOnChain { channel: WORKER, seq: 4 });
}

#[test]
fn real_messages_of_later_blocks_wait_for_a_later_header() {
	let (chain, reader) = story();
	let mut bundle = chain.sync_bundle(&reader, 4);
	bodies(&mut bundle, WORKER).messages = chain.messages(WORKER, 0, 6);
	assert_eq!(refusal(&reader, bundle), LightClientError::NotOnChain { channel: WORKER, seq: 2 });
}

#[test]
fn bodies_of_a_channel_that_is_not_followed_are_refused() {
	let (mut chain, reader) = story();
	chain.push(cluster(1), text("not yours"));
	let number = chain.seal();
	let bundle = chain.sync_bundle_with(&reader, number, &[(cluster(1), 0)]);
	assert_eq!(refusal(&reader, bundle), LightClientError::NotFollowed { channel: cluster(1) });
}

/// Another chain's messages, under another chain's header.
struct Foreigner;

#[test]
fn the_foreigner_brings_nothing_that_fits() {
	let (chain, reader) = story();
	let foreign = Foreigner::chain();
	let refused = refusal(&reader, foreign.sync_bundle(&reader, 6));
	assert!(matches!(refused, LightClientError::UnknownVoter { .. }), "{refused}");

	let honest = chain.sync_bundle(&reader, 6);
	let foreign = foreign.sync_bundle(&reader, 6);
	let bodies = SyncBundle { bodies: foreign.bodies.clone(), ..honest.clone() };
	refusal(&reader, bodies);
	let proof = SyncBundle { state_proof: foreign.state_proof, ..honest };
	let refused = refusal(&reader, proof);
	assert!(matches!(refused, LightClientError::ProofIncomplete { .. }), "{refused}");
}

impl Foreigner {
	fn chain() -> TestChain {
		let mut chain = TestChain::new(77, 4);
		for n in 0..4u8 {
			chain.push(WORKER, vec![n]);
		}
		chain.push(SYSTEM, text("foreign"));
		chain.seal_to(6);
		chain
	}
}

/// A chain that breaks its own rules: only two thirds of the validators could make one. Even then
/// nothing is delivered twice or out of order.
struct BrokenChain;

impl BrokenChain {
	fn with_head(head: ChannelHead) -> (TestChain, MailboxReader) {
		let (mut chain, reader) = story();
		let reader = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap().reader;
		chain.put(storage_keys::mailbox_head(WORKER), head.encode());
		chain.seal();
		(chain, reader)
	}
}

#[test]
fn a_chain_that_forgets_messages_is_refused() {
	let (chain, reader) = BrokenChain::with_head(ChannelHead { next_seq: 1, hash: H256::zero() });
	assert_eq!(
		refusal(&reader, chain.sync_bundle(&reader, 7)),
		LightClientError::WentBack { channel: WORKER, followed: 4, proven: 1 }
	);
}

#[test]
fn a_chain_that_rewrites_its_past_is_refused() {
	let (chain, reader) = BrokenChain::with_head(ChannelHead { next_seq: 4, hash: H256::zero() });
	let refused = refusal(&reader, chain.sync_bundle(&reader, 7));
	assert_eq!(refused, LightClientError::Altered { channel: WORKER });
}

#[test]
fn a_head_that_is_no_head_is_refused() {
	let (mut chain, reader) = story();
	chain.put(storage_keys::mailbox_head(WORKER), vec![1, 2, 3]);
	let number = chain.seal();
	let refused = refusal(&reader, chain.sync_bundle(&reader, number));
	assert!(matches!(refused, LightClientError::UnexpectedValue { .. }), "{refused}");
}

#[test]
fn messages_of_old_blocks_are_refused_even_from_the_chain() {
	let (mut chain, reader) = story();
	let reader = reader.sync(chain.sync_bundle(&reader, 6), plain).unwrap().reader;
	// The chain hashes a new message as one of block 6, which was delivered.
	let body = text("late");
	let head = chain.channel_head(WORKER).after(6, 9, &body).unwrap();
	chain.put(storage_keys::mailbox_head(WORKER), head.encode());
	let number = chain.seal();
	let mut bundle = chain.sync_bundle(&reader, number);
	bundle.bodies.push(ChannelBodies {
		channel: WORKER,
		messages: vec![phala_protocol::mailbox::OutboundMessage {
			seq: 4,
			block: 6,
			index: 9,
			body,
		}],
	});
	let refused = refusal(&reader, bundle);
	assert!(
		matches!(refused, LightClientError::NotAfter { channel: WORKER, seq: 4, .. }),
		"{refused}"
	);
}

#[test]
fn two_messages_in_one_place_are_refused_even_from_the_chain() {
	let mut chain = TestChain::new(3, 4);
	let reader = chain.reader([WORKER, SYSTEM]);
	let message = |body: &[u8]| phala_protocol::mailbox::OutboundMessage {
		seq: 0,
		block: 1,
		index: 0,
		body: body.to_vec(),
	};
	let mut lists = vec![];
	for (channel, body) in [(WORKER, b"a"), (SYSTEM, b"b")] {
		let head = ChannelHead::default().after(1, 0, body).unwrap();
		chain.put(storage_keys::mailbox_head(channel), head.encode());
		lists.push(ChannelBodies { channel, messages: vec![message(body)] });
	}
	let number = chain.seal();
	let bundle = SyncBundle { bodies: lists, ..chain.sync_bundle(&reader, number) };
	let refused = refusal(&reader, bundle);
	assert!(matches!(refused, LightClientError::PlaceTwice { .. }), "{refused}");
}
