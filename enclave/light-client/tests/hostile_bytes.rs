//! No input panics, and no altered input is taken for the honest one. Random bytes rarely get far,
//! so most cases change a few bytes of something honest.

use codec::Encode;
use phala_light_client::{
	decode_genesis_bundle, decode_sync_bundle,
	test_chain::{Target, TestChain},
	LightClient, MailboxReader, ProvenMessage,
};
use phala_protocol::{
	mailbox::{Channel, OutboundMessage},
	relay::{ChannelBodies, FinalityStep, GenesisBundle, SyncBundle},
};
use proptest::{prelude::*, sample::Index};

/// A chain with something of everything, and a reader at its start.
fn world() -> (TestChain, MailboxReader) {
	let mut chain = TestChain::new(5, 4);
	let reader = chain.reader([Channel::System, Channel::Worker(1)]);
	for n in 0..6u8 {
		chain.push(Channel::Worker(1), vec![n; 5]);
		chain.push(Channel::System, vec![n; 50]);
		if n == 2 {
			chain.change_authorities(3);
		}
		chain.seal();
	}
	(chain, reader)
}

fn everything_said(
	reader: &MailboxReader,
	bundle: SyncBundle,
) -> Option<(MailboxReader, Vec<ProvenMessage>)> {
	let synced = reader.sync(bundle, |_| vec![]).ok()?;
	Some((synced.reader, synced.messages.into_iter().collect()))
}

