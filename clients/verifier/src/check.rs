//! The checks. The first check that fails ends it: what comes after would rest on it.

use crate::{
	file::{AnswerFile, ChainEvidence, HexBytes, RequestEvidence, VerifierError, FORMAT},
	finality::{self, follow},
};
use alloc::{
	format,
	string::{String, ToString},
	vec::Vec,
};
use codec::{Decode, DecodeAll, Encode};
use core::fmt;
use phala_attestation::Roots;
use phala_keys::{
	hpke::{DecryptionKey, Sealed},
	reply::{open_reply, ReplyContext},
	secret::Secret32,
	sr25519,
};
use phala_light_client::ProvenState;
use phala_protocol::{
	agents::{AgentCode, AgentId, AgentRecord, CodeEntry},
	boot::Boot,
	caller::Caller,
	clusters::MemberRecord,
	evidence::{Evidence, EvidenceKind, MeasurementRule},
	requests::{
		salted_hash, AnswerContent, CallInput, CallOutput, ProvenAnswer, ReportStatement, Request,
		RequestId, RequestKind, RequestOutcome, RequestState, SignedAnswer,
	},
	storage_keys,
	text::{pha, Address},
	BlockNumber, H256,
};
use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
	Ok,
	Refused,
	/// The answer does not rest on it: there is nothing to check, or it does not hold any more of an answer that
	/// the chain itself took while it held.
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

	/// The checks that the answer does not rest on.
	pub fn absent(&self) -> impl Iterator<Item = &Check> {
		self.checks.iter().filter(|check| check.verdict == Verdict::Absent)
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
		if let Some(check) = self.refused() {
			return writeln!(to, "  REFUSED by the check of its {}", check.name);
		}
		let absent: Vec<_> = self.absent().map(|check| check.name).collect();
		if absent.is_empty() {
			return writeln!(to, "  verified: every check holds");
		}
		let held = self.checks.len().saturating_sub(absent.len());
		let (count, absent) = (absent.len(), absent.join(", "));
		writeln!(to, "  verified: {held} checks hold, {count} absent: {absent}")
	}
}

/// What a kind of evidence is worth.
pub fn evidence_worth(kind: EvidenceKind) -> &'static str {
	match kind {
		EvidenceKind::Software => "Software (development only: proves nothing about the machine)",
	}
}

/// What whoever checks an answer knows of it beforehand; `None` is not compared. A file says nothing
/// of when it is looked at: an old answer with proofs of its own time is good, unless this says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
	/// Who was asked.
	pub agent: Option<AgentId>,
	/// Who asked.
	pub caller: Option<Caller>,
	/// How many blocks the enclave's view may have been behind the block that the proofs are of.
	pub age_max: Option<BlockNumber>,
	/// The enclave's view must not have been older than this block.
	pub block_min: Option<BlockNumber>,
}

/// The facts of the chain that the checks read: whoever collects the proofs of an answer asks a node
/// to prove these. `boot` is that of the worker that answered, `record` the agent's and `ran` the version
/// of its code that ran at the answer's block (the newest whose [`CodeEntry`] is of no later block), as the
/// chain has them.
pub fn needed_keys(
	content: &AnswerContent,
	boot: Option<&Boot>,
	record: Option<&AgentRecord>,
	ran: Option<u32>,
	request: Option<RequestId>,
) -> Vec<Vec<u8>> {
	let mut keys: Vec<Vec<u8>> = [
		storage_keys::registry_boot(content.worker),
		storage_keys::agents_agent(content.agent),
		storage_keys::registry_software_root(),
	]
	.into();
	keys.extend(boot.map(|boot| storage_keys::registry_measurement(boot.measurement)));
	keys.extend(record.map(|agent| storage_keys::clusters_member(agent.cluster, content.worker)));
	// It was upgraded since: which code ran before, and until when. Every version in between, so that the
	// check finds the way back from the newest by itself.
	if let Some(record) = record.filter(|record| record.code != content.code) {
		let newest = record.code_version;
		let oldest = ran.unwrap_or(newest.saturating_sub(1)).min(newest);
		keys.extend(
			(oldest..=newest).map(|version| storage_keys::agents_history(content.agent, version)),
		);
	}
	if let Some(id) = request {
		keys.extend([storage_keys::requests_request(id), storage_keys::requests_response(id)]);
	}
	keys
}

