//! Each limit at its edge and one past it.

use codec::{Compact, Encode};
use phala_light_client::{
	decode_sync_bundle,
	limits::*,
	test_chain::{authorities, scheduled_change, TestChain},
	ChannelChange, LightClientError,
};
use phala_protocol::{
	mailbox::{Channel, ChannelHead, OutboundMessage},
	relay::{ChannelBodies, FinalityStep, SyncBundle},
	H256,
};

/// What is over the limit, if that is the reason.
fn over<T: std::fmt::Debug>(
	result: Result<T, LightClientError>,
) -> Option<(&'static str, usize, usize)> {
	match result {
		Err(LightClientError::OverLimit { what, found, max }) => Some((what, found, max)),
		_ => None,
	}
}

fn step(header: Vec<u8>, justification: Vec<u8>) -> FinalityStep {
	FinalityStep { header, justification }
}

fn nothing_but_bodies(bodies: Vec<ChannelBodies>) -> SyncBundle {
	SyncBundle { steps: vec![], state_proof: vec![], bodies }
}

fn message(seq: u64, bytes: usize) -> OutboundMessage {
	OutboundMessage { seq, block: 1, index: seq as u32, body: vec![0; bytes] }
}

#[test]
fn steps() {
	let mut chain = TestChain::new(1, 1);
	chain.seal_to(STEPS_PER_BUNDLE_MAX as u32 + 1);
	let steps: Vec<_> = (1..=chain.height()).map(|number| chain.step(number)).collect();
	let max = STEPS_PER_BUNDLE_MAX;
	assert_eq!(chain.client().advance(&steps[..max]).unwrap().height(), max as u32);
	let refused = over(chain.client().advance(&steps));
	assert_eq!(refused, Some(("steps in a bundle", max + 1, max)));
}

#[test]
fn header_bytes() {
	let of_length = |bytes: usize| {
		let mut chain = TestChain::new(1, 1);
		// Found by trial: everything else in the header, and a length prefix of four bytes.
		chain.add_digest_item((0u8, vec![0u8; 65_536]).encode());
		let number = chain.seal();
		let more = bytes - chain.header(number).len();
		let mut chain = TestChain::new(1, 1);
		chain.add_digest_item((0u8, vec![0u8; 65_536 + more]).encode());
		let number = chain.seal();
		assert_eq!(chain.header(number).len(), bytes);
		chain.client().advance(&[chain.step(number)])
	};
	assert!(of_length(HEADER_BYTES_MAX).is_ok());
	let refused = over(of_length(HEADER_BYTES_MAX + 1));
	assert_eq!(refused, Some(("bytes in a header", HEADER_BYTES_MAX + 1, HEADER_BYTES_MAX)));
}

#[test]
fn a_header_that_announces_the_largest_set_fits() {
	let next: Vec<_> = (0..AUTHORITIES_MAX as u32)
		.map(|n| (phala_protocol::blake2_256(&n.encode()).0, 1))
		.collect();
	let mut chain = TestChain::new(1, 1);
	chain.add_digest_item(scheduled_change(&next, 0));
	chain.add_digest_item((4u8, *b"BABE", (1u8, &next, [0u8; 32]).encode()).encode());
	let number = chain.seal();
	let client = chain.client().advance(&[chain.step(number)]).unwrap();
	assert_eq!(client.authority_count(), AUTHORITIES_MAX);
}

#[test]
fn authorities_in_a_set() {
	let mut next = authorities(TestChain::new(1, AUTHORITIES_MAX + 1).validators(0));
	let announce = |next: &[([u8; 32], u64)]| {
		let mut chain = TestChain::new(1, 1);
		chain.add_digest_item(scheduled_change(next, 0));
		let number = chain.seal();
		chain.client().advance(&[chain.step(number)])
	};
	let refused = over(announce(&next));
	let max = AUTHORITIES_MAX;
	assert_eq!(refused, Some(("authorities in a set", max + 1, max)));
	next.pop();
	assert_eq!(announce(&next).unwrap().authority_count(), max);
}

#[test]
fn votes() {
	let mut chain = TestChain::new(1, 1);
	chain.seal();
	let with = |votes: usize| {
		let mut justification = chain.justify(1);
		justification.votes = vec![justification.votes[0].clone(); votes];
		chain.client().advance(&[step(chain.header(1), justification.encode())])
	};
	assert!(with(VOTES_MAX).is_ok());
	let refused = over(with(VOTES_MAX + 1));
	assert_eq!(refused, Some(("votes in a justification", VOTES_MAX + 1, VOTES_MAX)));
}

#[test]
fn ancestry_headers() {
	let mut chain = TestChain::new(1, 1);
	chain.seal();
	let with = |headers: usize| {
		let mut justification = chain.justify(1);
		justification.ancestry = vec![chain.test_header(0).clone(); headers];
		chain.client().advance(&[step(chain.header(1), justification.encode())])
	};
	let max = ANCESTRY_HEADERS_MAX;
	assert!(with(max).is_ok());
	let refused = over(with(max + 1));
	assert_eq!(refused, Some(("headers in a justification", max + 1, max)));
}