#[derive(Clone, Debug)]
enum Mutation {
	Flip(Index, u8),
	Set(Index, u8),
	Cut(Index),
	Insert(Index, u8),
	Remove(Index),
	Copy(Index, Index, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
	let index = any::<Index>;
	prop_oneof![
		(index(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
		(index(), prop_oneof![Just(0), Just(0xff), Just(3), any::<u8>()])
			.prop_map(|(at, byte)| Mutation::Set(at, byte)),
		index().prop_map(Mutation::Cut),
		(index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
		index().prop_map(Mutation::Remove),
		(index(), index(), any::<u8>()).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
	]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
	if bytes.is_empty() {
		return;
	}
	match mutation {
		Mutation::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
		Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
		Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
		Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
		Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
		Mutation::Copy(from, to, len) => {
			let from = from.index(bytes.len());
			let copied = bytes[from..bytes.len().min(from + usize::from(*len))].to_vec();
			let to = to.index(bytes.len());
			bytes.splice(to..to, copied);
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

	#[test]
	fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
		let (chain, reader) = world();
		if let Ok(bundle) = decode_sync_bundle(&bytes) {
			let _ = reader.sync(bundle, |_| vec![]);
		}
		if let Ok(bundle) = decode_genesis_bundle(&bytes) {
			prop_assert!(LightClient::from_genesis(chain.genesis(), &bundle).is_err());
		}
		let step = FinalityStep { header: chain.header(1), justification: bytes.clone() };
		prop_assert!(chain.client().advance(&[step]).is_err());
		let step = FinalityStep { header: bytes, justification: chain.justify(1).encode() };
		prop_assert!(chain.client().advance(&[step]).is_err());
	}

	/// A bundle changed anywhere is refused, or says exactly what the honest one says.
	#[test]
	fn an_altered_bundle_says_the_truth_or_nothing(
		mutations in proptest::collection::vec(mutation(), 1..4)
	) {
		let (chain, reader) = world();
		let honest = chain.sync_bundle(&reader, 6);
		let mut bytes = honest.encode();
		for mutation in &mutations {
			mutate(&mut bytes, mutation);
		}
		let Ok(bundle) = decode_sync_bundle(&bytes) else { return Ok(()) };
		let Some((after, messages)) = everything_said(&reader, bundle) else { return Ok(()) };
		let (honest_after, honest_messages) = everything_said(&reader, honest).unwrap();
		prop_assert_eq!(messages, honest_messages);
		prop_assert_eq!(after.channels(), honest_after.channels());
		prop_assert_eq!(after.client().finalized(), honest_after.client().finalized());
	}

	/// As above, with the change inside one part, so that decoding gets through.
	#[test]
	fn altered_parts_say_the_truth_or_nothing(
		part in 0usize..5,
		which in any::<Index>(),
		mutation in mutation(),
	) {
		let (chain, reader) = world();
		let honest = chain.sync_bundle(&reader, 6);
		let mut bundle = honest.clone();
		let bytes = match part {
			0 => &mut which.get_mut(&mut bundle.steps).header,
			1 => &mut which.get_mut(&mut bundle.steps).justification,
			2 => which.get_mut(&mut bundle.state_proof),
			3 => &mut which.get_mut(&mut bundle.bodies[0].messages).body,
			_ => &mut which.get_mut(&mut bundle.bodies[1].messages).body,
		};
		let before = bytes.clone();
		mutate(bytes, &mutation);
		let changed = *bytes != before;
		match everything_said(&reader, bundle) {
			None => prop_assert!(changed),
			Some((after, messages)) => {
				let (honest_after, honest_messages) = everything_said(&reader, honest).unwrap();
				prop_assert_eq!(messages, honest_messages);
				prop_assert_eq!(after.client().finalized(), honest_after.client().finalized());
			},
		}
	}

	/// Nodes that nobody vouches for may be anything: they are never reached. To reach hostile
	/// nodes all the same, the state root itself is chosen here.
	#[test]
	fn hostile_trie_nodes_do_not_panic(
		root in proptest::collection::vec(any::<u8>(), 0..120),
		further in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4),
		mutations in proptest::collection::vec(mutation(), 0..3),
	) {
		let chain = TestChain::new(5, 4);
		let honest = chain.genesis_bundle().state_proof;
		let mut mutated = honest[0].clone();
		for mutation in &mutations {
			mutate(&mut mutated, mutation);
		}
		for root in [root, mutated] {
			let mut header = chain.test_header(0).clone();
			header.state_root = phala_protocol::blake2_256(&root);
			let mut state_proof = honest.clone();
			state_proof.extend(further.clone());
			state_proof.push(root);
			let bundle = GenesisBundle { header: header.encode(), state_proof };
			let _ = LightClient::from_genesis(header.hash(), &bundle);
		}
	}

	/// Votes with any hashes and numbers, properly signed: a liar among the validators.
	#[test]
	fn signed_nonsense_does_not_panic(
		targets in proptest::collection::vec((any::<[u8; 32]>(), any::<u32>()), 0..4),
		real in proptest::collection::vec((0u32..6, any::<u32>()), 0..4),
		ancestry in proptest::collection::vec(0u32..6, 0..6),
	) {
		let (chain, _) = world();
		let mut justification = chain.justify(2);
		let nonsense = targets
			.into_iter()
			.map(|(hash, number)| Target { hash: hash.into(), number })
			.chain(real.into_iter().map(|(of, number)| Target { hash: chain.hash(of), number }));
		for (vote, target) in justification.votes.iter_mut().zip(nonsense) {
			vote.target = target;
		}
		justification.ancestry =
			ancestry.into_iter().map(|number| chain.test_header(number).clone()).collect();
		let step = FinalityStep { header: chain.header(2), justification: justification.encode() };
		let _ = chain.client().advance(&[step]);
	}

	/// The bounded decoder is the derived one.
	#[test]
	fn bundles_are_decoded_as_derived(
		steps in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..4),
		state_proof in proptest::collection::vec(any::<Vec<u8>>(), 0..5),
		lists in proptest::collection::vec(
			(any::<u32>(), proptest::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), any::<Vec<u8>>()), 0..4)),
			0..4,
		),
		mutations in proptest::collection::vec(mutation(), 0..2),
	) {
		let message = |(seq, block, index, body)| OutboundMessage { seq, block, index, body };
		let bundle = SyncBundle {
			steps: steps
				.into_iter()
				.map(|(header, justification)| FinalityStep { header, justification })
				.collect(),
			state_proof: state_proof.clone(),
			bodies: lists
				.into_iter()
				.map(|(id, messages)| ChannelBodies {
					channel: Channel::Cluster(id),
					messages: messages.into_iter().map(message).collect(),
				})
				.collect(),
		};
		let mut bytes = bundle.encode();
		for mutation in &mutations {
			mutate(&mut bytes, mutation);
		}
		let derived = <SyncBundle as codec::DecodeAll>::decode_all(&mut &bytes[..]);
		prop_assert_eq!(decode_sync_bundle(&bytes).ok(), derived.ok());

		let genesis = GenesisBundle { header: vec![1, 2, 3], state_proof };
		let mut bytes = genesis.encode();
		for mutation in &mutations {
			mutate(&mut bytes, mutation);
		}
		let derived = <GenesisBundle as codec::DecodeAll>::decode_all(&mut &bytes[..]);
		prop_assert_eq!(decode_genesis_bundle(&bytes).ok(), derived.ok());
	}
}
