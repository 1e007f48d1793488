//! GRANDPA justifications that can be bent before they are encoded.

use super::TestHeader;
use codec::{Compact, Encode};
use ed25519_zebra::{SigningKey, VerificationKey};
use phala_protocol::{BlockNumber, H256};

/// A block that is voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct Target {
	pub hash: H256,
	pub number: BlockNumber,
}

impl From<&TestHeader> for Target {
	fn from(header: &TestHeader) -> Self {
		Self { hash: header.hash(), number: header.number }
	}
}

/// One precommit, signed when the justification is encoded.
#[derive(Clone)]
pub struct Vote {
	pub signer: SigningKey,
	pub target: Target,
}

/// A justification before it is signed and encoded.
#[derive(Clone)]
pub struct Justification {
	pub round: u64,
	pub set_id: u64,
	pub target: Target,
	pub votes: Vec<Vote>,
	/// Headers between the target and what was voted for.
	pub ancestry: Vec<TestHeader>,
}

impl Justification {
	/// All of `signers` vote for `target`.
	pub fn by(signers: &[SigningKey], set_id: u64, target: Target) -> Self {
		let votes = signers.iter().map(|signer| Vote { signer: *signer, target }).collect();
		Self { round: 1 + u64::from(target.number), set_id, target, votes, ancestry: vec![] }
	}

	/// As `sc_consensus_grandpa::GrandpaJustification`.
	pub fn encode(&self) -> Vec<u8> {
		let mut bytes = (self.round, self.target).encode();
		Compact(self.votes.len() as u32).encode_to(&mut bytes);
		for Vote { signer, target } in &self.votes {
			let content = (1u8, target, self.round, self.set_id).encode();
			let signature: [u8; 64] = signer.sign(&content).into();
			let voter: [u8; 32] = VerificationKey::from(signer).into();
			(target, signature, voter).encode_to(&mut bytes);
		}
		Compact(self.ancestry.len() as u32).encode_to(&mut bytes);
		for header in &self.ancestry {
			bytes.extend(header.encode());
		}
		bytes
	}
}
