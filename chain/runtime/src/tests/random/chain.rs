//! Blocks as a validator makes them: headers with a slot, the time, signed extrinsics.

use super::Random;
use crate::*;
use codec::Encode;
use frame_metadata_hash_extension::CheckMetadataHash;
use phala_protocol::{mailbox::Envelope, H256};
use sp_consensus_babe::digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest};
use sp_core::{sr25519, Pair};
use sp_runtime::{
	generic::{DigestItem, Era},
	traits::Header as _,
	ApplyExtrinsicResult, Digest,
};

/// The slot before the first block's: some time in 2023.
const FIRST_SLOT: u64 = 850_000_000;

/// The chain's newest block.
pub struct Chain {
	slot: u64,
	parent: H256,
}

impl Chain {
	/// Before block 1.
	pub fn begin() -> Self {
		Self { slot: FIRST_SLOT, parent: H256::repeat_byte(0x6e) }
	}

	/// Some slots stay empty.
	pub fn open_block(&mut self, random: &mut Random) {
		self.slot += 1 + if random.one_in(10) { random.below(3) } else { 0 };
		let validators = Session::validators().len() as u64;
		let authority_index = (self.slot % validators.max(1)) as u32;
		let claim = SecondaryPlainPreDigest { authority_index, slot: self.slot.into() };
		let claim = DigestItem::babe_pre_digest(PreDigest::SecondaryPlain(claim));
		let number = System::block_number() + 1;
		let header = Header::new(
			number,
			H256::zero(),
			H256::zero(),
			self.parent,
			Digest { logs: vec![claim] },
		);
		Executive::initialize_block(&header);
		let now = self.slot * time::BLOCK_MILLISECONDS;
		let time = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now });
		Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(time))
			.expect("the inherent is valid")
			.expect("the time goes on");
		// As the first transaction does it.
		Executive::inherents_applied();
	}

	pub fn close_block(&mut self) {
		self.parent = Executive::finalize_block().hash();
	}

	/// A user's extrinsic.
	pub fn submit(&mut self, signer: &sr25519::Pair, call: RuntimeCall) -> ApplyExtrinsicResult {
		let account = AccountId::from(signer.public());
		let extensions = extensions(System::account_nonce(&account));
		let payload = SignedPayload::new(call.clone(), extensions.clone())?;
		let signature = payload.using_encoded(|bytes| signer.sign(bytes));
		Executive::apply_extrinsic(UncheckedExtrinsic::new_signed(
			call,
			account.into(),
			signature.into(),
			extensions,
		))
	}

	/// An enclave's, as a relayer brings it.
	pub fn relay(&mut self, envelope: Envelope) -> ApplyExtrinsicResult {
		let call = RuntimeCall::Mailbox(pallet_mailbox::Call::submit_envelope { envelope });
		Executive::apply_extrinsic(UncheckedExtrinsic::new_transaction(call, extensions(0)))
	}
}

fn extensions(nonce: Nonce) -> TransactionExtensions {
	(
		frame_system::AuthorizeCall::new(),
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		frame_system::CheckEra::from(Era::Immortal),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
		pallet_transaction_payment::ChargeTransactionPayment::from(0),
		CheckMetadataHash::new(false),
		frame_system::WeightReclaim::new(),
	)
}
