//! A runtime with the mailbox alone. Worker 1 is honest; its receiver records what it was told.

use crate as pallet_mailbox;
use codec::Encode;
use frame_support::{
	derive_impl,
	dispatch::DispatchResult,
	parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use phala_protocol::{
	boot::{Boot, BootKeys, BootNumber, WorkerId},
	evidence::EvidenceKind,
	mailbox::{Envelope, EnvelopeNumber, Lane},
	messages::{AgentsPayload, EnvelopeOrigin, Payload, RegistryPayload},
	traits::{BootDirectory, MailboxInterface, ReceivePayload},
	H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{BuildStorage, DispatchError};
use std::collections::BTreeMap;

pub type Block = frame_system::mocking::MockBlock<Runtime>;

frame_support::construct_runtime!(
	pub enum Runtime {
		System: frame_system,
		Mailbox: pallet_mailbox,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type BlockWeights = BlockWeights;
}

pub const RETENTION: u64 = 10;
pub const WORKER: WorkerId = 1;

parameter_types! {
	pub static CurrentBoots: BTreeMap<WorkerId, Boot> = BTreeMap::new();
	pub static InForce: bool = true;
	/// Whether all that is said is refused.
	pub static Refusing: bool = false;
	/// What of each block is for upkeep.
	pub static ForUpkeep: Weight = Weight::MAX;
	pub static Received: Vec<(EnvelopeOrigin, Payload)> = Vec::new();
}

pub struct Boots;

impl BootDirectory for Boots {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		CurrentBoots::get().remove(&worker)
	}

	fn is_in_force(_: WorkerId, _: &Boot) -> bool {
		InForce::get()
	}
}

pub struct Recorder;

impl ReceivePayload for Recorder {
	type Payload = Payload;
	type Error = DispatchError;

	/// Refuses probe answers, after having written something that must be undone.
	fn receive(origin: EnvelopeOrigin, payload: Payload) -> Result<(), DispatchError> {
		if let Payload::Registry(RegistryPayload::ProbeAnswered { .. }) = payload {
			sp_io::storage::set(b"written by a failing receiver", &[1]);
			return Err(DispatchError::Unavailable);
		}
		if Refusing::get() {
			return Err(DispatchError::Exhausted);
		}
		Received::mutate(|received| received.push((origin, payload)));
		Ok(())
	}
}

/// What a payload costs here: as many picoseconds as this says.
pub struct Price;

impl crate::PayloadWeights for Price {
	fn weight_of(payload: &Payload) -> Weight {
		match payload {
			Payload::Registry(RegistryPayload::Heartbeat { .. }) => Weight::zero(),
			_ => Weight::from_parts(PAYLOAD_PS, 0),
		}
	}

	/// What is refused as all is took a tenth.
	fn actual_weight_of(payload: &Payload, effect: &DispatchResult) -> Weight {
		let most = Self::weight_of(payload);
		if *effect == Err(DispatchError::Exhausted) {
			most / 10
		} else {
			most
		}
	}

	fn news_of(payload: &Payload) -> Option<(u32, bool)> {
		match payload {
			Payload::Registry(_) => None,
			Payload::Agents(_) => Some((NEWS_BYTES, false)),
			_ => Some((NEWS_BYTES, true)),
		}
	}

	fn is_paid_work(payload: &Payload) -> bool {
		let Payload::Agents(AgentsPayload::EffectSet(set)) = payload else { return false };
		!set.results.is_empty()
	}

	fn commit_news() -> u32 {
		NEWS_BYTES
	}

	fn heaviest_commit() -> Weight {
		Weight::from_parts(PAYLOAD_PS, 0)
	}
}

/// What a payload that pushes a message pushes here.
pub const NEWS_BYTES: u32 = 100;

/// As many as a hundred of the longest payloads.
pub const ENVELOPE_BYTES: u32 = 100 * 32 * 1024;

/// One payload that is no heartbeat.
pub const PAYLOAD_PS: u64 = 1_000_000_000_000;

parameter_types! {
	/// Twice what envelopes may have.
	pub BlockWeights: frame_system::limits::BlockWeights = frame_system::limits::BlockWeights::simple_max(
		Weight::from_parts(200 * PAYLOAD_PS, u64::MAX),
	);
	/// As much as a hundred payloads.
	pub EnvelopeWeight: Weight = Weight::from_parts(100 * PAYLOAD_PS, 0);
}

impl pallet_mailbox::Config for Runtime {
	type Boots = Boots;
	type Receiver = Recorder;
	type PayloadWeights = Price;
	type EnvelopeWeight = EnvelopeWeight;
	type EnvelopeBytes = ConstU32<{ ENVELOPE_BYTES }>;
	type ExtensionWeight = ();
	type ExtensionWeightReturned = ();
	type Retention = ConstU64<RETENTION>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = Boots;
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper for Boots {
	fn boot(worker: WorkerId, identity: [u8; 32]) {
		CurrentBoots::mutate(|boots| boots.insert(worker, boot_of(1, identity)));
	}
}

fn boot_of(number: BootNumber, identity: [u8; 32]) -> Boot {
	Boot {
		number,
		keys: BootKeys { identity, encryption: [0; 32] },
		evidence: EvidenceKind::Software,
		measurement: H256::zero(),
		registered_at: 0,
		expires_at: u32::MAX,
	}
}

pub const GENESIS: H256 = H256::repeat_byte(0x9e);

/// An enclave with the keys of one boot.
pub struct Enclave {
	pub pair: sr25519::Pair,
	pub worker: WorkerId,
	pub boot: BootNumber,
}

impl Enclave {
	/// Takes over [`WORKER`] as its newest boot.
	pub fn boots(number: BootNumber) -> Self {
		Self::boots_in(WORKER, number)
	}

	/// Takes over a worker as its newest boot.
	pub fn boots_in(worker: WorkerId, number: BootNumber) -> Self {
		let mut seed = [number as u8; 32];
		seed[0] = worker as u8;
		let pair = sr25519::Pair::from_seed(&seed);
		let boot = boot_of(number, pair.public().0);
		CurrentBoots::mutate(|boots| boots.insert(worker, boot));
		Mailbox::open_inbound(worker, number);
		Self { pair, worker, boot: number }
	}

	pub fn signs(&self, seq: u64, payload: &Payload) -> Envelope {
		self.signs_in(payload.lane(), seq, payload)
	}

	pub fn signs_in(&self, lane: Lane, seq: u64, payload: &Payload) -> Envelope {
		self.signs_bytes(GENESIS, EnvelopeNumber { lane, seq }, payload.encode())
	}

	pub fn signs_bytes(&self, genesis: H256, number: EnvelopeNumber, payload: Vec<u8>) -> Envelope {
		let EnvelopeNumber { lane, seq } = number;
		let (worker, boot) = (self.worker, self.boot);
		let signature = [0; 64];
		let mut envelope = Envelope { genesis, worker, boot, lane, seq, payload, signature };
		envelope.signature = self.pair.sign(&envelope.signed_bytes()).0;
		envelope
	}
}

pub fn new_test_ext() -> sp_io::TestExternalities {
	let storage = frame_system::GenesisConfig::<Runtime>::default().build_storage().unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	// Benchmarks sign with keys that the node holds.
	ext.register_extension(sp_keystore::KeystoreExt::new(
		sp_keystore::testing::MemoryKeystore::new(),
	));
	ext.execute_with(|| {
		frame_system::BlockHash::<Runtime>::insert(0, GENESIS);
		System::set_block_number(1);
		Received::set(Vec::new());
		InForce::set(true);
		Refusing::set(false);
		ForUpkeep::set(Weight::MAX);
		CurrentBoots::set(BTreeMap::new());
	});
	ext
}