/// Checks an answer under the chain whose block 0 has the hash `pinned`.
pub fn verify(file: &AnswerFile, pinned: H256, expected: &Expected) -> Verification {
	let mut checks = Checks::default();
	let verified = checks.all(file, pinned, expected).is_some();
	Verification { verified, checks: checks.0 }
}

#[derive(Default)]
struct Checks(Vec<Check>);

/// A check's detail, and what later ones build on; or why it was refused.
type Found<T, Refusal = String> = Result<(T, String), Refusal>;

/// Why the chain does not bear out what is said of a worker, at the block of the proofs.
enum Unborne {
	/// It is proven that it does not any more: it may have.
	Now(String),
	/// What is said is wrong, or not shown.
	Ever(String),
}

impl From<String> for Unborne {
	fn from(why: String) -> Self {
		Self::Ever(why)
	}
}

impl Checks {
	fn note<T>(&mut self, name: &'static str, found: Found<T>) -> Option<T> {
		let (verdict, detail, value) = match found {
			Ok((value, detail)) => (Verdict::Ok, detail, Some(value)),
			Err(why) => (Verdict::Refused, why, None),
		};
		self.0.push(Check { name, verdict, detail });
		value
	}

	/// The same of what need not hold any more of an answer that the chain `took`: it looked at it then.
	/// Nothing where it is absent.
	fn still<T>(
		&mut self,
		name: &'static str,
		found: Found<T, Unborne>,
		took: bool,
	) -> Option<Option<T>> {
		match found {
			Ok(held) => self.note(name, Ok(held)).map(Some),
			Err(Unborne::Now(why)) if took => {
				self.absent(name, &format!("{why}; the chain took the answer before"));
				Some(None)
			}
			Err(Unborne::Now(why) | Unborne::Ever(why)) => self.note(name, Err(why)),
		}
	}

	fn absent(&mut self, name: &'static str, detail: &str) {
		self.0.push(Check { name, verdict: Verdict::Absent, detail: detail.into() });
	}

