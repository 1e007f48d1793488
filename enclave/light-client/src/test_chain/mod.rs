//! A small chain for tests: real headers, a real state trie, real GRANDPA justifications, changes of
//! authorities, a mailbox. No runtime, no node, no clock; one seed makes one chain.
//!
//! ```
//! use phala_light_client::test_chain::TestChain;
//! use phala_protocol::mailbox::Channel;
//!
//! let mut chain = TestChain::new(1, 4);
//! let reader = chain.reader([Channel::System]);
//!
//! chain.push(Channel::System, b"hello".to_vec());
//! let number = chain.seal();
//! let synced = reader.sync(chain.sync_bundle(&reader, number), |_| vec![]).unwrap();
//! assert_eq!(synced.messages.iter().next().unwrap().body(), b"hello");
//! ```
//!
//! Everything here panics on misuse: it is for tests. Villains start from what is honest
//! ([`TestChain::justify`], [`TestChain::sync_bundle`]) and change it.

mod justification;
mod state;

pub use justification::{Justification, Target, Vote};

use crate::{LightClient, MailboxReader};
use codec::{Compact, Encode};
use ed25519_zebra::{SigningKey, VerificationKey};
use phala_protocol::{
	blake2_256,
	mailbox::{Channel, ChannelHead, OutboundMessage},
	relay::{ChannelBodies, FinalityStep, GenesisBundle, StateProof, SyncBundle},
	storage_keys, BlockNumber, H256,
};
use state::ArchiveState;
use std::collections::BTreeMap;

/// A header before it is encoded, with its digest items encoded already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestHeader {
	pub parent: H256,
	pub number: BlockNumber,
	pub state_root: H256,
	pub extrinsics_root: H256,
	pub digest: Vec<Vec<u8>>,
}

impl TestHeader {
	/// As `generic::Header<u32, BlakeTwo256>`.
	pub fn encode(&self) -> Vec<u8> {
		let mut bytes = self.parent.encode();
		Compact(self.number).encode_to(&mut bytes);
		self.state_root.encode_to(&mut bytes);
		self.extrinsics_root.encode_to(&mut bytes);
		Compact(self.digest.len() as u32).encode_to(&mut bytes);
		for item in &self.digest {
			bytes.extend(item);
		}
		bytes
	}

	/// BLAKE2-256 of the encoding.
	pub fn hash(&self) -> H256 {
		blake2_256(&self.encode())
	}
}

/// A digest item with a log of GRANDPA.
pub fn grandpa_log(log: Vec<u8>) -> Vec<u8> {
	(4u8, *b"FRNK", log).encode()
}

/// GRANDPA's log of a change decided by finality.
pub fn scheduled_change(next: &[([u8; 32], u64)], delay: BlockNumber) -> Vec<u8> {
	grandpa_log((1u8, next, delay).encode())
}

/// GRANDPA's log of a change that finality did not decide.
pub fn forced_change(next: &[([u8; 32], u64)], delay: BlockNumber) -> Vec<u8> {
	grandpa_log((2u8, 0u32, next, delay).encode())
}

struct Block {
	header: TestHeader,
	hash: H256,
	/// The set that finalizes it.
	set_id: u64,
	/// Whether the next block has another set.
	ends_set: bool,
}

/// The chain: sealed blocks, and one under construction.
pub struct TestChain {
	seed: u64,
	sets: Vec<Vec<SigningKey>>,
	blocks: Vec<Block>,
	state: ArchiveState,
	heads: BTreeMap<Channel, ChannelHead>,
	messages: BTreeMap<Channel, Vec<OutboundMessage>>,
	// Under construction.
	index: u32,
	changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
	digest: Vec<Vec<u8>>,
	next_set: Option<Vec<SigningKey>>,
}

impl TestChain {
	/// A chain with block 0 and one set of `validators` authorities of weight 1.
	pub fn new(seed: u64, validators: usize) -> Self {
		let mut chain = Self {
			seed,
			sets: vec![],
			blocks: vec![],
			state: ArchiveState::default(),
			heads: BTreeMap::new(),
			messages: BTreeMap::new(),
			index: 0,
			changes: BTreeMap::new(),
			digest: vec![],
			next_set: None,
		};
		let first = chain.keys(0, validators);
		chain.put(storage_keys::grandpa_authorities(), authorities(&first).encode());
		chain.put(storage_keys::grandpa_current_set_id(), 0u64.encode());
		// Enough neighbours that proofs have branches, short and long values, and a longer header.
		for n in 0u32..64 {
			let value = vec![n as u8; (n as usize * 7) % 80];
			chain.put(blake2_256(&(seed, n).encode()).as_bytes().to_vec(), value);
		}
		chain.sets.push(first);
		chain.seal();
		chain
	}

