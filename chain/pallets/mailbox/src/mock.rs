//! A runtime with the mailbox alone. Worker 1 is honest; its receiver records what it was told.

use crate as pallet_mailbox;
use codec::Encode;
use frame_support::{derive_impl, parameter_types, traits::ConstU64};
use phala_protocol::{
	boot::{Boot, BootKeys, BootNumber, WorkerId},
	evidence::EvidenceKind,
	mailbox::Envelope,
	messages::{EnvelopeOrigin, Payload, RegistryPayload},
	traits::{BootDirectory, MailboxInterface, ReceivePayload},
	H256,
};
use sp_core::{sr25519, Pair};
use sp_runtime::{BuildStorage, DispatchError};

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
}

pub const RETENTION: u64 = 10;
pub const WORKER: WorkerId = 1;

parameter_types! {
	pub static CurrentBoot: Option<Boot> = None;
	pub static InForce: bool = true;
	pub static Received: Vec<(EnvelopeOrigin, Payload)> = Vec::new();
}

pub struct Boots;

impl BootDirectory for Boots {
	fn current_boot(worker: WorkerId) -> Option<Boot> {
		(worker == WORKER).then(CurrentBoot::get).flatten()
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
		Received::mutate(|received| received.push((origin, payload)));
		Ok(())
	}
}

impl pallet_mailbox::Config for Runtime {
	type Boots = Boots;
	type Receiver = Recorder;
	type Retention = ConstU64<RETENTION>;
	type WeightInfo = crate::ConservativeWeights<Runtime>;
}

pub const GENESIS: H256 = H256::repeat_byte(0x9e);

/// An enclave with the keys of one boot.
pub struct Enclave {
	pub pair: sr25519::Pair,
	pub boot: BootNumber,
}

impl Enclave {
	/// Takes over [`WORKER`] as its newest boot.
	pub fn boots(number: BootNumber) -> Self {
		let pair = sr25519::Pair::from_seed(&[number as u8; 32]);
		CurrentBoot::set(Some(Boot {
			number,
			keys: BootKeys { identity: pair.public().0, encryption: [0; 32] },
			evidence: EvidenceKind::Software,
			measurement: H256::zero(),
			registered_at: 0,
			expires_at: u32::MAX,
		}));
		Mailbox::open_inbound(WORKER, number);
		Self { pair, boot: number }
	}

	pub fn says(&self, seq: u64, payload: &Payload) -> Envelope {
		self.says_bytes(GENESIS, seq, payload.encode())
	}

	pub fn says_bytes(&self, genesis: H256, seq: u64, payload: Vec<u8>) -> Envelope {
		let mut envelope =
			Envelope { genesis, worker: WORKER, boot: self.boot, seq, payload, signature: [0; 64] };
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
		CurrentBoot::set(None);
	});
	ext
}
