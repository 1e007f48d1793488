//! The chain: the real runtime, natively, block after block. Real headers, real extrinsics, real
//! storage proofs; GRANDPA justifications by the validators of genesis, whose keys everybody has.
//!
//! What a node adds to its runtime is here as little as there can be of it: a pool, which validates
//! as a node does and offers its transactions to the next block by priority; an archive, which has of
//! each block what relayers ask for; and finality, which follows the newest block at a distance.

use crate::{account::Account, limits};
use codec::Encode;
use ed25519_zebra::SigningKey;
use frame_support::storage::{with_transaction, TransactionOutcome};
use phala_light_client::test_chain::{Justification, Target};
use phala_protocol::{
	boot::WorkerId,
	mailbox::{Channel, OutboundMessage},
	relay::{FinalityStep, GenesisBundle, StateProof},
	storage_keys, BlockNumber, H256,
};
use phala_runtime::{
	test_support::{self, transactions},
	AccountId, Executive, Grandpa, Header, Nonce, RuntimeCall, RuntimeEvent, Session, System,
	UncheckedExtrinsic,
};
use sp_consensus_babe::digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest};
use sp_core::Blake2Hasher;
use sp_io::TestExternalities;
use sp_keyring::Ed25519Keyring;
use sp_runtime::{
	generic::DigestItem,
	traits::{BlakeTwo256, Header as _},
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
	Digest, DispatchError,
};
use sp_state_machine::{
	create_proof_check_backend, prove_read, prove_read_on_trie_backend, Backend as _,
	InMemoryBackend,
};
use sp_trie::StorageProof;
use std::{
	collections::{BTreeMap, VecDeque},
	sync::{Arc, OnceLock},
};

/// The preset that a simulation starts from: four validators, so that a quorum is not one of them.
const PRESET: &str = "local_testnet";

/// The slot of virtual time 0: some time in 2023.
const FIRST_SLOT: u64 = 850_000_000;

/// A transaction that waits.
struct Pooled {
	extrinsic: UncheckedExtrinsic,
	signer: Option<AccountId>,
	priority: u64,
	arrived: u64,
	until: BlockNumber,
}

/// A block as the archive has it.
struct Sealed {
	header: Vec<u8>,
	hash: H256,
	state_root: H256,
	/// The set that finalizes it.
	set_id: u64,
	authorities: Arc<Vec<SigningKey>>,
	/// Whether the next block has another set.
	ends_set: bool,
	/// Of all that relayers ask for.
	proof: StorageProof,
}

/// What there was before a block that is not final.
struct Undo {
	backend: InMemoryBackend<Blake2Hasher>,
	/// How many each channel had.
	messages: BTreeMap<Channel, usize>,
	/// What the block included.
	included: Vec<Pooled>,
}

/// What a block did.
pub struct Made {
	pub number: BlockNumber,
	pub hash: H256,
	pub events: Vec<RuntimeEvent>,
	/// Of its extrinsics, encoded.
	pub extrinsics: Vec<Vec<u8>>,
}

/// See the module's text.
pub struct Chain {
	state: TestExternalities,
	blocks: Vec<Sealed>,
	messages: BTreeMap<Channel, Vec<OutboundMessage>>,
	pool: Vec<Pooled>,
	arrivals: u64,
	finalized: BlockNumber,
	/// Of each block that is not final, the newest last; only where blocks may be abandoned.
	undo: Option<VecDeque<Undo>>,
	keys: BTreeMap<[u8; 32], SigningKey>,
	workers: WorkerId,
	pub oracle: test_support::oracle::Start,
}

