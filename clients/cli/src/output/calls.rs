//! Of `phala call`, `request` and `verify`: questions, answers, proofs, payments.

use super::{
	agents::WorkerAt,
	words::{Account, Amount, Hash},
	ErrorBody,
};
use crate::calls::ending::Settled;
use phala_protocol::{
	agents::StateVersion,
	boot::{BootNumber, WorkerId},
	requests::{CallInput, CallOutput, SignedAnswer},
	BlockNumber,
};
use phala_verifier::check;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What an agent was asked.
#[derive(Serialize, JsonSchema)]
pub struct Question {
	pub method: String,
	pub path: String,
	/// Names and values.
	pub headers: Vec<(String, String)>,
	/// JSON if it is, else a text, else `0x` and hexadecimal digits.
	pub body: Value,
}

/// What an agent answered.
#[derive(Serialize, JsonSchema)]
pub struct Answer {
	/// HTTP's.
	pub status: u16,
	/// Names and values.
	pub headers: Vec<(String, String)>,
	/// JSON if it is, else a text, else `0x` and hexadecimal digits.
	pub body: Value,
}

/// What the boot signed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
	/// The answer's name: its worker has the signature at `/v1/signature/{id}`.
	pub id: Hash,
	pub worker: WorkerId,
	pub boot: BootNumber,
	pub agent: Hash,
	/// Hash of the component that ran.
	pub code: Hash,
	/// Hash of its manifest.
	pub manifest: Hash,
	/// Of the state that the run saw, or that its writes made.
	pub state_version: StateVersion,
	/// The newest block that was final to the boot.
	pub block: BlockNumber,
	/// How many inputs of the run nobody answers for.
	pub unproven_inputs: u32,
}

/// One check of an answer's proof.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Check {
	/// What is checked.
	pub name: String,
	pub verdict: Verdict,
	/// For people: what was found, or why it was refused.
	pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
	Ok,
	Refused,
	/// The answer does not rest on it: there is nothing to check, or it does not hold any more of an answer that the
	/// chain itself took while it held.
	Absent,
}

/// An answer, and what came of checking its proof.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
	/// None of an answer that is not proven.
	pub answer: Option<Answer>,
	/// What the answer says that was signed; it counts once `verified`.
	pub proof: Proof,
	pub verified: bool,
	/// Up to the first that refused.
	pub checks: Vec<Check>,
	/// Why the answer was not saved, though it was to be.
	pub save_error: Option<ErrorBody>,
}

/// A direct call's answer.
#[derive(Serialize, JsonSchema)]
pub struct DirectAnswer {
	/// Who answered.
	pub worker: WorkerAt,
	/// From the question to the checked answer.
	pub seconds: f64,
	#[serde(flatten)]
	pub checked: Checked,
}

/// A request's end.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettledRequest {
	pub request: Hash,
	#[schemars(extend("const" = "settled"))]
	pub state: RequestState,
	/// The block.
	pub settled_in: BlockNumber,
	pub paid: Paid,
	/// Paid besides, when it was submitted, and not refunded; none of what an older `phala` submitted.
	pub base_fee: Option<Amount>,
	/// From the submission to the checked answer. Told by the command that submitted it.
	pub seconds: Option<f64>,
	#[serde(flatten)]
	pub checked: Checked,
}

/// A request that waits for its answer.
#[derive(Serialize, JsonSchema)]
pub struct OpenRequest {
	pub request: Hash,
	#[schemars(extend("const" = "open"))]
	pub state: RequestState,
	/// Who must answer.
	pub worker: WorkerId,
	/// The last block in which the answer counts.
	pub deadline: BlockNumber,
}

/// A request that is in no block yet.
#[derive(Serialize, JsonSchema)]
pub struct RequestOnItsWay {
	/// Its transaction's hash, by which it is asked for until it has an id.
	pub transaction: Hash,
	#[schemars(extend("const" = "submitted"))]
	pub state: RequestState,
	/// The last block that it can get into.
	pub until: BlockNumber,
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum RequestState {
	/// In no block yet.
	Submitted,
	/// On the chain, and not answered yet.
	Open,
	/// Answered and paid.
	Settled,
	/// It gave the agent a secret, and the agent has it.
	Taken,
}

/// A request that gave an agent a secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTaken {
	pub request: Hash,
	#[schemars(extend("const" = "taken"))]
	pub state: RequestState,
	/// Since which the agent has it.
	pub block: BlockNumber,
	/// What was paid for the work.
	pub fee: Amount,
	/// Paid besides for submitting it.
	pub base_fee: Option<Amount>,
}

/// `phala call --on-chain --no-wait`.
#[derive(Serialize, JsonSchema)]
pub struct SubmittedRequest {
	pub request: Hash,
	/// In which it is.
	pub block: BlockNumber,
	/// The last block in which the answer counts.
	pub deadline: BlockNumber,
}

/// `phala call`: directly, through the chain, and through the chain with `--no-wait`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Called {
	Direct(Box<DirectAnswer>),
	OnChain(Box<SettledRequest>),
	Submitted(SubmittedRequest),
}

