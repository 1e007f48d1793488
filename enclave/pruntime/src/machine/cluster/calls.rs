//! What callers seal is opened here, and answers are proven and sealed here.

use super::super::turn::Turn;
use super::{
	agent::Agent,
	answered, failed,
	ring::KeyRing,
	state::{AgentState, Effects},
	work::{DirectJob, Job, RunDone, RunFailed},
	CallError, Membership,
};
use crate::limits;
use codec::{DecodeAll, Encode};
use phala_keys::{
	hpke::{EncryptionKey, Sealed},
	input::{open_input, InputContext, InputKind, Reception, SealedInput},
	reply::{seal_reply, ReplyContext},
	sr25519,
};
use phala_protocol::{
	agents::{AgentId, AgentSnapshot},
	caller::Caller,
	limits::{LOGS_QUERY_BLOCKS_MAX, RESPONSE_BYTES_MAX},
	refusals::Refusal,
	requests::{
		salted_hash, AnswerContent, CallInput, CallOutput, CallerSignature, DirectCall,
		DirectCallContent, LogsContent, LogsQuery, ProvenAnswer, RequestInput, RequestKind,
		RequestOrder, SignedAnswer,
	},
	AccountBytes, BlockNumber, H256,
};
use rand_core::CryptoRng;

/// An order's input, opened.
pub enum Opened {
	Call {
		input: CallInput,
		/// Where the answer is sealed to, and the input's nonce and expiry; none for a public one.
		sealed: Option<(EncryptionKey, [u8; 32], BlockNumber)>,
	},
	Secrets {
		secrets: Vec<(String, Option<Vec<u8>>)>,
		used: ([u8; 32], BlockNumber),
	},
}

/// Opens the input of a paid request on the state that it will run on.
///
/// # Errors
/// [`CallError::Input`], [`CallError::Malformed`], [`CallError::Repeated`]: a caller pays
/// for a try with those.
pub fn open_order<R: CryptoRng>(
	state: &AgentState,
	snapshot: &AgentSnapshot,
	order: &RequestOrder,
	turn: &Turn<'_, R>,
) -> Result<Opened, CallError> {
	let not_a_call = || CallError::Malformed { expected: "the SCALE of a CallInput" };
	let sealed = match &order.input {
		RequestInput::Public(bytes) => {
			let input = CallInput::decode_all(&mut &bytes[..]).map_err(|_| not_a_call())?;
			return Ok(Opened::Call { input, sealed: None });
		}
		RequestInput::Sealed(bytes) => bytes,
	};
	let kind = match order.kind {
		RequestKind::Call => InputKind::Request,
		RequestKind::Secrets => InputKind::OwnerSecrets,
	};
	let opened = open(state, snapshot, order.agent, kind, order.caller, sealed, turn)?;
	let body = opened.body.expose();
	Ok(match order.kind {
		RequestKind::Call => Opened::Call {
			input: CallInput::decode_all(&mut &body[..]).map_err(|_| not_a_call())?,
			sealed: Some((opened.reply_key, opened.nonce, opened.expiry_block)),
		},
		RequestKind::Secrets => {
			let malformed = || CallError::Malformed { expected: "secrets by name" };
			let pairs =
				Vec::<(Vec<u8>, Vec<u8>)>::decode_all(&mut &body[..]).map_err(|_| malformed())?;
			let mut secrets = Vec::with_capacity(pairs.len());
			for (name, value) in pairs {
				let name = String::from_utf8(name).map_err(|_| malformed())?;
				secrets.push((name, (!value.is_empty()).then_some(value)));
			}
			Opened::Secrets { secrets, used: (opened.nonce, opened.expiry_block) }
		}
	})
}