impl Chain {
	/// Block 0. What concerns workers from `workers` on is not archived.
	pub fn new(workers: WorkerId) -> Self {
		static GENESIS: OnceLock<sp_core::storage::Storage> = OnceLock::new();
		let storage = GENESIS.get_or_init(|| {
			let sudo = Account::development("//Alice").id;
			let patch = serde_json::json!({
				"sudo": { "key": sudo },
				"parameters": { "network": { "evidenceLifetime": limits::EVIDENCE_BLOCKS } },
			});
			test_support::genesis(PRESET, patch)
		});
		let mut state = TestExternalities::from(storage.clone());
		let validators = [
			Ed25519Keyring::Alice,
			Ed25519Keyring::Bob,
			Ed25519Keyring::Charlie,
			Ed25519Keyring::Dave,
		];
		let keys = validators
			.into_iter()
			.map(|key| (key.to_raw_public(), SigningKey::from(key.pair().seed())))
			.collect();
		let oracle = state.execute_with(test_support::oracle::Start::now);
		let mut chain = Self {
			state,
			blocks: Vec::new(),
			messages: BTreeMap::new(),
			pool: Vec::new(),
			arrivals: 0,
			finalized: 0,
			undo: None,
			keys,
			workers,
			oracle,
		};
		let root = *chain.state.backend.root();
		let no_extrinsics = sp_trie::empty_trie_root::<sp_trie::LayoutV1<BlakeTwo256>>();
		let header = Header::new(0, no_extrinsics, root, H256::zero(), Digest::default());
		let (set_id, authorities) = chain.set();
		chain.archive(header, set_id, authorities);
		chain
	}

	/// What the state says, after the newest block; changes nothing.
	pub fn read<R>(&mut self, reading: impl FnOnce() -> R) -> R {
		self.state.execute_with(|| {
			let read = || TransactionOutcome::Rollback(Ok::<_, DispatchError>(reading()));
			with_transaction(read).expect("it is not nested")
		})
	}

	/// Changes the state behind everybody's back.
	#[cfg(test)]
	pub fn change(&mut self, change: impl FnOnce()) {
		self.state.execute_with(change);
		self.state.commit_all().expect("no transaction is open");
	}

	pub fn genesis(&self) -> H256 {
		self.blocks[0].hash
	}

	/// Number of the newest block.
	pub fn height(&self) -> BlockNumber {
		self.blocks.len() as BlockNumber - 1
	}

	/// Number of the newest final block.
	pub fn finalized(&self) -> BlockNumber {
		self.finalized
	}

	/// Finality comes to a block, if it is not beyond it already.
	pub fn finalize(&mut self, number: BlockNumber) {
		self.finalized = self.finalized.max(number.min(self.height()));
		let open = (self.height() - self.finalized) as usize;
		if let Some(undo) = &mut self.undo {
			while undo.len() > open {
				undo.pop_front();
			}
		}
	}

	/// Keeps from now on what it takes to abandon blocks.
	pub fn keep_forks(&mut self) {
		self.undo.get_or_insert_default();
	}

	/// Validators prefer another fork: up to so many blocks that are not final never were, and what was in
	/// them waits again. The number of the block that the next is built on.
	pub fn abandon(&mut self, blocks: usize) -> BlockNumber {
		for _ in 0..blocks {
			let Some(undone) = self.undo.as_mut().and_then(VecDeque::pop_back) else { break };
			self.blocks.pop();
			self.state.backend = undone.backend;
			for (channel, messages) in &mut self.messages {
				messages.truncate(undone.messages.get(channel).copied().unwrap_or_default());
			}
			self.pool.extend(undone.included);
		}
		self.height()
	}

	fn set(&mut self) -> (u64, Arc<Vec<SigningKey>>) {
		let (set_id, authorities) = self.read(|| {
			let authorities = Grandpa::grandpa_authorities();
			(Grandpa::current_set_id(), authorities)
		});
		let key = |id: &[u8]| {
			*self.keys.iter().find(|(public, _)| *public == id).expect("genesis has all keys").1
		};
		let keys = authorities.iter().map(|(id, _)| key(id.as_ref())).collect();
		(set_id, Arc::new(keys))
	}

	fn archive(&mut self, header: Header, set_id: u64, authorities: Arc<Vec<SigningKey>>) {
		let proof = prove_read_on_trie_backend(&self.state.backend, self.archived_keys())
			.expect("the state is whole");
		let (next_set, _) = self.set();
		let encoded = header.encode();
		self.blocks.push(Sealed {
			hash: phala_protocol::blake2_256(&encoded),
			header: encoded,
			state_root: *header.state_root(),
			set_id,
			authorities,
			ends_set: next_set != set_id,
			proof,
		});
	}

