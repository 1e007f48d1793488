//! Sealed calls of agents on the chain, and proofs: on the public server.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/agents/{id}/call` | a sealed, signed call: SCALE `DirectCall` → SCALE `Sealed` |
//! | `POST /v1/agents/{id}/logs` | an agent's log for its owner: SCALE `LogsQuery` → SCALE `Sealed` |
//! | `GET /v1/signature/{id}` | what this boot signed for an answer |
//! | `GET /v1/attestation/report?nonce=` | evidence for this boot's keys, for whoever chose the nonce |
//!
//! `GET`, `HEAD`, `OPTIONS` and `TRACE` inside the seal only read and are answered by any member;
//! what writes is answered by the lease holder once it is committed.

use super::{bounded, cluster::parse_hash, ServerError};
use crate::{
	hosting::{writes, OnChainCall, Snapshot},
	limits,
	machine::cluster::{
		calls::{direct_request_id, prove, seal_answer, AdmittedCall},
		state::AgentState,
		work::DirectJob,
		CallError,
	},
	worker::{call_output, http_request, Worker, COMMIT_WAIT_MS_MAX},
};
use axum::{
	body::Bytes,
	extract::{DefaultBodyLimit, Path, Query, State},
	http::StatusCode,
	middleware::from_fn_with_state,
	routing::{get, post},
	Json, Router,
};
use codec::{DecodeAll, Encode};
use phala_keys::{
	hpke::EncryptionKey,
	reply::{seal_reply, ReplyContext},
};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	caller::Caller,
	refusals::Refusal,
	requests::{CallInput, DirectCall, LogsQuery, ProvenAnswer, ReportStatement},
	BlockNumber, H256,
};
use phala_sandbox::BlockRef;
use serde::Deserialize;
use serde_json::{json, Value};
use std::time::Duration;

/// Longest sealed call, in bytes.
const SEALED_CALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The server's routes.
pub fn router(worker: Worker) -> Router {
	Router::new()
		.route("/v1/agents/{id}/call", post(call))
		.route("/v1/agents/{id}/logs", post(logs))
		.route("/v1/signature/{id}", get(signature))
		.route("/v1/attestation/report", get(report))
		.layer(DefaultBodyLimit::max(SEALED_CALL_BYTES_MAX))
		.layer(from_fn_with_state(worker.clone(), bounded))
		.with_state(worker)
}

async fn call(
	State(worker): State<Worker>,
	Path(id): Path<String>,
	body: Bytes,
) -> Result<Vec<u8>, ServerError> {
	let agent = parse_hash(&id)?;
	let call = DirectCall::decode_all(&mut &body[..])
		.map_err(|_| CallError::Malformed { expected: "the SCALE of a DirectCall" })?;
	let AdmittedCall { caller, input, reply, expiry, code } =
		worker.shell().as_member(|member, turn| member.open_direct(agent, &call, turn))??;
	if writes(&String::from_utf8_lossy(&input.method)) {
		let request = direct_request_id_of(&worker)?;
		let reply = Some(reply);
		let job = DirectJob { caller: Some(caller), input, reply, expiry, request, code };
		return wait_for_write(&worker, agent, job).await;
	}
	let answer = read_only(&worker, agent, Some(caller), Some(code), input).await?;
	let (key, nonce) = reply;
	let sealed = worker.shell().as_member(|_, turn| {
		seal_answer(agent, Some(caller), Some((key, nonce, expiry)), &answer, turn)
	})?;
	Ok(sealed)
}

fn direct_request_id_of(worker: &Worker) -> Result<H256, CallError> {
	worker.shell().as_member(|_, turn| direct_request_id(turn.rng))
}

/// Answers a call that only reads, on the committed state.
pub(super) async fn read_only(
	worker: &Worker,
	agent: AgentId,
	caller: Option<Caller>,
	accepted: Option<H256>,
	input: CallInput,
) -> Result<ProvenAnswer, ServerError> {
	let block_hash = worker.shell().view().finalized.map(|(_, hash)| hash).unwrap_or_default();
	let (state, code, height, request): (AgentState, AgentCode, BlockNumber, H256) =
		worker.shell().as_member(|member, turn| {
			let found = member.ready(agent, turn)?;
			let (state, code) = (found.state.clone(), found.snapshot.record.code);
			Ok::<_, CallError>((state, code, turn.height, direct_request_id(turn.rng)))
		})??;
	if accepted.is_some_and(|accepted| accepted != code.component) {
		return Err(CallError::OtherCode.into());
	}
	let hosted = worker
		.installed_with(agent, &code)
		.ok_or(CallError::NotReady { why: "its code has not come here yet" })?;
	let admitted = worker.host().admit(&hosted)?;
	let call = OnChainCall {
		request: http_request(&input).ok_or(CallError::Malformed {
			expected: "a call whose method, path and header names are text",
		})?,
		caller: caller.and_then(|caller| caller.account().copied()),
		block: BlockRef { number: height.into(), hash: block_hash.0 },
		writable: false,
		snapshot: Snapshot::of(state.entries.clone(), state.entry_bytes),
		request_id: request.0,
		attempt: 1,
		entropy: None,
		secrets: None,
	};
	let outcome = worker
		.host()
		.run_on_chain(&hosted, call)
		.await
		.map_err(|failure| crate::hosting::AgentRunError::Run(failure.error))?;
	drop(admitted);
	let unproven = u32::try_from(outcome.unproven_inputs.len()).unwrap_or(u32::MAX);
	let output = call_output(outcome.response);
	let ran = H256(hosted.code_hash());
	let answer = worker.shell().as_member(|_, turn| {
		prove(agent, ran, caller, &input, output, state.version, unproven, turn)
	})?;
	Ok(answer)
}