fn open<R: CryptoRng>(
	state: &AgentState,
	snapshot: &AgentSnapshot,
	agent: AgentId,
	kind: InputKind,
	caller: Caller,
	sealed: &[u8],
	turn: &Turn<'_, R>,
) -> Result<SealedInput, CallError> {
	let sealed = Sealed::decode_all(&mut &sealed[..])
		.map_err(|_| CallError::Malformed { expected: "the SCALE of a sealed input" })?;
	let keys = state.keys.as_ref().ok_or(CallError::NotReady { why: "it has no keys here yet" })?;
	let (version, _) = keys.encryption_key();
	let context = InputContext::new(turn.config.genesis, agent, version, kind);
	let reception =
		Reception { origin: caller, now: turn.height, running: snapshot.record.code.component };
	let opened = open_input(keys.decryption_key(), &context, &sealed, &reception)?;
	if state.used_inputs.contains_key(&opened.nonce) {
		return Err(CallError::Repeated);
	}
	Ok(opened)
}

/// Whether the state may be what a run makes of it. What only shrinks it is always allowed.
fn check_state_bytes(agent: &Agent, done: &RunDone) -> Result<(), String> {
	let (bytes, max) = (agent.head().bytes_after(&done.writes), limits::AGENT_STATE_BYTES_MAX);
	if bytes > max && bytes > agent.head().entry_bytes {
		return Err(format!("{bytes} bytes of state, {max} are allowed"));
	}
	Ok(())
}

/// Makes the proposal that answers a paid request, or says why it failed.
pub fn settle_order<R: CryptoRng>(
	agent: &mut Agent,
	ring: &KeyRing,
	code: H256,
	order: &RequestOrder,
	job: Job,
	result: Result<RunDone, RunFailed>,
	turn: &mut Turn<'_, R>,
) -> Result<(), CallError> {
	// Opened again rather than kept: plaintext lies in memory no longer than it must.
	let (input, sealed) = match open_order(agent.head(), &agent.snapshot, order, turn) {
		Ok(Opened::Call { input, sealed }) => (input, sealed),
		Ok(Opened::Secrets { .. }) => return Ok(()),
		Err(refused) => {
			let result = failed(order, refused.refusal(), 1);
			let cause = Some((job, Vec::new()));
			return Ok(agent.propose(
				ring,
				&Effects::default(),
				vec![result],
				None,
				cause,
				turn,
			)?);
		}
	};
	let done = result.and_then(|done| {
		if let Err(message) = check_state_bytes(agent, &done) {
			return Err(RunFailed {
				refusal: Refusal::AgentStateBytes,
				message,
				units: done.units,
			});
		}
		let version = agent.head().version + 1;
		let proven = prove(
			agent.id,
			code,
			Some(order.caller),
			&input,
			done.output,
			version,
			done.unproven_inputs,
			turn,
		);
		let answer = seal_answer(order.agent, Some(order.caller), sealed, &proven, turn);
		if answer.len() > RESPONSE_BYTES_MAX as usize {
			let message = format!("{} bytes, {RESPONSE_BYTES_MAX} are allowed", answer.len());
			return Err(RunFailed { refusal: Refusal::ResponseBytes, message, units: done.units });
		}
		Ok((answer, done.writes, done.units))
	});
	let used_inputs: Vec<_> =
		sealed.map(|(_, nonce, expiry)| (nonce, expiry)).into_iter().collect();
	let late = Effects { used_inputs: used_inputs.clone(), ..Default::default() };
	let cause = Some((job, Vec::new()));
	let (effects, result) = match done {
		Ok((answer, writes, units)) => {
			(Effects { writes, used_inputs, ..Default::default() }, answered(order, answer, units))
		}
		Err(RunFailed { refusal, units, .. }) => {
			(Effects { used_inputs, ..Default::default() }, failed(order, refusal, units))
		}
	};
	if let Err(error) = agent.propose(ring, &effects, vec![result], None, cause.clone(), turn) {
		// Too much to be sealed: that is the answer, then.
		let result = failed(order, error.refusal(), 1);
		agent.propose(ring, &late, vec![result], None, cause, turn)?;
	}
	Ok(())
}