	/// All that anybody may ask a proof of.
	fn archived_keys(&self) -> Vec<Vec<u8>> {
		let mut keys =
			vec![storage_keys::grandpa_authorities(), storage_keys::grandpa_current_set_id()];
		let shared = [Channel::System, Channel::Gatekeepers, Channel::Cluster(0)];
		let own = (0..self.workers).map(Channel::Worker);
		keys.extend(shared.into_iter().chain(own).map(storage_keys::mailbox_head));
		for worker in 0..self.workers {
			keys.push(storage_keys::mailbox_next_envelope(worker));
			keys.push(storage_keys::registry_boot(worker));
		}
		keys
	}

	/// Whether a transaction of this account waits.
	pub fn has_waiting(&self, account: &AccountId) -> bool {
		self.pool.iter().any(|one| one.signer.as_ref() == Some(account))
	}

	/// One of an account's transactions, after those that wait.
	pub fn sign(
		&mut self,
		by: &Account,
		call: impl Into<RuntimeCall>,
	) -> Result<(), TransactionValidityError> {
		let waiting = self.pool.iter().filter(|one| one.signer.as_ref() == Some(&by.id)).count();
		let (id, call) = (by.id.clone(), call.into());
		let extrinsic = self.read(|| {
			let nonce = System::account_nonce(&id) + waiting as Nonce;
			transactions::signed(id, nonce, call, |bytes| by.sign(bytes))
		})?;
		self.submit(extrinsic, Some(by.id.clone()))
	}

	/// A transaction comes to the pool.
	pub fn submit(
		&mut self,
		extrinsic: UncheckedExtrinsic,
		signer: Option<AccountId>,
	) -> Result<(), TransactionValidityError> {
		let parent = self.blocks[self.height() as usize].hash;
		let copy = extrinsic.clone();
		let valid = self
			.read(|| Executive::validate_transaction(TransactionSource::External, copy, parent))?;
		self.arrivals += 1;
		self.pool.push(Pooled {
			extrinsic,
			signer,
			priority: valid.priority,
			arrived: self.arrivals,
			until: self.height() + limits::POOL_BLOCKS,
		});
		Ok(())
	}