#[test]
fn a_long_ancestry_is_walked_once() {
	let mut chain = TestChain::new(1, 4);
	chain.seal_to(3000);
	let mut justification = chain.justify(1);
	for (n, vote) in justification.votes.iter_mut().enumerate() {
		vote.target = chain.test_header(3000 - n as u32).into();
	}
	justification.ancestry = (2..=3000).map(|n| chain.test_header(n).clone()).collect();
	let client = chain.client().advance(&[step(chain.header(1), justification.encode())]).unwrap();
	assert_eq!(client.height(), 1);
}

#[test]
fn justification_bytes() {
	let mut chain = TestChain::new(1, 1);
	chain.seal();
	let with = |bytes: usize| {
		let mut justification = chain.justify(1);
		let mut header = chain.test_header(0).clone();
		let more = |header: &phala_light_client::test_chain::TestHeader| {
			let mut justification = chain.justify(1);
			justification.ancestry = vec![header.clone()];
			bytes - justification.encode().len()
		};
		header.digest = vec![(0u8, vec![0u8; 65_536]).encode()];
		let more = more(&header);
		header.digest = vec![(0u8, vec![0u8; 65_536 + more]).encode()];
		justification.ancestry = vec![header];
		assert_eq!(justification.encode().len(), bytes);
		chain.client().advance(&[step(chain.header(1), justification.encode())])
	};
	let max = JUSTIFICATION_BYTES_MAX;
	assert!(with(max).is_ok());
	assert_eq!(over(with(max + 1)), Some(("bytes in a justification", max + 1, max)));
}

#[test]
fn finality_bytes() {
	let chain = TestChain::new(1, 1);
	let of = |bytes: usize| over(chain.client().advance(&[step(vec![], vec![0; bytes])]));
	let max = FINALITY_BYTES_PER_BUNDLE_MAX;
	let what = "bytes of headers and justifications";
	assert_ne!(of(max).map(|(what, ..)| what), Some(what));
	assert_eq!(of(max + 1), Some((what, max + 1, max)));
}

#[test]
fn proof_nodes_and_bytes() {
	let chain = TestChain::new(1, 1);
	let client = chain.client();
	assert!(client.prove(vec![vec![]; PROOF_NODES_MAX]).is_ok());
	let refused = over(client.prove(vec![vec![]; PROOF_NODES_MAX + 1]));
	assert_eq!(refused, Some(("nodes in a storage proof", PROOF_NODES_MAX + 1, PROOF_NODES_MAX)));

	let half = PROOF_BYTES_MAX / 2;
	assert!(client.prove(vec![vec![0; half], vec![0; half]]).is_ok());
	let refused = over(client.prove(vec![vec![0; half], vec![0; half + 1]]));
	assert_eq!(refused, Some(("bytes in a storage proof", PROOF_BYTES_MAX + 1, PROOF_BYTES_MAX)));
}

#[test]
fn channels() {
	let chain = TestChain::new(1, 1);
	let all = |n: usize| (0..n as u32).map(Channel::Cluster);
	let client = chain.client();
	let reader = phala_light_client::MailboxReader::new(client.clone());
	let state = client.prove(chain.heads_proof(0, all(CHANNELS_MAX + 1))).unwrap();
	assert_eq!(reader.adopt(&state, all(CHANNELS_MAX)).unwrap().channels().len(), CHANNELS_MAX);
	let refused = over(reader.adopt(&state, all(CHANNELS_MAX + 1)));
	assert_eq!(refused, Some(("channels", CHANNELS_MAX + 1, CHANNELS_MAX)));
}

#[test]
fn channels_opened_by_messages() {
	let mut chain = TestChain::new(1, 1);
	let reader = chain.reader([Channel::System]);
	chain.push(Channel::System, b"follow many".to_vec());
	let number = chain.seal();
	let all: Vec<_> = (0..CHANNELS_MAX as u32).map(Channel::Cluster).collect();
	let mut bundle = chain.sync_bundle(&reader, number);
	bundle.state_proof = chain.heads_proof(number, all.iter().copied().chain([Channel::System]));
	let following = |n: usize| {
		let head = ChannelHead::default();
		let changes =
			all[..n].iter().map(|channel| ChannelChange::Follow { channel: *channel, head });
		let changes: Vec<_> = changes.collect();
		reader.sync(bundle.clone(), |_| changes.clone())
	};
	let synced = following(CHANNELS_MAX - 1).unwrap();
	assert_eq!(synced.reader.channels().len(), CHANNELS_MAX);
	let refused = over(following(CHANNELS_MAX));
	assert_eq!(refused, Some(("channels", CHANNELS_MAX + 1, CHANNELS_MAX)));
}

#[test]
fn lists_of_bodies() {
	let chain = TestChain::new(1, 1);
	let reader = chain.reader([]);
	let lists = |n: usize| {
		let lists = (0..n as u32)
			.map(|id| ChannelBodies { channel: Channel::Cluster(id), messages: vec![] });
		nothing_but_bodies(lists.collect())
	};
	let max = CHANNELS_MAX;
	assert_eq!(over(reader.sync(lists(max), |_| vec![])), None);
	let refused = over(reader.sync(lists(max + 1), |_| vec![]));
	assert_eq!(refused, Some(("lists of bodies", max + 1, max)));
}

