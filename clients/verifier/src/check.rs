//! The checks. The first check that fails ends it: what comes after would rest on it.

use crate::file::{AnswerFile, ChainEvidence, HexBytes, RequestEvidence, FORMAT};
use alloc::{
	format,
	string::{String, ToString},
	vec::Vec,
};
use codec::{DecodeAll, Encode};
use core::fmt;
use phala_attestation::Roots;
use phala_keys::{
	hpke::{DecryptionKey, Sealed},
	reply::{open_reply, ReplyContext},
	secret::Secret32,
	sr25519,
};
use phala_light_client::{
	limits::STEPS_PER_BUNDLE_MAX, LightClient, LightClientError, ProvenState,
};
use phala_protocol::{
	agents::{AgentCode, AgentRecord},
	boot::Boot,
	caller::Caller,
	evidence::{Evidence, EvidenceKind, MeasurementRule},
	relay::{FinalityStep, GenesisBundle, StateProof},
	requests::{
		salted_hash, AnswerContent, CallInput, CallOutput, ProvenAnswer, ReportStatement, Request,
		RequestId, RequestKind, RequestOutcome, RequestState, SignedAnswer,
	},
	storage_keys,
	text::{pha, Address},
	H256,
};
use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
	Ok,
	Refused,
	/// There is nothing to check; the answer does not rest on it.
	Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
	pub name: &'static str,
	pub verdict: Verdict,
	/// What was found, or why it was refused.
	pub detail: String,
}

/// All checks, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
	pub verified: bool,
	pub checks: Vec<Check>,
}

impl Verification {
	/// The check that failed.
	pub fn refused(&self) -> Option<&Check> {
		self.checks.iter().find(|check| check.verdict == Verdict::Refused)
	}
}

impl fmt::Display for Verification {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		for Check { name, verdict, detail } in &self.checks {
			let mark = match verdict {
				Verdict::Ok => "✓",
				Verdict::Refused => "✗",
				Verdict::Absent => "-",
			};
			writeln!(to, "  {mark} {name:<11} {detail}")?;
		}
		match self.refused() {
			None => writeln!(to, "  verified: every check holds"),
			Some(check) => writeln!(to, "  REFUSED by the check of its {}", check.name),
		}
	}
}

/// What a kind of evidence is worth.
pub fn evidence_worth(kind: EvidenceKind) -> &'static str {
	match kind {
		EvidenceKind::Software => "Software (development only: proves nothing about the machine)",
	}
}

/// The facts of the chain that the checks read: whoever collects the proofs of an answer asks a node
/// to prove these. `boot` is that of the worker that answered, as the chain has it.
pub fn needed_keys(
	content: &AnswerContent,
	boot: Option<&Boot>,
	request: Option<RequestId>,
) -> Vec<Vec<u8>> {
	let mut keys: Vec<Vec<u8>> = [
		storage_keys::registry_boot(content.worker),
		storage_keys::agents_agent(content.agent),
		storage_keys::registry_software_root(),
	]
	.into();
	keys.extend(boot.map(|boot| storage_keys::registry_measurement(boot.measurement)));
	if let Some(id) = request {
		keys.extend([storage_keys::requests_request(id), storage_keys::requests_response(id)]);
	}
	keys
}

/// Checks an answer under the chain whose block 0 has the hash `pinned`.
pub fn verify(file: &AnswerFile, pinned: H256) -> Verification {
	let mut checks = Checks::default();
	let verified = checks.all(file, pinned).is_some();
	Verification { verified, checks: checks.0 }
}

#[derive(Default)]
struct Checks(Vec<Check>);

/// A check's detail, and what later ones build on; or why it was refused.
type Found<T> = Result<(T, String), String>;

impl Checks {
	fn note<T>(&mut self, name: &'static str, found: Found<T>) -> Option<T> {
		let (verdict, detail, value) = match found {
			Ok((value, detail)) => (Verdict::Ok, detail, Some(value)),
			Err(why) => (Verdict::Refused, why, None),
		};
		self.0.push(Check { name, verdict, detail });
		value
	}

	fn absent(&mut self, name: &'static str, detail: &str) {
		self.0.push(Check { name, verdict: Verdict::Absent, detail: detail.into() });
	}

	fn all(&mut self, file: &AnswerFile, pinned: H256) -> Option<()> {
		let proven = self.note("form", form(file))?;
		let content = &proven.proof.content;
		self.note("chain", chain(file, content, pinned))?;
		let state = self.note("finality", finality(file.chain.as_ref(), content, pinned))?;
		let boot = self.note("boot", boot(&state, content))?;
		self.note("signature", signature(&proven.proof, &boot))?;
		self.note("measurement", measurement(&state, &boot))?;
		match &file.report {
			Some(report) => {
				let found = evidence(&state, &proven.proof, &boot, &report.evidence);
				self.note("evidence", found)?
			}
			None => self.absent(
				"evidence",
				&format!("the worker's own report is not in the file; the chain took the boot by evidence of kind {}", evidence_worth(boot.evidence)),
			),
		}
		self.note("code", code(&state, content))?;
		self.note(
			"question",
			hashed("question", proven.salt, &file.input.0, content.request_hash),
		)?;
		self.note("answer", hashed("answer", proven.salt, &file.output.0, content.response_hash))?;
		match &file.request {
			Some(request) => self.note("request", settled(&state, &proven, request, pinned))?,
			None => self.absent(
				"request",
				"a direct call: it shows that this run was, the chain does not know of it",
			),
		}
		Some(())
	}
}

