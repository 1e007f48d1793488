//! Blocks as a validator makes them: headers with a slot, the time, signed extrinsics.

use super::Random;
use crate::{test_support::transactions, *};
use phala_protocol::{mailbox::Envelope, H256};
use sp_consensus_babe::digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest};
use sp_core::{sr25519, Pair};
use sp_runtime::{generic::DigestItem, traits::Header as _, ApplyExtrinsicResult, Digest};

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
		let nonce = System::account_nonce(&account);
		let sign = |bytes: &[u8]| signer.sign(bytes).0;
		Executive::apply_extrinsic(transactions::signed(account, nonce, call, sign)?)
	}

	/// An enclave's, as a relayer brings it.
	pub fn relay(&mut self, envelope: Envelope) -> ApplyExtrinsicResult {
		Executive::apply_extrinsic(transactions::envelope(envelope))
	}
}