/// Makes the proposal of a direct call that wrote; its answer waits for the commit. One that wrote
/// nothing is answered at once.
pub fn settle_direct<R: CryptoRng>(
	agent: &mut Agent,
	ring: &KeyRing,
	code: H256,
	direct: &DirectJob,
	job: Job,
	done: RunDone,
	turn: &mut Turn<'_, R>,
) -> Result<Option<Vec<u8>>, CallError> {
	if let Err(message) = check_state_bytes(agent, &done) {
		return Err(CallError::Failed { refusal: Refusal::AgentStateBytes, message });
	}
	let wrote = !done.writes.is_empty();
	let commits = wrote || !agent.proposals.is_empty() || direct.reply.is_some();
	let version = agent.head().version + u64::from(commits);
	let proven = prove(
		agent.id,
		code,
		direct.caller,
		&direct.input,
		done.output,
		version,
		done.unproven_inputs,
		turn,
	);
	let reply = direct.reply.map(|(key, nonce)| (key, nonce, direct.expiry));
	let answer = seal_answer(agent.id, direct.caller, reply, &proven, turn);
	if !commits {
		// Nothing to commit, nothing uncommitted was seen: the caller need not wait for the chain.
		// A sealed input is used up by its commit, so that it cannot be sent to the next holder.
		return Ok(Some(answer));
	}
	let used_inputs = direct.reply.map(|(_, nonce)| (nonce, direct.expiry)).into_iter().collect();
	let effects = Effects { writes: done.writes, used_inputs, ..Default::default() };
	agent.propose(ring, &effects, Vec::new(), None, Some((job, answer)), turn)?;
	Ok(None)
}

/// Has the chain remember that a sealed input was run, though its run failed.
pub fn use_input_up<R: CryptoRng>(
	agent: &mut Agent,
	ring: &KeyRing,
	direct: &DirectJob,
	turn: &mut Turn<'_, R>,
) {
	let Some((_, nonce)) = direct.reply else { return };
	let effects = Effects { used_inputs: vec![(nonce, direct.expiry)], ..Default::default() };
	if let Err(error) = agent.propose(ring, &effects, Vec::new(), None, None, turn) {
		tracing::warn!(agent = ?agent.id, "an input that failed is not used up: {error}");
	}
}

/// Signs what was asked and answered.
#[allow(clippy::too_many_arguments)] // The fields of the statement, each once.
pub fn prove<R: CryptoRng>(
	agent: AgentId,
	code: H256,
	caller: Option<Caller>,
	input: &CallInput,
	output: CallOutput,
	state_version: u64,
	unproven_inputs: u32,
	turn: &mut Turn<'_, R>,
) -> ProvenAnswer {
	let mut salt = [0; 32];
	turn.rng.fill_bytes(&mut salt);
	let content = AnswerContent {
		genesis: turn.config.genesis,
		worker: turn.config.worker,
		boot: turn.boot,
		agent,
		code,
		caller,
		request_hash: salted_hash(salt, &input.encode()),
		response_hash: salted_hash(salt, &output.encode()),
		state_version,
		block: turn.height,
		unproven_inputs,
	};
	let signature = turn.keys.sign(turn.rng, &content.statement());
	let proof = SignedAnswer { content, signature };
	turn.proofs.keep(proof.clone());
	ProvenAnswer { output, salt, proof }
}

/// As the caller gets it: sealed to its reply key, or plain if it asked in public.
pub fn seal_answer<R: CryptoRng>(
	agent: AgentId,
	caller: Option<Caller>,
	reply: Option<(EncryptionKey, [u8; 32], BlockNumber)>,
	answer: &ProvenAnswer,
	turn: &mut Turn<'_, R>,
) -> Vec<u8> {
	let bytes = answer.encode();
	let (Some((key, nonce, _)), Some(caller)) = (reply, caller) else { return bytes };
	let context = ReplyContext::new(turn.config.genesis, agent, caller, nonce);
	match seal_reply(turn.rng, &key, &context, &bytes) {
		Ok(sealed) => sealed.encode(),
		// A reply key of low order: the caller asked for an answer that nobody can read.
		Err(_) => Vec::new(),
	}
}

/// A direct call, opened and admitted.
pub struct AdmittedCall {
	pub caller: Caller,
	pub input: CallInput,
	pub reply: (EncryptionKey, [u8; 32]),
	pub expiry: BlockNumber,
	/// The component that the caller accepted.
	pub code: H256,
}

