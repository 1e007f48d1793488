//! Agents on the public server: `ANY /agents/{id or development name}/{path}`, `GET /v1/agents`.
//!
//! GET, HEAD, OPTIONS and TRACE only read state; every other method may write. Callers are anonymous
//! and whoever carries the call can read it: sealed calls are for the rest (`server::sealed`).
//!
//! An agent of the chain answers here if its access is public. It gets the headers `content-type`,
//! `accept` and `authorization` alone, in this order: they are what the proof covers, with method,
//! path and body. The proof is at `/v1/signature/{x-phala-answer}`, its salt in `x-phala-salt`.
//!
//! | refused because | status |
//! |---|---|
//! | no such agent | 404 `NoSuchAgent` |
//! | the run passed a limit | 422, the limit's name (`CpuTime`); a too long body is 413 `RequestBytes` |
//! | the agent's state would be too large | 422 `AgentStateBytes` |
//! | the agent did not catch its error, trapped, gave no answer or a wrong one | 500 `Uncaught`, `Trapped`, `NoAnswer`, `BadResponse` |
//! | the request cannot be given to an agent | 400 `BadRequest` |
//! | too many requests of the agent; too long a wait | 503 `AgentRequests`, `WaitTime`, `Busy` |
//! | this boot is over | 409 `Over` |
//!
//! What an agent answers itself has its own status, with `x-phala-agent`; a refusal has no such header.

use super::{
	sealed::{hex, read_only, wait_for_write},
	ChainView, ServerError, Shell,
};
use crate::{
	hosting::{parse_id, writes, AgentHost, AgentRunError, Call},
	limits,
	machine::{
		cluster::{calls::direct_request_id, work::DirectJob, CallError},
		MachineError,
	},
	worker::Worker,
};
use axum::{
	body::Body,
	extract::{Request, State},
	http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode},
	response::Response,
	routing::{any, get},
	Json, Router,
};
use codec::DecodeAll;
use phala_protocol::{
	agents::Access,
	refusals::Refusal,
	requests::{CallInput, ProvenAnswer},
	H256,
};
use phala_sandbox::{BlockRef, HttpRequest, HttpResponse, Limit, Outcome, RunError};
use serde_json::{json, Value};
use std::{sync::Arc, time::Duration};

const AGENT: HeaderName = HeaderName::from_static("x-phala-agent");
const CODE_HASH: HeaderName = HeaderName::from_static("x-phala-code-hash");
const UNPROVEN_INPUTS: HeaderName = HeaderName::from_static("x-phala-unproven-inputs");
/// The finalized block that the run saw; not there if it saw none.
const BLOCK: HeaderName = HeaderName::from_static("x-phala-block");
/// `fresh`, or the name of why nobody can say that `x-phala-block` is recent.
const FRESHNESS: HeaderName = HeaderName::from_static("x-phala-freshness");
/// These are the server's own: an agent cannot set them.
const OWN_PREFIX: &str = "x-phala-";

/// Headers of one connection (RFC 9110 §7.6.1), which go no further.
const HOP_BY_HOP: [HeaderName; 9] = [
	header::CONNECTION,
	header::PROXY_AUTHENTICATE,
	header::PROXY_AUTHORIZATION,
	header::TE,
	header::TRAILER,
	header::TRANSFER_ENCODING,
	header::UPGRADE,
	HeaderName::from_static("keep-alive"),
	HeaderName::from_static("proxy-connection"),
];

/// Names the proof of an answer.
const ANSWER: HeaderName = HeaderName::from_static("x-phala-answer");
/// Of the hashes in the proof.
const SALT: HeaderName = HeaderName::from_static("x-phala-salt");
/// The state that the run saw, or made.
const STATE_VERSION: HeaderName = HeaderName::from_static("x-phala-state-version");
/// What an agent of the chain gets, and the proof covers.
const PROVEN_HEADERS: [HeaderName; 3] =
	[header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION];

/// How long a plain call that writes may wait for its turn, in blocks.
const PLAIN_CALL_BLOCKS_MAX: u32 = 60;

