//! The kinds of attestation evidence, as they travel from an enclave to the chain.
//!
//! Verification is in `enclave/attestation`; here is only the data.

use crate::{domains, BlockNumber, H256};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Identity of the code in an enclave: MRENCLAVE, a hash over the TD's measurements, or for
/// software evidence BLAKE2-256 of the running binary.
pub type Measurement = H256;

/// Identity of one machine: one machine, one worker.
pub type PlatformId = H256;

/// Whether code may run in this network.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct MeasurementRule {
	/// First block at which it is no longer allowed.
	pub until: Option<BlockNumber>,
}

impl MeasurementRule {
	/// Whether the code may run at block `now`.
	pub fn allows(&self, now: BlockNumber) -> bool {
		self.until.is_none_or(|until| now < until)
	}
}

/// Which verifier an [`Evidence`] is for.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum EvidenceKind {
	/// Development only: vouches for nothing but a signature by a published key.
	#[codec(index = 255)]
	Software,
}

/// Evidence that certain keys live in a certain enclave.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Evidence {
	/// Development only. Refused wherever the chain names no software attestation key.
	#[codec(index = 255)]
	Software(SoftwareEvidence),
}

impl Evidence {
	/// Which verifier this is for.
	pub fn kind(&self) -> EvidenceKind {
		match self {
			Self::Software(_) => EvidenceKind::Software,
		}
	}
}

/// What a software "platform" reports, with the fields of a hardware report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SoftwareReport {
	/// BLAKE2-256 of the running binary.
	pub measurement: Measurement,
	/// Chosen by the operator, since software has no identity of its own.
	pub platform: PlatformId,
	/// See [`crate::boot::BootStatement::report_data`].
	pub report_data: [u8; 64],
	/// As a TEE's debug attribute: an enclave that can be looked into is never accepted.
	pub debug: bool,
}

/// A [`SoftwareReport`] signed by the development attestation key named in genesis.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SoftwareEvidence {
	/// What is vouched for.
	pub report: SoftwareReport,
	/// sr25519 (context `substrate`) over [`SoftwareReportContent`].
	pub signature: [u8; 64],
}

/// What the development attestation key signs.
#[derive(Encode)]
pub struct SoftwareReportContent<'a> {
	domain: domains::Domain,
	report: &'a SoftwareReport,
}

impl<'a> SoftwareReportContent<'a> {
	/// The signed content, under its domain.
	pub fn new(report: &'a SoftwareReport) -> Self {
		Self { domain: domains::SOFTWARE_REPORT, report }
	}
}

/// sr25519 seed of the development attestation key. **Published on purpose**: anybody can sign
/// software evidence, which is why only development networks name this root in genesis.
pub const DEVELOPMENT_ROOT_SEED: [u8; 32] = *b"phala development evidence root!";

/// Public key of [`DEVELOPMENT_ROOT_SEED`].
pub const DEVELOPMENT_ROOT_PUBLIC: [u8; 32] = [
	26, 48, 158, 160, 85, 207, 202, 89, 21, 50, 146, 248, 158, 160, 118, 230, 12, 85, 157, 93, 40,
	26, 2, 120, 239, 142, 162, 46, 254, 25, 97, 107,
];
