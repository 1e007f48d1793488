//! An answer with all that proves it, as JSON. Bytes are `0x` and lower-case hexadecimal digits,
//! and nothing stands in it that is not checked.

use alloc::{
	format,
	string::{String, ToString},
	vec::Vec,
};
use codec::Encode;
use phala_light_client::LightClientError;
use phala_protocol::{
	agents::AgentId,
	requests::{CallInput, ProvenAnswer, RequestId},
	BlockNumber, H256,
};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};

/// Why a file or a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
	/// Not the JSON of an [`AnswerFile`].
	#[error("it is no answer of the form {FORMAT}: {reason}")]
	NotAnswerFile { reason: String },
	/// Not what it should be.
	#[error("{what} cannot be read: {reason}")]
	Unreadable { what: &'static str, reason: String },
	/// It does not lead from the pinned block 0 to what it should prove.
	#[error(transparent)]
	NotProven(#[from] LightClientError),
	/// Proven: there is none.
	#[error("no agent has the id {agent:?} on this chain, as of finalized block {block}")]
	UnknownAgent { agent: AgentId, block: BlockNumber },
}

/// What [`AnswerFile::format`] says.
pub const FORMAT: &str = "phala-answer/2";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AnswerFile {
	/// [`FORMAT`].
	pub format: String,
	/// Hash of the chain's block 0.
	pub genesis: HexBytes,
	/// SCALE of the `CallInput`.
	pub input: HexBytes,
	/// SCALE of the `CallOutput`.
	pub output: HexBytes,
	/// Of both hashes in the proof.
	pub salt: HexBytes,
	/// SCALE of the `SignedAnswer`.
	pub proof: HexBytes,
	/// For a request that went through the chain.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub request: Option<RequestEvidence>,
	/// What the chain says of the boot, the code and the request.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub chain: Option<ChainEvidence>,
	/// What the boot's platform says of it.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub report: Option<ReportEvidence>,
}

/// Ties an answer to a request on the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestEvidence {
	pub id: HexBytes,
	/// Opens the answer that the chain keeps, and it alone. `None` for a public one.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub reply: Option<ReplyEvidence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReplyEvidence {
	pub nonce: HexBytes,
	pub secret: HexBytes,
}

/// From block 0 to a newer final block, and of the state there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChainEvidence {
	/// SCALE of the `GenesisBundle`.
	pub genesis_bundle: HexBytes,
	/// SCALE of the `Vec<FinalityStep>`.
	pub finality: HexBytes,
	/// SCALE of the `StateProof`.
	pub state_proof: HexBytes,
}

/// Fresh evidence: its nonce is the answer's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReportEvidence {
	/// SCALE of the `Evidence`.
	pub evidence: HexBytes,
}

impl AnswerFile {
	/// Reads the JSON of one.
	///
	/// # Errors
	/// [`VerifierError::NotAnswerFile`], also for one with more in it than is checked.
	pub fn from_json(json: &[u8]) -> Result<Self, VerifierError> {
		serde_json::from_slice(json)
			.map_err(|error| VerifierError::NotAnswerFile { reason: error.to_string() })
	}

	/// An answer without what the chain and the platform say of it.
	pub fn new(genesis: H256, input: &CallInput, answer: &ProvenAnswer) -> Self {
		Self {
			format: FORMAT.into(),
			genesis: HexBytes(genesis.0.to_vec()),
			input: HexBytes(input.encode()),
			output: HexBytes(answer.output.encode()),
			salt: HexBytes(answer.salt.into()),
			proof: HexBytes(answer.proof.encode()),
			request: None,
			chain: None,
			report: None,
		}
	}

	/// The same, of a request that went through the chain.
	pub fn of_request(self, id: RequestId, reply: Option<ReplyEvidence>) -> Self {
		let request = RequestEvidence { id: HexBytes(id.0.into()), reply };
		Self { request: Some(request), ..self }
	}
}

/// Bytes in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl HexBytes {
	/// Exactly `N` bytes.
	pub fn exactly<const N: usize>(&self) -> Option<[u8; N]> {
		self.0.as_slice().try_into().ok()
	}
}

impl Serialize for HexBytes {
	fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
		to.serialize_str(&format!("0x{}", hex::encode(&self.0)))
	}
}

impl<'de> Deserialize<'de> for HexBytes {
	/// One way to write the same bytes, so that nothing in a file can be changed unnoticed.
	fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
		let text = String::deserialize(from)?;
		let digits = text.strip_prefix("0x").filter(|digits| {
			digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
		});
		let bytes = digits.and_then(|digits| hex::decode(digits).ok());
		bytes.map(Self).ok_or_else(|| {
			D::Error::custom("bytes are 0x and an even number of lower-case hexadecimal digits")
		})
	}
}