#[test]
fn messages_in_a_bundle() {
	let mut chain = TestChain::new(1, 1);
	let reader = chain.reader([Channel::System, Channel::Gatekeepers]);
	let max = MESSAGES_PER_BUNDLE_MAX;
	for n in 0..max {
		let channel = if n % 2 == 0 { Channel::System } else { Channel::Gatekeepers };
		chain.push(channel, vec![]);
	}
	let number = chain.seal();
	let synced = reader.sync(chain.sync_bundle(&reader, number), |_| vec![]).unwrap();
	assert_eq!(synced.messages.len(), max);
	chain.push(Channel::System, vec![]);
	let number = chain.seal();
	let bundle = chain.sync_bundle(&reader, number);
	let refused = Some(("messages in a bundle", max + 1, max));
	assert_eq!(over(reader.sync(bundle, |_| vec![])), refused);
}

#[test]
fn body_bytes() {
	let of = |bytes: usize| {
		let mut chain = TestChain::new(1, 1);
		let reader = chain.reader([Channel::System]);
		chain.push(Channel::System, vec![7; bytes]);
		let number = chain.seal();
		reader.sync(chain.sync_bundle(&reader, number), |_| vec![])
	};
	let max = MESSAGE_BYTES_MAX as usize;
	assert_eq!(of(max).unwrap().messages.len(), 1);
	let refused = of(max + 1).unwrap_err();
	let channel = Channel::System;
	assert_eq!(refused, LightClientError::BodyTooLong { channel, seq: 0, bytes: max + 1 });
}

#[test]
fn bytes_of_bodies_in_a_bundle() {
	let chain = TestChain::new(1, 1);
	let reader = chain.reader([]);
	let of = |bytes: usize| {
		let half = bytes / 2;
		let messages = vec![message(0, half), message(1, bytes - half)];
		let bundle = nothing_but_bodies(vec![ChannelBodies { channel: Channel::System, messages }]);
		over(reader.sync(bundle, |_| vec![]))
	};
	let max = BODIES_BYTES_PER_BUNDLE_MAX;
	assert_eq!(of(max), None);
	assert_eq!(of(max + 1), Some(("bytes of bodies in a bundle", max + 1, max)));
}

// ── the decoder, which must not set memory aside for what it will refuse ───────────────────────

/// A length that nothing follows.
fn claims(prefix: &[u8], length: usize) -> Vec<u8> {
	[prefix.to_vec(), Compact(length as u32).encode()].concat()
}

#[test]
fn encoded_lengths() {
	let refused = |prefix: &[u8], length| over(decode_sync_bundle(&claims(prefix, length)));
	let message_of = {
		// No steps, no proof, one list with one message of channel System.
		let mut prefix = vec![0, 0, 4];
		Channel::System.encode_to(&mut prefix);
		prefix
	};
	let body_of = [message_of.clone(), vec![4], (0u64, 0u32, 0u32).encode()].concat();
	for (prefix, what, max) in [
		(vec![], "steps in a bundle", STEPS_PER_BUNDLE_MAX),
		(vec![4], "bytes in a header", HEADER_BYTES_MAX),
		(vec![4, 0], "bytes in a justification", JUSTIFICATION_BYTES_MAX),
		(vec![0], "nodes in a storage proof", PROOF_NODES_MAX),
		(vec![0, 4], "bytes in a storage proof", PROOF_BYTES_MAX),
		(vec![0, 0], "lists of bodies", CHANNELS_MAX),
		(message_of, "messages in a bundle", MESSAGES_PER_BUNDLE_MAX),
		(body_of, "bytes in a body", MESSAGE_BYTES_MAX as usize),
	] {
		assert_eq!(refused(&prefix, max), None, "{what}");
		assert_eq!(refused(&prefix, max + 1), Some((what, max + 1, max)));
		assert_eq!(refused(&prefix, (1 << 30) - 1), Some((what, (1 << 30) - 1, max)));
	}
}

#[test]
fn encoded_bundle_bytes() {
	let max = BUNDLE_BYTES_MAX;
	assert_eq!(over(decode_sync_bundle(&vec![0; max])), None);
	let refused = over(decode_sync_bundle(&vec![0; max + 1]));
	assert_eq!(refused, Some(("bytes in a bundle", max + 1, max)));
}

#[test]
fn a_bundle_at_all_limits_fits_its_encoding() {
	let per_message = (0u64, 0u32, 0u32, Compact(0u32)).encode().len() + 4;
	let lengths = MESSAGES_PER_BUNDLE_MAX * per_message
		+ PROOF_NODES_MAX * 4
		+ CHANNELS_MAX * 16
		+ STEPS_PER_BUNDLE_MAX * 16;
	let parts = FINALITY_BYTES_PER_BUNDLE_MAX + PROOF_BYTES_MAX + BODIES_BYTES_PER_BUNDLE_MAX;
	assert!(parts + lengths <= BUNDLE_BYTES_MAX);
	assert_eq!(H256::zero().encode().len(), 32);
}