#[derive(Clone)]
struct Server {
	agents: Arc<AgentHost>,
	/// None where there is no chain.
	shell: Option<Shell>,
	worker: Option<Worker>,
}

/// The server's routes.
pub fn router(agents: Arc<AgentHost>, worker: Option<Worker>) -> Router {
	let shell = worker.as_ref().map(|worker| worker.shell().clone());
	Router::new()
		.route("/v1/agents", get(list))
		.route("/agents/{agent}", any(call))
		.route("/agents/{agent}/", any(call))
		.route("/agents/{agent}/{*path}", any(call))
		.with_state(Server { agents, shell, worker })
}

/// `GET /v1/agents`: which agents answer here.
async fn list(State(server): State<Server>) -> Json<Value> {
	let from_folders = server.agents.agents();
	let mut agents: Vec<_> = from_folders
		.iter()
		.filter(|agent| server.agents.find(&hex(&agent.id())).is_some())
		.map(|agent| {
			json!({
				"id": hex(&agent.id()),
				"name": agent.name(),
				"codeHash": hex(&agent.code_hash()),
				"hosting": "development",
				"ready": true,
			})
		})
		.collect();
	if let Some(worker) = &server.worker {
		let known = worker.shell().as_member(|member, _| {
			let agents = member.agents.values();
			agents
				.map(|agent| (agent.snapshot.clone(), agent.state.version, agent.is_current()))
				.collect::<Vec<_>>()
		});
		for (snapshot, version, current) in known.unwrap_or_default() {
			let record = &snapshot.record;
			let program = worker.program(&record.code);
			agents.push(json!({
				"id": hex(snapshot.agent.as_bytes()),
				"name": program.as_ref().map(|program| program.name()),
				"codeHash": hex(record.code.component.as_bytes()),
				"manifestHash": hex(record.code.manifest.as_bytes()),
				"hosting": "chain",
				"version": version,
				"committedVersion": record.version,
				"writer": snapshot.lease.map(|lease| lease.worker),
				"ready": program.is_some() && current && version > 0,
			}));
		}
	}
	Json(json!({ "agents": agents }))
}

async fn call(State(server): State<Server>, request: Request) -> Result<Response, ServerError> {
	let (id_or_name, path_and_query) = split(&request);
	let from_folder = server.agents.find(&id_or_name);
	if let (None, Some(worker), Some(id)) = (&from_folder, &server.worker, parse_id(&id_or_name)) {
		return call_on_chain(worker, H256(id), request, path_and_query).await;
	}
	let agent = &from_folder.ok_or_else(|| {
		ServerError::new(
			StatusCode::NOT_FOUND,
			Refusal::NoSuchAgent,
			"this worker has no such agent; GET /v1/agents lists those that it has",
		)
	})?;
	let view = server.shell.as_ref().map(|shell| (shell.view(), shell.now_ms()));
	let freshness = freshness(view.as_ref())?;
	let block = view.and_then(|(view, _)| view.finalized);

	let admitted = server.agents.admit(agent)?;
	let writable = writes(request.method().as_str());
	let request = read(request, path_and_query, agent.request_bytes_max()).await?;
	let call = Call {
		request,
		caller: None,
		block: block
			.map(|(number, hash)| BlockRef { number: number.into(), hash: hash.0 })
			.unwrap_or_default(),
		writable,
	};
	let outcome = server.agents.run(admitted, call).await?;

	let Outcome { response, unproven_inputs, .. } = outcome;
	let mut response = answer(response)?;
	let headers = response.headers_mut();
	let mut say = |name, text: String| {
		if let Ok(value) = HeaderValue::try_from(text) {
			headers.insert(name, value);
		}
	};
	say(AGENT, hex(&agent.id()));
	say(CODE_HASH, hex(&agent.code_hash()));
	say(UNPROVEN_INPUTS, unproven_inputs.len().to_string());
	say(FRESHNESS, freshness);
	if let Some((number, _)) = block {
		say(BLOCK, number.to_string());
	}
	Ok(response)
}

