//! Sealed calls of agents on the chain, and proofs: on the public server.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/agents/{id}/call` | a sealed, signed call: SCALE `DirectCall` → SCALE `Sealed` |
//! | `POST /v1/agents/{id}/logs?before=` | a page of an agent's log for its owner: SCALE `LogsQuery` → SCALE `Sealed` |
//! | `GET /v1/signature/{id}` | an answer's content, its path to the root that this boot signed, the signature |
//! | `GET /v1/attestation/report?nonce=` | evidence for this boot's keys, for whoever chose the nonce |
//!
//! `GET`, `HEAD`, `OPTIONS` and `TRACE` inside the seal only read and are answered by any member;
//! what writes is answered by the lease holder once it is committed.
//!
//! A log is given newest page first. The number of a page's first line is in `x-phala-log-first`; if
//! there are older lines, `x-phala-log-older` is `1`, and `?before=` that number gives their page.

use super::{bodies::Bodies, bounded, hex, parse_hash, places, ServerError};
use crate::{
	executor::{Executor, Lane},
	limits,
};
use axum::{
	body::Body,
	extract::{Path, Query, State},
	http::{HeaderName, StatusCode},
	middleware::from_fn_with_state,
	response::{IntoResponse, Response},
	routing::{get, post},
	Json, Router,
};
use codec::{DecodeAll, Encode};
use phala_keys::{
	hpke::EncryptionKey,
	reply::{seal_reply, ReplyContext},
};
use phala_machine::{Answer, Event, MachineError};
use phala_protocol::{
	caller::Caller,
	refusals::Refusal,
	requests::{DirectCall, LogsQuery, ReportStatement},
};
use rand_chacha::{rand_core::SeedableRng, ChaCha20Rng};
use serde::Deserialize;
use serde_json::{json, Value};

const LOG_FIRST: HeaderName = HeaderName::from_static("x-phala-log-first");
const LOG_OLDER: HeaderName = HeaderName::from_static("x-phala-log-older");

/// The server's routes.
pub fn router(executor: Executor, bodies: Bodies) -> Router {
	let sealed = Router::new()
		.route("/v1/agents/{id}/call", post(call))
		.route("/v1/agents/{id}/logs", post(logs))
		.with_state((executor.clone(), bodies));
	Router::new()
		.route("/v1/signature/{id}", get(signature))
		.route("/v1/attestation/report", get(report))
		.layer(from_fn_with_state(places(), bounded))
		.with_state(executor)
		.merge(sealed)
}

async fn call(
	State((executor, bodies)): State<(Executor, Bodies)>,
	Path(id): Path<String>,
	body: Body,
) -> Result<Vec<u8>, ServerError> {
	let agent = parse_hash(&id)?;
	let body = bodies.read(body, limits::SEALED_CALL_BYTES_MAX).await?;
	let opened = executor
		.verify(Lane::Callers, move |snapshot, now| {
			let call = DirectCall::decode_all(&mut &body[..])
				.map_err(|_| MachineError::Malformed { expected: "the SCALE of a DirectCall" })?;
			snapshot.open_call(agent, &call, now)
		})
		.await?;
	let call = Box::new(opened);
	match executor.ask(|reply| Event::Called { reply, call }).await? {
		Answer::Sealed(sealed) => Ok(sealed),
		_ => Err(ServerError::other_answer()),
	}
}

#[derive(Deserialize)]
struct Page {
	before: Option<u64>,
}

async fn logs(
	State((executor, bodies)): State<(Executor, Bodies)>,
	Path(id): Path<String>,
	Query(Page { before }): Query<Page>,
	body: Body,
) -> Result<Response, ServerError> {
	let agent = parse_hash(&id)?;
	let body = bodies.read(body, limits::LOGS_QUERY_BYTES_MAX).await?;
	let work = move |executor: &Executor| {
		let query = LogsQuery::decode_all(&mut &body[..])
			.map_err(|_| MachineError::Malformed { expected: "the SCALE of a LogsQuery" })?;
		// Whose question it is comes before anything is read for it.
		let snapshot = executor.snapshot();
		let owner = snapshot.verify_logs_query(agent, &query)?;
		let page = executor.store().log_page(&agent, before);
		let genesis = snapshot.config.genesis;
		let context = ReplyContext::new(genesis, agent, Caller::Account(owner), query.nonce);
		let seed = executor.platform().seed().map_err(|_| MachineError::Busy)?;
		let mut rng = ChaCha20Rng::from_seed(seed);
		let key = EncryptionKey(query.reply_key);
		let sealed = seal_reply(&mut rng, &key, &context, &page.entries.encode())?;
		Ok::<_, MachineError>((page.first, page.has_older, sealed.encode()))
	};
	let (first, has_older, sealed) = executor.compute(Lane::Callers, work).await??;
	let headers = [(LOG_FIRST, first.to_string()), (LOG_OLDER, u8::from(has_older).to_string())];
	Ok((headers, sealed).into_response())
}

async fn signature(
	State(executor): State<Executor>,
	Path(id): Path<String>,
) -> Result<Json<Value>, ServerError> {
	let id = parse_hash(&id)?;
	let proof = executor.store().proof(&id).ok_or_else(|| {
		let message = format!(
			"this boot signed no such answer, or more than {} since",
			limits::SIGNATURES_MAX
		);
		ServerError::new(StatusCode::NOT_FOUND, Refusal::NoSuchSignature, message)
	})?;
	Ok(Json(json!({
		"content": hex(proof.content.encode()),
		"path": hex(proof.path.encode()),
		"signature": hex(proof.signature),
	})))
}

#[derive(Deserialize)]
struct Nonce {
	nonce: String,
}

async fn report(
	State(executor): State<Executor>,
	Query(Nonce { nonce }): Query<Nonce>,
) -> Result<Json<Value>, ServerError> {
	let nonce = parse_hash(&nonce)?;
	let snapshot = executor.snapshot();
	let (config, keys) = (snapshot.config, snapshot.keys);
	let report_data =
		ReportStatement::new(config.genesis, config.worker, keys, nonce.0).report_data();
	let evidence = executor
		.compute(Lane::Callers, move |executor| executor.platform().evidence(&report_data))
		.await?
		.map_err(|error| {
			ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::NoEvidence, error)
		})?;
	Ok(Json(json!({
		"genesis": hex(config.genesis),
		"worker": config.worker,
		"boot": snapshot.status.boot,
		"identity": hex(keys.identity),
		"encryption": hex(keys.encryption),
		"nonce": hex(nonce),
		"evidence": hex(evidence.encode()),
		"kind": executor.platform().describe(),
	})))
}