	fn all(&mut self, file: &AnswerFile, pinned: H256, expected: &Expected) -> Option<()> {
		let proven = self.note("form", form(file))?;
		let content = &proven.proof.content;
		self.note("chain", chain(file, content, pinned))?;
		let state = self.note("finality", finality(file.chain.as_ref(), content, pinned))?;
		// Then the chain took this very answer itself, from a boot in force that had the agent's lease.
		let took = file
			.request
			.as_ref()
			.is_some_and(|request| settled(&state, &proven, request, pinned).is_ok());
		self.of_boot(file, &proven, &state, took)?;
		let record = self.note("code", code(&state, content))?;
		self.still("member", member(&state, content, &record), took)?;
		self.note("context", context(&state, content, &record, expected))?;
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

impl Checks {
	/// What shows that the chain's boot signed the answer. Of a boot that is no more, whose key the chain has
	/// forgotten, nothing can be shown.
	fn of_boot(
		&mut self,
		file: &AnswerFile,
		proven: &ProvenAnswer,
		state: &ProvenState,
		took: bool,
	) -> Option<()> {
		let content = &proven.proof.content;
		let boot = match boot(state, content) {
			Ok(boot) => boot,
			Err(why) => {
				self.still::<()>("boot", Err(why), took)?;
				for name in ["signature", "measurement", "evidence"] {
					self.absent(
						name,
						"of a boot that is no more; the chain looked at it when it took the answer",
					);
				}
				return Some(());
			}
		};
		self.still("boot", unexpired(state, content, &boot), took)?;
		self.note("signature", signature(&proven.proof, &boot))?;
		self.still("measurement", measurement(state, &boot), took)?;
		let root = root(state, boot.evidence);
		match (root, &file.report) {
			(Err(why), _) => self.still::<()>("evidence", Err(why), took).map(drop)?,
			(Ok(root), Some(report)) => {
				let found = evidence(root, &proven.proof, &boot, &report.evidence);
				self.note("evidence", found)?
			}
			// Nothing is won by leaving it out: what it would be checked by is there.
			(Ok(_), None) => self.absent(
				"evidence",
				&format!("the worker's own report is not in the file; the chain took the boot by evidence of kind {}", evidence_worth(boot.evidence)),
			),
		}
		Some(())
	}
}

fn read<T: DecodeAll>(what: &'static str, bytes: &[u8]) -> Result<T, String> {
	finality::read(what, bytes).map_err(|error| error.to_string())
}

/// A fact of the chain; `None` when it is proven that there is none.
fn fact<T: Decode>(state: &ProvenState, key: Vec<u8>) -> Result<Option<T>, String> {
	state.read_as(&key).map_err(|error| error.to_string())
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
	Ok(((), format!("{pinned:?}, as it was to be")))
}

pub(crate) fn finality(
	evidence: Option<&ChainEvidence>,
	content: &AnswerContent,
	pinned: H256,
) -> Found<ProvenState> {
	let evidence = evidence.ok_or(
		"the file has nothing of the chain in it: give --node, which fetches it while the boot lives",
	)?;
	let (client, state) =
		follow(evidence, pinned).map_err(|error: VerifierError| error.to_string())?;
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
	Ok((state, detail))
}

/// The boot that answered, if the chain has it.
fn boot(state: &ProvenState, content: &AnswerContent) -> Result<Boot, Unborne> {
	let AnswerContent { worker, boot: number, .. } = content;
	let height = state.header().number();
	let boot = fact::<Boot>(state, storage_keys::registry_boot(*worker))?
		.ok_or_else(|| Unborne::Now(format!("worker {worker} has no boot at block {height}")))?;
	if boot.number != *number {
		let why = format!(
			"boot {number} of worker {worker} answered; at block {height} boot {} has taken its place",
			boot.number
		);
		// None comes before its time.
		return Err(if boot.number > *number { Unborne::Now(why) } else { Unborne::Ever(why) });
	}
	Ok(boot)
}

fn unexpired(state: &ProvenState, content: &AnswerContent, boot: &Boot) -> Found<(), Unborne> {
	let AnswerContent { worker, boot: number, .. } = content;
	if boot.expires_at <= state.header().number() {
		return Err(Unborne::Now(format!(
			"boot {number} of worker {worker} is suspended: its evidence expired at block {}",
			boot.expires_at
		)));
	}
	let detail = format!(
		"worker {worker}, boot {number}, registered at block {}, key 0x{}",
		boot.registered_at,
		hex::encode(boot.keys.identity)
	);
	Ok(((), detail))
}

fn signature(proof: &SignedAnswer, boot: &Boot) -> Found<()> {
	let statement = proof.statement().map_err(|error| error.to_string())?.encode();
	if !sr25519::verify(&boot.keys.identity, &statement, &proof.signature) {
		return Err("it is not by the boot's key: the proof or its signature was changed".into());
	}
	Ok(((), format!("answer {:?} is signed by the boot's key", proof.id())))
}

fn measurement(state: &ProvenState, boot: &Boot) -> Found<(), Unborne> {
	let height = state.header().number();
	let key = storage_keys::registry_measurement(boot.measurement);
	let rule = fact::<MeasurementRule>(state, key)?.ok_or_else(|| {
		Unborne::Now(format!("the chain does not allow the code {:?}", boot.measurement))
	})?;
	if !rule.allows(height) {
		return Err(Unborne::Now(format!(
			"the chain no longer allows the code {:?} at block {height}",
			boot.measurement
		)));
	}
	Ok(((), format!("{:?}, which the chain allows", boot.measurement)))
}

/// By what the chain checks evidence of a kind.
fn root(state: &ProvenState, kind: EvidenceKind) -> Result<[u8; 32], Unborne> {
	let EvidenceKind::Software = kind;
	fact(state, storage_keys::registry_software_root())?.ok_or_else(|| {
		Unborne::Now(
			"the chain took the boot by software evidence, and names no root for such any more"
				.into(),
		)
	})
}

fn evidence(root: [u8; 32], proof: &SignedAnswer, boot: &Boot, evidence: &HexBytes) -> Found<()> {
	let evidence: Evidence = read("the evidence", &evidence.0)?;
	let roots = Roots {
		software: Some(root),
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

/// What the chain named at the block that the answer was given on: what it names now, or the code that
/// ran then if upgrades came later.
fn code(state: &ProvenState, content: &AnswerContent) -> Found<AgentRecord> {
	let AnswerContent { agent, code, .. } = content;
	let record = fact::<AgentRecord>(state, storage_keys::agents_agent(*agent))?
		.ok_or_else(|| format!("the chain knows no agent {agent:?}"))?;
	let AgentCode { component, manifest } = code;
	let version = record.code_version;
	if record.code == *code {
		let detail = format!(
			"{component:?} under the manifest {manifest:?}, version {version} of agent {agent:?}"
		);
		return Ok((record, detail));
	}
	if let Some((version, until)) = overtaken(state, content, version) {
		let detail = format!(
			"{component:?} under the manifest {manifest:?}, version {version} of agent {agent:?}; from block {until} on another ran, now {:?}",
			record.code.component
		);
		return Ok((record, detail));
	}
	if record.code.component != *component {
		return Err(format!(
			"{component:?} ran, the chain names {:?} for agent {agent:?}",
			record.code.component
		));
	}
	Err(format!(
		"{component:?} ran under the manifest {manifest:?}, the chain names the manifest {:?} for agent {agent:?}",
		record.code.manifest
	))
}

/// Which version answered, and the block from which the next one ran, if it is the one that ran at the
/// answer's block; `newest` is the one that runs now. Versions are walked back as far as the file proves
/// them, so its length bounds the walk.
fn overtaken(
	state: &ProvenState,
	content: &AnswerContent,
	newest: u32,
) -> Option<(u32, BlockNumber)> {
	// Without a proof of them there was none.
	let entry = |version| {
		state.read_as::<CodeEntry>(&storage_keys::agents_history(content.agent, version)).ok()?
	};
	let mut next = entry(newest)?;
	for version in (1..newest).rev() {
		// Of two in one block only the later ran at its end.
		if next.block <= content.block {
			return None;
		}
		let this = entry(version)?;
		if this.block <= content.block {
			return (this.code == content.code).then_some((version, next.block));
		}
		next = this;
	}
	None
}

/// Any boot that the chain lets in can sign; only those that its owner let into the agent's cluster
/// speak for the agent.
fn member(
	state: &ProvenState,
	content: &AnswerContent,
	record: &AgentRecord,
) -> Found<(), Unborne> {
	let (cluster, worker) = (record.cluster, content.worker);
	fact::<MemberRecord>(state, storage_keys::clusters_member(cluster, worker))?.ok_or_else(
		|| {
			Unborne::Now(format!(
				"worker {worker} is no member of cluster {cluster}, whose members alone keep agent {:?}",
				content.agent
			))
		},
	)?;
	Ok(((), format!("worker {worker} is in cluster {cluster}, which keeps the agent")))
}

/// What the boot signed about the answer's bounds: on which view and state, for whom.
fn context(
	state: &ProvenState,
	content: &AnswerContent,
	record: &AgentRecord,
	expected: &Expected,
) -> Found<()> {
	let AnswerContent { agent, block, state_version, unproven_inputs, .. } = content;
	let height = state.header().number();
	if *state_version > record.version {
		return Err(format!(
			"it names version {state_version} of the agent's state, the chain has committed version {} at block {height}",
			record.version
		));
	}
	if let Some(expected) = expected.agent.filter(|expected| expected != agent) {
		return Err(format!("agent {agent:?} answered, {expected:?} was to be asked"));
	}
	let caller = caller_text(content.caller);
	if expected.caller.is_some() && expected.caller != content.caller {
		let expected = caller_text(expected.caller);
		return Err(format!("{caller} asked, {expected} was to be who asked"));
	}
	let age = height.saturating_sub(*block);
	if let Some(age_max) = expected.age_max.filter(|age_max| age > *age_max) {
		return Err(format!(
			"it was given on block {block}, {age} blocks before the proven block {height}: at most {age_max} were to be"
		));
	}
	if let Some(block_min) = expected.block_min.filter(|block_min| block < block_min) {
		return Err(format!(
			"it was given on block {block}, and was to be on no block before {block_min}"
		));
	}
	Ok((
		(),
		format!(
			"on block {block}, {age} before the proven one; for {caller}; version {state_version} of the state; unproven inputs: {unproven_inputs}"
		),
	))
}

fn caller_text(caller: Option<Caller>) -> String {
	match caller {
		None => "somebody who did not say".into(),
		Some(Caller::Account(account)) => Address(account).to_string(),
		Some(Caller::Agent(agent)) => format!("agent {agent:?}"),
		Some(Caller::Token(hash)) => format!("the holder of the token 0x{}", hex::encode(hash)),
		Some(Caller::Evm(account)) => format!("the Ethereum account 0x{}", hex::encode(account)),
	}
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
	let stored = fact::<Request>(state, storage_keys::requests_request(id))?
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
	let outcome = fact::<Vec<u8>>(state, storage_keys::requests_response(id))?
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
