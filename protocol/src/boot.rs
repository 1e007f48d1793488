//! Workers, boots, and the statement that attestation evidence is bound to.
//!
//! A **worker** is a registered place in the network, with an operator, stake and history, whatever
//! role it has. A **boot** is one life of the process in it: its keys are made in memory at start and never stored.

use crate::{domains, hash_of, AccountBytes, BlockNumber, H256};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A worker's number, from 0 in the order of registration.
pub type WorkerId = u32;

/// The number of a boot within its worker, from 1. 0 means that the worker never booted.
pub type BootNumber = u32;

/// The public keys of one boot.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct BootKeys {
	/// sr25519: signs envelopes and answers (the *WorkerKey*).
	pub identity: [u8; 32],
	/// X25519: others seal to it.
	pub encryption: [u8; 32],
}

/// What evidence vouches for. Its hash fills the first half of the evidence's report data.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct BootStatement {
	domain: domains::Domain,
	genesis: H256,
	worker: WorkerId,
	operator: AccountBytes,
	keys: BootKeys,
	recent_block: H256,
}

impl BootStatement {
	/// `recent_block` is the hash of a block at most
	/// [`crate::limits::EVIDENCE_BLOCK_AGE_MAX`] blocks old when the chain sees it.
	pub fn new(
		genesis: H256,
		worker: WorkerId,
		operator: AccountBytes,
		keys: BootKeys,
		recent_block: H256,
	) -> Self {
		Self { domain: domains::BOOT_STATEMENT, genesis, worker, operator, keys, recent_block }
	}

	/// 64 bytes for a TEE's report: the statement's hash, then 32 zero bytes.
	pub fn report_data(&self) -> [u8; 64] {
		let mut report_data = [0; 64];
		report_data[..32].copy_from_slice(hash_of(self).as_bytes());
		report_data
	}
}

/// A worker, as chain storage holds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct WorkerRecord {
	/// Who runs the machine, pays for registration and put the stake.
	pub operator: AccountBytes,
	/// The machine, known from the first evidence on.
	pub platform: Option<crate::evidence::PlatformId>,
	/// Number of the latest boot; 0 before the first.
	pub boots: BootNumber,
}

/// A worker's current boot, as chain storage holds it.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Boot {
	/// Its number within the worker.
	pub number: BootNumber,
	/// Its public keys.
	pub keys: BootKeys,
	/// What kind of evidence vouches for it.
	pub evidence: crate::evidence::EvidenceKind,
	/// Measurement of the code that runs in it.
	pub measurement: crate::evidence::Measurement,
	/// Block of its registration.
	pub registered_at: BlockNumber,
	/// From this block on it is suspended, unless renewed before.
	pub expires_at: BlockNumber,
}