/// An agent of the chain, called by nobody in particular.
async fn call_on_chain(
	worker: &Worker,
	agent: H256,
	request: Request,
	path_and_query: String,
) -> Result<Response, ServerError> {
	let (access, code, height) = worker.shell().as_member(|member, turn| {
		let found = member.ready(agent, turn)?;
		let record = &found.snapshot.record;
		Ok::<_, CallError>((record.access, record.code, turn.height))
	})??;
	if access != Access::Public {
		return Err(CallError::CallerNotAllowed.into());
	}
	let hosted = worker
		.installed_with(agent, &code)
		.ok_or(CallError::NotReady { why: "its code has not come here yet" })?;
	let admitted = writes(request.method().as_str()).then(|| worker.host().admit(&hosted));
	let _admitted = admitted.transpose()?;
	let request = read(request, path_and_query, hosted.request_bytes_max()).await?;
	let proven = |name: &HeaderName| {
		let own = request.headers.iter().find(|(own, _)| own == name.as_str());
		own.map(|(name, value)| (name.clone().into_bytes(), value.clone()))
	};
	let input = CallInput {
		headers: PROVEN_HEADERS.iter().filter_map(proven).collect(),
		method: request.method.clone().into_bytes(),
		path: request.path_and_query.into_bytes(),
		body: request.body,
	};
	let answered = if writes(&request.method) {
		let request = worker.shell().as_member(|_, turn| direct_request_id(turn.rng))?;
		let expiry = height.saturating_add(PLAIN_CALL_BLOCKS_MAX);
		let code = code.component;
		let job = DirectJob { caller: None, input, reply: None, expiry, request, code };
		let bytes = wait_for_write(worker, agent, job).await?;
		ProvenAnswer::decode_all(&mut &bytes[..])
			.map_err(|_| CallError::Malformed { expected: "an answer" })?
	} else {
		read_only(worker, agent, None, None, input).await?
	};
	let ProvenAnswer { output, salt, proof } = answered;
	let headers = output.headers.into_iter();
	let mut response = answer(HttpResponse {
		status: output.status,
		headers: headers
			.map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value))
			.collect(),
		body: output.body,
	})?;
	let content = &proof.content;
	let said = [
		(AGENT, hex(agent.as_bytes())),
		(CODE_HASH, hex(content.code.as_bytes())),
		(UNPROVEN_INPUTS, content.unproven_inputs.to_string()),
		(BLOCK, content.block.to_string()),
		(FRESHNESS, "fresh".to_owned()),
		(STATE_VERSION, content.state_version.to_string()),
		(ANSWER, hex(proof.id().as_bytes())),
		(SALT, hex(&salt)),
	];
	for (name, text) in said {
		if let Ok(value) = HeaderValue::try_from(text) {
			response.headers_mut().insert(name, value);
		}
	}
	Ok(response)
}

/// The agent, and the path as the agent sees it: what stands after its own part, not decoded.
fn split(request: &Request) -> (String, String) {
	let path = request.uri().path();
	let path = path.strip_prefix("/agents/").unwrap_or(path);
	let (agent, rest) = path.split_once('/').unwrap_or((path, ""));
	let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
	(agent.to_owned(), format!("/{rest}{query}"))
}

/// In development a boot that is not registered, or whose view is old, answers, and says so. One
/// that is over does not: the worker has another.
fn freshness(view: Option<&(ChainView, u64)>) -> Result<String, ServerError> {
	match view.map(|(view, now_ms)| view.require_fresh(*now_ms)) {
		None => Ok("NoChain".to_owned()),
		Some(Ok(())) => Ok("fresh".to_owned()),
		Some(Err(over @ MachineError::Over { .. })) => Err(over.into()),
		Some(Err(refused)) => Ok(refused.refusal().name().to_owned()),
	}
}