	/// The keys of set `set_id`, were it to have `validators` members.
	fn keys(&self, set_id: u64, validators: usize) -> Vec<SigningKey> {
		let seed = |n| blake2_256(&("validator", self.seed, set_id, n).encode()).0;
		(0..validators as u64).map(|n| SigningKey::from(seed(n))).collect()
	}

	pub fn genesis(&self) -> H256 {
		self.hash(0)
	}

	/// What a light client starts with.
	pub fn genesis_bundle(&self) -> GenesisBundle {
		self.checkpoint_bundle(0)
	}

	/// What a light client starts with at block `number`.
	pub fn checkpoint_bundle(&self, number: BlockNumber) -> GenesisBundle {
		let keys = [storage_keys::grandpa_authorities(), storage_keys::grandpa_current_set_id()];
		GenesisBundle { header: self.header(number), state_proof: self.read_proof(number, keys) }
	}

	/// A light client at block 0.
	pub fn client(&self) -> LightClient {
		LightClient::from_genesis(self.genesis(), &self.genesis_bundle())
			.expect("the chain's own genesis is accepted")
	}

	/// A reader of `channels` at block 0.
	pub fn reader(&self, channels: impl IntoIterator<Item = Channel> + Clone) -> MailboxReader {
		let client = self.client();
		let state = client.prove(self.heads_proof(0, channels.clone())).expect("within limits");
		MailboxReader::new(client).adopt(&state, channels).expect("the heads are proven")
	}

	/// Number of the newest sealed block.
	pub fn height(&self) -> BlockNumber {
		self.blocks.len() as BlockNumber - 1
	}

	pub fn hash(&self, number: BlockNumber) -> H256 {
		self.blocks[number as usize].hash
	}

	/// A sealed block's header, encoded.
	pub fn header(&self, number: BlockNumber) -> Vec<u8> {
		self.test_header(number).encode()
	}

	pub fn test_header(&self, number: BlockNumber) -> &TestHeader {
		&self.blocks[number as usize].header
	}

	/// The set that finalizes block `number`.
	pub fn set_id_of(&self, number: BlockNumber) -> u64 {
		self.blocks[number as usize].set_id
	}

	/// The secret keys of a set.
	pub fn validators(&self, set_id: u64) -> &[SigningKey] {
		&self.sets[set_id as usize]
	}

	/// Where a channel stands in the block under construction.
	pub fn channel_head(&self, channel: Channel) -> ChannelHead {
		self.heads.get(&channel).copied().unwrap_or_default()
	}

	/// Pushes a message in the block under construction; returns its number in its channel.
	pub fn push(&mut self, channel: Channel, body: Vec<u8>) -> u64 {
		let (block, index) = (self.blocks.len() as BlockNumber, self.index);
		let head = self.channel_head(channel);
		let after = head.after(block, index, &body).expect("a test does not use up 2^64 numbers");
		self.index += 1;
		self.heads.insert(channel, after);
		self.put(storage_keys::mailbox_head(channel), after.encode());
		let message = OutboundMessage { seq: head.next_seq, block, index, body };
		self.messages.entry(channel).or_default().push(message);
		head.next_seq
	}