fn read<T: DecodeAll>(what: &str, bytes: &[u8]) -> Result<T, String> {
	T::decode_all(&mut &bytes[..]).map_err(|error| format!("{what} cannot be read: {error}"))
}

fn form(file: &AnswerFile) -> Found<ProvenAnswer> {
	if file.format != FORMAT {
		return Err(format!("the format {:?} is not {FORMAT:?}", file.format));
	}
	let _: CallInput = read("the question", &file.input.0)?;
	let output: CallOutput = read("the answer", &file.output.0)?;
	let proof: SignedAnswer = read("the proof", &file.proof.0)?;
	let salt = file.salt.exactly().ok_or("the salt has not 32 bytes")?;
	let detail = format!("HTTP status {}, {} bytes", output.status, output.body.len());
	Ok((ProvenAnswer { output, salt, proof }, detail))
}

fn chain(file: &AnswerFile, content: &AnswerContent, pinned: H256) -> Found<()> {
	if file.genesis.0 != pinned.0 {
		return Err(format!(
			"the file is about the chain 0x{}, you trust {pinned:?}",
			hex::encode(&file.genesis.0)
		));
	}
	if content.genesis != pinned {
		return Err(format!("the answer was given on the chain {:?}", content.genesis));
	}
	Ok(((), format!("{pinned:?}, as you pinned it")))
}

pub(crate) fn finality(
	evidence: Option<&ChainEvidence>,
	content: &AnswerContent,
	pinned: H256,
) -> Found<ProvenState> {
	let evidence = evidence.ok_or(
		"the file has nothing of the chain in it: give --node, which fetches it while the boot lives",
	)?;
	let bundle: GenesisBundle = read("block 0", &evidence.genesis_bundle.0)?;
	let steps: Vec<FinalityStep> = read("finality", &evidence.finality.0)?;
	let proof: StateProof = read("the state proof", &evidence.state_proof.0)?;
	let refused = |error: LightClientError| error.to_string();
	let mut client = LightClient::from_genesis(pinned, &bundle).map_err(refused)?;
	for steps in steps.chunks(STEPS_PER_BUNDLE_MAX) {
		client = client.advance(steps).map_err(refused)?;
	}
	let height = client.height();
	if height < content.block {
		return Err(format!(
			"the answer names block {}, finality is shown up to block {height} only",
			content.block
		));
	}
	let detail = format!(
		"block {height} ({:?}) is final: {} authorities of set {} signed it",
		client.finalized().hash(),
		client.authority_count(),
		client.authority_set_id()
	);
	Ok((client.prove(proof).map_err(refused)?, detail))
}

fn boot(state: &ProvenState, content: &AnswerContent) -> Found<Boot> {
	let AnswerContent { worker, boot: number, .. } = content;
	let height = state.header().number();
	let boot = state
		.read_as::<Boot>(&storage_keys::registry_boot(*worker))
		.map_err(|error| error.to_string())?
		.ok_or_else(|| format!("worker {worker} has no boot at block {height}"))?;
	if boot.number != *number {
		return Err(format!(
			"boot {number} of worker {worker} answered; at block {height} boot {} has taken its place",
			boot.number
		));
	}
	if boot.expires_at <= height {
		return Err(format!(
			"boot {number} of worker {worker} is suspended: its evidence expired at block {}",
			boot.expires_at
		));
	}
	let detail = format!(
		"worker {worker}, boot {number}, registered at block {}, key 0x{}",
		boot.registered_at,
		hex::encode(boot.keys.identity)
	);
	Ok((boot, detail))
}

fn signature(proof: &SignedAnswer, boot: &Boot) -> Found<()> {
	if !sr25519::verify(&boot.keys.identity, &proof.content.statement().encode(), &proof.signature)
	{
		return Err("it is not by the boot's key: the proof or its signature was changed".into());
	}
	Ok(((), format!("answer {:?} is signed by the boot's key", proof.id())))
}

fn measurement(state: &ProvenState, boot: &Boot) -> Found<()> {
	let height = state.header().number();
	let rule = state
		.read_as::<MeasurementRule>(&storage_keys::registry_measurement(boot.measurement))
		.map_err(|error| error.to_string())?
		.ok_or_else(|| format!("the chain does not allow the code {:?}", boot.measurement))?;
	if !rule.allows(height) {
		return Err(format!(
			"the chain no longer allows the code {:?} at block {height}",
			boot.measurement
		));
	}
	Ok(((), format!("{:?}, which the chain allows", boot.measurement)))
}