impl Membership {
	/// An agent that answers here.
	///
	/// # Errors
	/// [`CallError::NoSuchAgent`], [`CallError::NotReady`], [`CallError::NotFresh`].
	pub fn ready<R: CryptoRng>(
		&self,
		agent: AgentId,
		turn: &Turn<'_, R>,
	) -> Result<&Agent, CallError> {
		let agent = self.agents.get(&agent).ok_or(CallError::NoSuchAgent)?;
		turn.fresh.clone().map_err(CallError::NotFresh)?;
		if agent.state.version == 0 {
			return Err(CallError::NotReady { why: "its birth is not committed here yet" });
		}
		if !agent.is_current() {
			return Err(CallError::NotReady { why: "this member is catching up with its state" });
		}
		Ok(agent)
	}

	/// Opens a sealed direct call. It is answered once: the same bytes again are refused.
	///
	/// # Errors
	/// [`CallError`], by the first rule that the call breaks.
	pub fn open_direct<R: CryptoRng>(
		&mut self,
		agent: AgentId,
		call: &DirectCall,
		turn: &Turn<'_, R>,
	) -> Result<AdmittedCall, CallError> {
		let found = self.ready(agent, turn)?;
		let content =
			DirectCallContent::new(turn.config.genesis, agent, call.caller, &call.sealed).encode();
		let CallerSignature::Sr25519(signature) = &call.signature;
		let signed = call
			.caller
			.account()
			.is_some_and(|account| sr25519::verify(account, &content, signature));
		if !signed {
			return Err(CallError::BadSignature { whose: "caller", what: "call" });
		}
		if !found.snapshot.may_call(&call.caller) {
			return Err(CallError::CallerNotAllowed);
		}
		let opened = open(
			&found.state,
			&found.snapshot,
			agent,
			InputKind::Direct,
			call.caller,
			&call.sealed,
			turn,
		)?;
		let input = CallInput::decode_all(&mut opened.body.expose())
			.map_err(|_| CallError::Malformed { expected: "the SCALE of a CallInput" })?;
		if opened.expiry_block.saturating_sub(turn.height) > limits::DIRECT_CALL_BLOCKS_MAX {
			return Err(CallError::Malformed {
				expected: "sealed for at most 300 blocks: set a nearer expiry",
			});
		}
		let Some(found) = self.agents.get_mut(&agent) else {
			return Err(CallError::NoSuchAgent);
		};
		if found.answered.contains_key(&opened.nonce) {
			return Err(CallError::Repeated);
		}
		if found.answered.len() >= limits::NONCES_MAX {
			return Err(CallError::TooManyCalls);
		}
		found.answered.insert(opened.nonce, opened.expiry_block);
		Ok(AdmittedCall {
			caller: call.caller,
			input,
			reply: (opened.reply_key, opened.nonce),
			expiry: opened.expiry_block,
			code: found.snapshot.record.code.component,
		})
	}

	/// Whether this is the agent's owner asking for its log now.
	///
	/// # Errors
	/// [`CallError`].
	pub fn admit_logs_query<R: CryptoRng>(
		&self,
		agent: AgentId,
		query: &LogsQuery,
		turn: &Turn<'_, R>,
	) -> Result<AccountBytes, CallError> {
		let found = self.agents.get(&agent).ok_or(CallError::NoSuchAgent)?;
		let owner = found.snapshot.record.owner;
		let LogsQuery { nonce, reply_key, block, signature } = *query;
		let content = LogsContent::new(turn.config.genesis, agent, nonce, reply_key, block);
		if !sr25519::verify(&owner, &content.encode(), &signature) {
			return Err(CallError::NotOwner);
		}
		let now = turn.height;
		if now.abs_diff(block) > LOGS_QUERY_BLOCKS_MAX {
			return Err(CallError::QueryTooOld { block, now });
		}
		Ok(owner)
	}
}

/// The request's name of a direct call: unique, and known to nobody before.
pub fn direct_request_id(rng: &mut impl CryptoRng) -> H256 {
	let mut id = [0; 32];
	rng.fill_bytes(&mut id);
	H256(id)
}