/// `phala request status`.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RequestStatus {
	Settled(Box<SettledRequest>),
	Open(OpenRequest),
	OnItsWay(RequestOnItsWay),
	Secret(SecretTaken),
}

/// `phala request list`.
#[derive(Serialize, JsonSchema)]
pub struct RequestList {
	/// The newest first.
	pub requests: Vec<ListedRequest>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedRequest {
	/// Its id, or the hash of its transaction while it has none.
	pub request: Hash,
	/// Name of the account's folder: that of an account of this machine, or an address.
	pub account: String,
	pub agent: Hash,
	/// None of secrets.
	pub method: Option<String>,
	/// None of secrets.
	pub path: Option<String>,
	/// In which it is; none while it is on its way.
	pub block: Option<BlockNumber>,
	pub outcome: RequestOutcome,
	/// What it cost beside the base fee, if it was answered or failed.
	pub fee: Option<Amount>,
	/// What was paid for submitting it, whatever became of it; none while it is in no block, and of what an older
	/// `phala` submitted.
	pub base_fee: Option<Amount>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestOutcome {
	/// It is in no block yet.
	OnItsWay,
	/// It waits for its answer.
	Open,
	/// It was answered and paid.
	Answered,
	/// The run ended with a refusal or a limit; what it used was paid.
	Failed,
	/// Nobody answered, and what was put up came back.
	Refunded,
	/// The chain has forgotten it: it came to its end long ago.
	Forgotten,
}

/// `phala verify`.
#[derive(Serialize, JsonSchema)]
pub struct VerifiedFile {
	pub verified: bool,
	/// The check that refused.
	pub refused: Option<String>,
	/// The checks that the answer does not rest on.
	pub absent: Vec<String>,
	/// Up to the first that refused.
	pub checks: Vec<Check>,
	/// None of a file that was refused.
	pub question: Option<Question>,
	/// None of a file that was refused.
	pub answer: Option<Answer>,
	/// None of a file that was refused.
	pub proof: Option<Proof>,
}

/// What was paid, and to whom, if the node still has the events of the block in which it was.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Paid {
	/// Of work.
	pub units: u32,
	pub fee: Amount,
	pub worker: Option<Share>,
	pub developer: Option<Share>,
	pub treasury: Option<TreasuryShare>,
	pub refunded: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Share {
	/// None when its worker is gone.
	pub account: Option<Account>,
	pub amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TreasuryShare {
	pub amount: Amount,
}

impl From<&Settled> for Paid {
	fn from(settled: &Settled) -> Self {
		let Settled { units, fee, refunded, shares, .. } = settled;
		let shares = shares.as_ref();
		Self {
			units: *units,
			fee: Amount(*fee),
			worker: shares.map(|paid| Share {
				account: paid.worker.map(Account),
				amount: Amount(paid.worker_paid),
			}),
			developer: shares.map(|paid| Share {
				account: Some(Account(paid.developer)),
				amount: Amount(paid.developer_paid),
			}),
			treasury: shares.map(|paid| TreasuryShare { amount: Amount(paid.treasury_paid) }),
			refunded: Amount(*refunded),
		}
	}
}

impl From<&CallInput> for Question {
	fn from(input: &CallInput) -> Self {
		Self {
			method: text(&input.method),
			path: text(&input.path),
			headers: headers(&input.headers),
			body: body(&input.body),
		}
	}
}

impl From<&CallOutput> for Answer {
	fn from(output: &CallOutput) -> Self {
		Self { status: output.status, headers: headers(&output.headers), body: body(&output.body) }
	}
}

impl From<&SignedAnswer> for Proof {
	fn from(proof: &SignedAnswer) -> Self {
		let content = &proof.content;
		Self {
			id: proof.id().into(),
			worker: content.worker,
			boot: content.boot,
			agent: content.agent.into(),
			code: content.code.component.into(),
			manifest: content.code.manifest.into(),
			state_version: content.state_version,
			block: content.block,
			unproven_inputs: content.unproven_inputs,
		}
	}
}

impl From<&check::Check> for Check {
	fn from(check: &check::Check) -> Self {
		let verdict = match check.verdict {
			check::Verdict::Ok => Verdict::Ok,
			check::Verdict::Refused => Verdict::Refused,
			check::Verdict::Absent => Verdict::Absent,
		};
		Self { name: check.name.into(), verdict, detail: check.detail.clone() }
	}
}

fn headers(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(String, String)> {
	headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// JSON if it is, else text, else hexadecimal.
pub fn body(body: &[u8]) -> Value {
	match (serde_json::from_slice(body), std::str::from_utf8(body)) {
		(Ok(json), _) => json,
		(_, Ok(text)) => text.into(),
		_ => format!("0x{}", hex::encode(body)).into(),
	}
}

fn text(bytes: &[u8]) -> String {
	String::from_utf8_lossy(bytes).into_owned()
}