/// Queues a call that may write, and waits for its commit.
pub(super) async fn wait_for_write(
	worker: &Worker,
	agent: AgentId,
	job: DirectJob,
) -> Result<Vec<u8>, ServerError> {
	// The machine stays locked in between: the job cannot end before somebody waits for it.
	let waiting = worker.shell().as_member(|member, turn| {
		let found = member.ready(agent, turn)?;
		if !found.is_mine(turn.config.worker, turn.boot) {
			let worker = found.snapshot.lease.map(|lease| lease.worker);
			return Err(CallError::NotLeaseHolder { worker });
		}
		let id = member.queue_direct(agent, job)?;
		Ok(worker.wait_for(id))
	})??;
	worker.shell().nudge();
	let wait = Duration::from_millis(COMMIT_WAIT_MS_MAX);
	match tokio::time::timeout(wait, waiting).await {
		Ok(Ok(result)) => Ok(result?),
		Ok(Err(_)) | Err(_) => Err(CallError::MayStillCommit.into()),
	}
}

async fn logs(
	State(worker): State<Worker>,
	Path(id): Path<String>,
	body: Bytes,
) -> Result<Vec<u8>, ServerError> {
	let agent = parse_hash(&id)?;
	let query = LogsQuery::decode_all(&mut &body[..])
		.map_err(|_| CallError::Malformed { expected: "the SCALE of a LogsQuery" })?;
	let lines = worker.host().logs(&agent.0);
	let sealed = worker.shell().as_member(|member, turn| {
		let owner = member.admit_logs_query(agent, &query, turn)?;
		let genesis = turn.config.genesis;
		let context = ReplyContext::new(genesis, agent, Caller::Account(owner), query.nonce);
		let key = EncryptionKey(query.reply_key);
		seal_reply(turn.rng, &key, &context, &lines.encode()).map_err(CallError::Input)
	})??;
	Ok(sealed.encode())
}

async fn signature(
	State(worker): State<Worker>,
	Path(id): Path<String>,
) -> Result<Json<Value>, ServerError> {
	let id = parse_hash(&id)?;
	let guard = worker.shell().machine();
	let proof = guard.0.proof(&id).ok_or_else(|| {
		let message = format!(
			"this boot signed no such answer, or more than {} since",
			limits::SIGNATURES_MAX
		);
		ServerError::new(StatusCode::NOT_FOUND, Refusal::NoSuchSignature, message)
	})?;
	Ok(Json(json!({
		"content": hex(&proof.content.encode()),
		"signature": hex(&proof.signature),
	})))
}

#[derive(Deserialize)]
struct Nonce {
	nonce: String,
}

async fn report(
	State(worker): State<Worker>,
	Query(Nonce { nonce }): Query<Nonce>,
) -> Result<Json<Value>, ServerError> {
	let nonce = parse_hash(&nonce)?;
	let (config, keys, boot) = {
		let guard = worker.shell().machine();
		(guard.0.config(), guard.0.public_keys(), guard.0.registered())
	};
	let report_data =
		ReportStatement::new(config.genesis, config.worker, keys, nonce.0).report_data();
	// A real TEE takes a while over a quote.
	let shell = worker.shell().clone();
	let evidence = tokio::task::spawn_blocking(move || shell.platform().evidence(&report_data));
	let evidence = evidence
		.await
		.map_err(|error| ServerError::bad_request(Refusal::Interrupted, error))?
		.map_err(|error| {
			ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::NoEvidence, error)
		})?;
	Ok(Json(json!({
		"genesis": hex(config.genesis.as_bytes()),
		"worker": config.worker,
		"boot": boot,
		"identity": hex(&keys.identity),
		"encryption": hex(&keys.encryption),
		"nonce": hex(nonce.as_bytes()),
		"evidence": hex(&evidence.encode()),
		"kind": worker.shell().platform().describe(),
	})))
}

pub(super) fn hex(bytes: &[u8]) -> String {
	format!("0x{}", hex::encode(bytes))
}