async fn read(
	request: Request,
	path_and_query: String,
	bytes_max: u64,
) -> Result<HttpRequest, ServerError> {
	let (parts, body) = request.into_parts();
	let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
	let body = tokio::time::timeout(
		Duration::from_millis(limits::BODY_WAIT_MS_MAX),
		axum::body::to_bytes(body, bytes_max),
	)
	.await
	.map_err(|_| {
		let message = format!("the body took longer than {} ms", limits::BODY_WAIT_MS_MAX);
		ServerError::new(StatusCode::REQUEST_TIMEOUT, Refusal::BodyTime, message)
	})?
	.map_err(|_| {
		let message = format!(
			"the body broke off, or has more than {bytes_max} bytes, the most for this agent"
		);
		ServerError::new(StatusCode::PAYLOAD_TOO_LARGE, Refusal::RequestBytes, message)
	})?;
	let dropped = connection_options(&parts.headers);
	let headers = parts
		.headers
		.iter()
		.filter(|(name, _)| !is_hop_by_hop(name, &dropped))
		.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
		.collect();
	Ok(HttpRequest {
		method: parts.method.as_str().to_owned(),
		path_and_query,
		headers,
		body: body.into(),
	})
}

fn answer(response: HttpResponse) -> Result<Response, ServerError> {
	let refused =
		|what: &'static str| ServerError::from(AgentRunError::Run(RunError::BadResponse(what)));
	let status = StatusCode::from_u16(response.status)
		.ok()
		.filter(|status| !status.is_informational())
		.ok_or_else(|| refused("its status is not one of a final answer"))?;
	let mut headers = HeaderMap::new();
	for (name, value) in response.headers {
		let name =
			HeaderName::try_from(name).map_err(|_| refused("a header has no proper name"))?;
		let value =
			HeaderValue::try_from(value).map_err(|_| refused("a header has no proper value"))?;
		headers.try_append(name, value).map_err(|_| refused("it has too many headers"))?;
	}
	let dropped = connection_options(&headers);
	let mut response = Response::new(Body::from(response.body));
	*response.status_mut() = status;
	for (name, value) in &headers {
		let is_ours = *name == header::CONTENT_LENGTH || name.as_str().starts_with(OWN_PREFIX);
		if !is_ours && !is_hop_by_hop(name, &dropped) {
			response.headers_mut().append(name, value.clone());
		}
	}
	Ok(response)
}

/// Further headers of the connection alone, which `Connection` names.
fn connection_options(headers: &HeaderMap) -> Vec<String> {
	headers
		.get_all(header::CONNECTION)
		.iter()
		.filter_map(|value| value.to_str().ok())
		.flat_map(|value| value.split(','))
		.map(|option| option.trim().to_ascii_lowercase())
		.collect()
}

fn is_hop_by_hop(name: &HeaderName, options: &[String]) -> bool {
	HOP_BY_HOP.contains(name) || options.iter().any(|option| option == name.as_str())
}

impl From<AgentRunError> for ServerError {
	fn from(refused: AgentRunError) -> Self {
		let status = match &refused {
			AgentRunError::AgentRequests { .. } | AgentRunError::WaitTime { .. } => {
				StatusCode::SERVICE_UNAVAILABLE
			}
			AgentRunError::AgentStateBytes { .. } => StatusCode::UNPROCESSABLE_ENTITY,
			AgentRunError::Run(error) => match error {
				RunError::LimitExceeded(exceeded) if exceeded.limit == Limit::RequestBytes => {
					StatusCode::PAYLOAD_TOO_LARGE
				}
				RunError::LimitExceeded(_) => StatusCode::UNPROCESSABLE_ENTITY,
				RunError::BadRequest(_) => StatusCode::BAD_REQUEST,
				RunError::Busy | RunError::Host(_) => StatusCode::SERVICE_UNAVAILABLE,
				RunError::Uncaught
				| RunError::Trapped(_)
				| RunError::NoAnswer
				| RunError::BadResponse(_) => StatusCode::INTERNAL_SERVER_ERROR,
			},
		};
		Self::new(status, refused.refusal(), refused)
	}
}