fn evidence(
	state: &ProvenState,
	proof: &SignedAnswer,
	boot: &Boot,
	evidence: &HexBytes,
) -> Found<()> {
	let evidence: Evidence = read("the evidence", &evidence.0)?;
	let software = state
		.read_as::<[u8; 32]>(&storage_keys::registry_software_root())
		.map_err(|error| error.to_string())?;
	let roots = Roots {
		software,
		verify_sr25519: |signature, message, public| sr25519::verify(public, message, signature),
	};
	let AnswerContent { genesis, worker, .. } = proof.content;
	let statement = ReportStatement::new(genesis, worker, boot.keys, proof.id().0);
	let allowed = |found: &H256| *found == boot.measurement;
	let accepted = phala_attestation::verify(&evidence, &roots, &statement.report_data(), allowed)
		.map_err(|error| error.to_string())?;
	Ok((
		(),
		format!("{}; made for this answer, about the boot's keys", evidence_worth(accepted.kind)),
	))
}

fn code(state: &ProvenState, content: &AnswerContent) -> Found<()> {
	let AnswerContent { agent, code, .. } = content;
	let record = state
		.read_as::<AgentRecord>(&storage_keys::agents_agent(*agent))
		.map_err(|error| error.to_string())?
		.ok_or_else(|| format!("the chain knows no agent {agent:?}"))?;
	let AgentCode { component, manifest } = code;
	if record.code.component != *component {
		return Err(format!(
			"{component:?} ran, the chain names {:?} for agent {agent:?}",
			record.code.component
		));
	}
	if record.code.manifest != *manifest {
		return Err(format!(
			"{component:?} ran under the manifest {manifest:?}, the chain names the manifest {:?} for agent {agent:?}",
			record.code.manifest
		));
	}
	Ok((
		(),
		format!(
			"{component:?} under the manifest {manifest:?}, version {} of agent {agent:?}",
			record.code_version
		),
	))
}

fn hashed(what: &str, salt: [u8; 32], bytes: &[u8], expected: H256) -> Found<()> {
	let found = salted_hash(salt, bytes);
	if found != expected {
		return Err(format!(
			"the {what} hashes to {found:?}, the boot signed {expected:?}: it or the salt was changed"
		));
	}
	Ok(((), format!("{} bytes, as the boot signed them", bytes.len())))
}

fn settled(
	state: &ProvenState,
	proven: &ProvenAnswer,
	request: &RequestEvidence,
	genesis: H256,
) -> Found<()> {
	let content = &proven.proof.content;
	let id = H256(request.id.exactly().ok_or("the request's id has not 32 bytes")?);
	let height = state.header().number();
	let stored = state
		.read_as::<Request>(&storage_keys::requests_request(id))
		.map_err(|error| error.to_string())?
		.ok_or_else(|| format!("the chain knows no request {id:?} at block {height}"))?;
	let caller = Caller::Account(stored.caller);
	let asked = (stored.agent, Some(caller), stored.worker, stored.boot, stored.kind);
	let answered = (content.agent, content.caller, content.worker, content.boot, RequestKind::Call);
	if asked != answered {
		return Err(format!("request {id:?} is about another agent, caller or boot"));
	}
	let RequestState::Settled { fee, failed: false, block } = stored.state else {
		return Err(format!("request {id:?} was not answered: it is {:?}", stored.state));
	};
	let outcome = state
		.read_as::<Vec<u8>>(&storage_keys::requests_response(id))
		.map_err(|error| error.to_string())?
		.ok_or_else(|| format!("the chain keeps no answer to request {id:?}"))?;
	let RequestOutcome::Answered(bytes) = read("the answer on the chain", &outcome)? else {
		return Err(format!("request {id:?} failed"));
	};
	let on_chain = match &request.reply {
		None => bytes,
		Some(reply) => {
			let nonce = reply.nonce.exactly().ok_or("the reply's nonce has not 32 bytes")?;
			let secret = reply.secret.exactly().ok_or("the reply's secret has not 32 bytes")?;
			let key = DecryptionKey::from_canonical(Secret32::new(secret)).ok_or(
				"the reply's secret is not canonical: bits of it that X25519 ignores were changed",
			)?;
			let sealed: Sealed = read("the sealed answer on the chain", &bytes)?;
			let context = ReplyContext::new(genesis, content.agent, caller, nonce);
			let opened = open_reply(&key, &context, &sealed).map_err(|error| {
				format!("the answer on the chain does not open with the reply's secret: {error}")
			})?;
			opened.expose().to_vec()
		}
	};
	if on_chain != proven.encode() {
		return Err(format!("the chain keeps another answer to request {id:?}"));
	}
	let caller = Address(stored.caller);
	Ok(((), format!("{id:?} of {caller}, settled in block {block} for {}", pha(fee))))
}