	/// Makes the block of the slot at `now_ms`, of what waits.
	pub fn make_block(&mut self, now_ms: u64) -> Made {
		let (set_id, authorities) = self.set();
		let number = self.height() + 1;
		let slot = FIRST_SLOT + now_ms / phala_runtime::time::BLOCK_MILLISECONDS;
		let parent = self.blocks[self.height() as usize].hash;
		if let Some(undo) = &mut self.undo {
			let count = |(channel, messages): (&Channel, &Vec<_>)| (*channel, messages.len());
			let messages = self.messages.iter().map(count).collect();
			let backend = self.state.as_backend();
			undo.push_back(Undo { backend, messages, included: Vec::new() });
		}
		self.state.execute_with(|| {
			let validators = Session::validators().len() as u64;
			let authority_index = (slot % validators.max(1)) as u32;
			let claim = SecondaryPlainPreDigest { authority_index, slot: slot.into() };
			let claim = DigestItem::babe_pre_digest(PreDigest::SecondaryPlain(claim));
			let digest = Digest { logs: vec![claim] };
			let header = Header::new(number, H256::zero(), H256::zero(), parent, digest);
			Executive::initialize_block(&header);
			let now = slot * phala_runtime::time::BLOCK_MILLISECONDS;
			let time = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now });
			Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(time))
				.expect("the inherent is valid")
				.expect("the time goes on");
		});
		let extrinsics = self.include_pool(number);
		let header = self.state.execute_with(Executive::finalize_block);
		self.state.commit_all().expect("no transaction is open");
		assert_eq!(header.state_root(), self.state.backend.root(), "the header names this state");
		let events: Vec<RuntimeEvent> =
			self.read(|| System::read_events_no_consensus().map(|record| record.event).collect());
		for event in &events {
			if let RuntimeEvent::Mailbox(pallet_mailbox::Event::MessagePushed {
				channel,
				seq,
				index,
				body,
			}) = event
			{
				let message =
					OutboundMessage { seq: *seq, block: number, index: *index, body: body.clone() };
				self.messages.entry(*channel).or_default().push(message);
			}
		}
		self.archive(header, set_id, authorities);
		let hash = self.blocks[number as usize].hash;
		Made { number, hash, events, extrinsics }
	}

	/// Offers what waits to the block under construction, by priority; what has to wait for something
	/// before it is offered again as long as there is any progress.
	fn include_pool(&mut self, number: BlockNumber) -> Vec<Vec<u8>> {
		let mut waiting = std::mem::take(&mut self.pool);
		waiting.sort_by_key(|one| (u64::MAX - one.priority, one.arrived));
		let mut included: Vec<Pooled> = Vec::new();
		loop {
			let mut left = Vec::new();
			let before = included.len();
			for one in waiting {
				let copy = one.extrinsic.clone();
				match self.state.execute_with(|| Executive::apply_extrinsic(copy)) {
					Ok(_) => included.push(one),
					Err(TransactionValidityError::Invalid(
						InvalidTransaction::Future | InvalidTransaction::ExhaustsResources,
					)) if one.until > number => left.push(one),
					Err(_) => {}
				}
			}
			waiting = left;
			if included.len() == before || waiting.is_empty() {
				break;
			}
		}
		self.pool = waiting;
		let encoded = included.iter().map(|one| one.extrinsic.encode()).collect();
		if let Some(undone) = self.undo.as_mut().and_then(VecDeque::back_mut) {
			undone.included = included;
		}
		encoded
	}

	pub fn genesis_bundle(&self) -> GenesisBundle {
		let keys = [storage_keys::grandpa_authorities(), storage_keys::grandpa_current_set_id()];
		GenesisBundle { header: self.blocks[0].header.clone(), state_proof: self.proof(0, &keys) }
	}

	/// Whether something is in the state, in any value.
	pub fn state_has(&self, needle: &memchr::memmem::Finder<'_>) -> bool {
		let pairs = self.state.backend.pairs(Default::default()).expect("the state is whole");
		pairs.flatten().any(|(_, value)| needle.find(&value).is_some())
	}

	/// A proof of exactly these, of the state after a block.
	pub fn proof(&self, number: BlockNumber, keys: &[Vec<u8>]) -> StateProof {
		let block = &self.blocks[number as usize];
		let archived =
			create_proof_check_backend::<BlakeTwo256>(block.state_root, block.proof.clone())
				.expect("the archived proof has its root");
		let proof = prove_read(archived, keys).expect("relayers ask for what is archived");
		proof.into_iter_nodes().collect()
	}

	/// An honest justification of a block, by its whole set, before it is encoded.
	pub fn justify(&self, number: BlockNumber) -> Justification {
		let block = &self.blocks[number as usize];
		Justification::by(&block.authorities, block.set_id, Target { hash: block.hash, number })
	}

	/// What an honest node proves from behind `from` up to `to`.
	pub fn steps(&self, from: BlockNumber, to: BlockNumber) -> Vec<FinalityStep> {
		(from + 1..=to)
			.filter(|number| *number == to || self.blocks[*number as usize].ends_set)
			.map(|number| FinalityStep {
				header: self.blocks[number as usize].header.clone(),
				justification: self.justify(number).encode(),
			})
			.collect()
	}

	/// The messages of a channel from number `from`, up to block `to`.
	pub fn messages(&self, channel: Channel, from: u64, to: BlockNumber) -> Vec<OutboundMessage> {
		let all = self.messages.get(&channel).map(Vec::as_slice).unwrap_or_default();
		let wanted = all.iter().skip(from as usize).take_while(|message| message.block <= to);
		wanted.cloned().collect()
	}
}