	/// Stores a value in the block under construction.
	pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
		self.changes.insert(key, Some(value));
	}

	/// Removes a value in the block under construction.
	pub fn remove(&mut self, key: Vec<u8>) {
		self.changes.insert(key, None);
	}

	/// Makes the block under construction the last of its authority set; the next set has
	/// `validators` members, all new.
	pub fn change_authorities(&mut self, validators: usize) {
		let set_id = self.sets.len() as u64;
		let next = self.keys(set_id, validators);
		self.digest.push(scheduled_change(&authorities(&next), 0));
		self.put(storage_keys::grandpa_authorities(), authorities(&next).encode());
		self.put(storage_keys::grandpa_current_set_id(), set_id.encode());
		self.next_set = Some(next);
	}

	/// Adds an encoded digest item to the block under construction.
	pub fn add_digest_item(&mut self, item: Vec<u8>) {
		self.digest.push(item);
	}

	/// Ends the block under construction; returns its number.
	pub fn seal(&mut self) -> BlockNumber {
		let number = self.blocks.len() as BlockNumber;
		let state_root = self.state.apply(std::mem::take(&mut self.changes));
		// As BABE's: a pre-runtime digest first, a seal last.
		let mut digest = vec![(6u8, *b"BABE", vec![number as u8; 9]).encode()];
		digest.append(&mut self.digest);
		digest.push((5u8, *b"BABE", vec![number as u8; 64]).encode());
		let header = TestHeader {
			parent: self.blocks.last().map(|block| block.hash).unwrap_or_default(),
			number,
			state_root,
			extrinsics_root: blake2_256(&(self.seed, number).encode()),
			digest: if number == 0 { vec![] } else { digest },
		};
		self.blocks.push(Block {
			hash: header.hash(),
			header,
			set_id: self.sets.len() as u64 - 1,
			ends_set: self.next_set.is_some(),
		});
		self.sets.extend(self.next_set.take());
		self.index = 0;
		number
	}

	/// Seals until block `number` is sealed.
	pub fn seal_to(&mut self, number: BlockNumber) {
		while self.height() < number {
			self.seal();
		}
	}

	/// An honest justification of a sealed block, by its whole set, before it is encoded.
	pub fn justify(&self, number: BlockNumber) -> Justification {
		let block = &self.blocks[number as usize];
		Justification::by(
			self.validators(block.set_id),
			block.set_id,
			Target { hash: block.hash, number },
		)
	}

	/// A sealed block's header and honest justification.
	pub fn step(&self, number: BlockNumber) -> FinalityStep {
		FinalityStep { header: self.header(number), justification: self.justify(number).encode() }
	}

	/// What an honest relayer brings to a client at `from`: the last header of each set that ended
	/// in between, then header `to`. Nothing when they are the same.
	pub fn steps(&self, from: BlockNumber, to: BlockNumber) -> Vec<FinalityStep> {
		(from + 1..=to)
			.filter(|number| *number == to || self.blocks[*number as usize].ends_set)
			.map(|number| self.step(number))
			.collect()
	}

	/// A proof of `keys` in the state after block `number`.
	pub fn read_proof(
		&self,
		number: BlockNumber,
		keys: impl IntoIterator<Item = Vec<u8>>,
	) -> StateProof {
		self.state.read_proof(self.test_header(number).state_root, keys)
	}

	/// A proof of the heads of `channels` after block `number`.
	pub fn heads_proof(
		&self,
		number: BlockNumber,
		channels: impl IntoIterator<Item = Channel>,
	) -> StateProof {
		self.read_proof(number, channels.into_iter().map(storage_keys::mailbox_head))
	}

	/// The messages of `channel` from number `from_seq`, up to block `to`.
	pub fn messages(
		&self,
		channel: Channel,
		from_seq: u64,
		to: BlockNumber,
	) -> Vec<OutboundMessage> {
		let all = self.messages.get(&channel).map(Vec::as_slice).unwrap_or_default();
		let wanted = all.iter().skip(from_seq as usize).take_while(|message| message.block <= to);
		wanted.cloned().collect()
	}

	/// What an honest relayer brings to `reader` to move it to block `to`.
	pub fn sync_bundle(&self, reader: &MailboxReader, to: BlockNumber) -> SyncBundle {
		self.sync_bundle_with(reader, to, &[])
	}

	/// As [`TestChain::sync_bundle`], with the messages of further channels that the reader will
	/// follow on the way, each from a number.
	pub fn sync_bundle_with(
		&self,
		reader: &MailboxReader,
		to: BlockNumber,
		further: &[(Channel, u64)],
	) -> SyncBundle {
		let followed = reader.channels().iter().map(|(channel, head)| (channel, head.next_seq));
		let channels: Vec<_> = followed.chain(further.iter().copied()).collect();
		SyncBundle {
			steps: self.steps(reader.client().height(), to),
			state_proof: self.heads_proof(to, channels.iter().map(|(channel, _)| *channel)),
			bodies: channels
				.into_iter()
				.map(|(channel, from)| ChannelBodies {
					channel,
					messages: self.messages(channel, from, to),
				})
				.filter(|bodies| !bodies.messages.is_empty())
				.collect(),
		}
	}
}

/// As the chain stores and announces a set: all of weight 1.
pub fn authorities(keys: &[SigningKey]) -> Vec<([u8; 32], u64)> {
	keys.iter().map(|key| (VerificationKey::from(key).into(), 1)).collect()
}
