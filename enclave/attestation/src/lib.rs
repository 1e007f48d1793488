//! Verifies attestation evidence, for the chain's runtime and for enclaves alike.
//!
//! Four verdicts that are never blurred, each a type that can only be made from the one before:
//!
//! | verdict | type | says |
//! |---|---|---|
//! | parsed | [`Evidence`] | the bytes are well formed |
//! | signed | [`SignedReport`] | a root that we trust vouches for the report |
//! | bound | [`BoundReport`] | the report is about these keys, this worker, this chain, now |
//! | policy-met | [`AcceptedReport`] | the code may run here and cannot be looked into |
//!
//! Pure and `no_std`: roots, policy and signature verification are arguments, so that the runtime
//! can use host functions.
//!
//! [`EvidenceKind::Software`] proves nothing about hardware. It is verified only with the feature
//! `software-evidence` **and** where the roots name a software attestation key.

#![cfg_attr(not(feature = "std"), no_std)]
// Anybody brings evidence: nothing here panics, whatever it says.
#![cfg_attr(
	not(test),
	deny(
		clippy::arithmetic_side_effects,
		clippy::expect_used,
		clippy::indexing_slicing,
		clippy::panic,
		clippy::unreachable,
		clippy::unwrap_used
	)
)]

use phala_protocol::{
	evidence::{Evidence, EvidenceKind, Measurement, PlatformId, SoftwareReport},
	H256,
};
#[cfg(feature = "software-evidence")]
use {
	codec::Encode,
	phala_protocol::evidence::{SoftwareEvidence, SoftwareReportContent},
};

/// Why evidence was refused, and by which of the four verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
	/// Not signed.
	#[error("evidence kind {0:?} is not accepted here: this network names no root for it")]
	KindNotAccepted(EvidenceKind),
	/// Not signed.
	#[error("the evidence is not signed by its root of trust")]
	BadSignature,
	/// Not bound.
	#[error(
		"the evidence is bound to other keys, worker, operator, chain or block: its report data is {found:?}, {expected:?} was expected"
	)]
	NotBound {
		/// First half of the report data that was expected.
		expected: H256,
		/// First half of the report data that was found.
		found: H256,
	},
	/// Not policy-met.
	#[error(
		"the enclave runs in debug mode and can be looked into; a production mode is accepted"
	)]
	Debuggable,
	/// Not policy-met.
	#[error("measurement {0:?} is not on the allow-list")]
	MeasurementNotAllowed(Measurement),
}

/// Verifies an sr25519 signature (context `substrate`) over `message`.
pub type VerifySr25519 = fn(signature: &[u8; 64], message: &[u8], public: &[u8; 32]) -> bool;

/// In whom the verifier trusts.
#[derive(Clone, Copy, Debug)]
pub struct Roots {
	/// sr25519 public key that signs software reports; `None` refuses them all.
	pub software: Option<[u8; 32]>,
	pub verify_sr25519: VerifySr25519,
}

/// A report that a trusted root vouches for. It may be about anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReport {
	kind: EvidenceKind,
	report: SoftwareReport,
}

/// A signed report about exactly the statement that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundReport(SignedReport);

/// What is left to know about evidence once it passed all four verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedReport {
	pub kind: EvidenceKind,
	pub measurement: Measurement,
	/// The machine that it runs on.
	pub platform: PlatformId,
}

impl SignedReport {
	/// Second verdict: `evidence` is vouched for by one of `roots`.
	pub fn verify(evidence: &Evidence, roots: &Roots) -> Result<Self, EvidenceError> {
		match evidence {
			#[cfg(feature = "software-evidence")]
			Evidence::Software(SoftwareEvidence { report, signature }) => {
				let root =
					roots.software.ok_or(EvidenceError::KindNotAccepted(EvidenceKind::Software))?;
				let content = SoftwareReportContent::new(report).encode();
				if !(roots.verify_sr25519)(signature, &content, &root) {
					return Err(EvidenceError::BadSignature);
				}
				Ok(Self { kind: EvidenceKind::Software, report: report.clone() })
			}
			#[cfg(not(feature = "software-evidence"))]
			Evidence::Software(_) => {
				let _ = roots;
				Err(EvidenceError::KindNotAccepted(EvidenceKind::Software))
			}
		}
	}

	/// Third verdict: the report carries `report_data`.
	pub fn bind(self, report_data: &[u8; 64]) -> Result<BoundReport, EvidenceError> {
		if self.report.report_data != *report_data {
			return Err(EvidenceError::NotBound {
				expected: H256::from_slice(&report_data[..32]),
				found: H256::from_slice(&self.report.report_data[..32]),
			});
		}
		Ok(BoundReport(self))
	}
}

impl BoundReport {
	/// Fourth verdict: not debuggable, and `is_allowed` its measurement.
	pub fn meet_policy(
		self,
		is_allowed: impl FnOnce(&Measurement) -> bool,
	) -> Result<AcceptedReport, EvidenceError> {
		let SignedReport { kind, report } = self.0;
		if report.debug {
			return Err(EvidenceError::Debuggable);
		}
		if !is_allowed(&report.measurement) {
			return Err(EvidenceError::MeasurementNotAllowed(report.measurement));
		}
		Ok(AcceptedReport { kind, measurement: report.measurement, platform: report.platform })
	}
}

/// All four verdicts at once, over parsed evidence; the error is the first that fails.
pub fn verify(
	evidence: &Evidence,
	roots: &Roots,
	report_data: &[u8; 64],
	is_allowed: impl FnOnce(&Measurement) -> bool,
) -> Result<AcceptedReport, EvidenceError> {
	SignedReport::verify(evidence, roots)?.bind(report_data)?.meet_policy(is_allowed)
}

#[cfg(test)]
mod tests;
