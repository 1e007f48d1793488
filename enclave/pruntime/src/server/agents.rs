//! Agents on the public server: `ANY /agents/{id}/{path}`, `GET /v1/agents`. Where there is no chain,
//! agents answer to their names too.
//!
//! GET, HEAD, OPTIONS and TRACE only read state; every other method may write. Callers are anonymous
//! and whoever carries the call can read it: sealed calls are for the rest (`server::sealed`).
//!
//! An agent answers here if its access is public. It gets the headers `content-type`,
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
//! | the body did not come in time, or broke off | 408 `BodyTime`, 400 `Malformed` |
//! | too many requests of the agent; too long a wait | 503 `AgentRequests`, `WaitTime`, `TooManyCalls`, `Busy` |
//! | too many bytes of bodies at this server | 503 `TooManyRequests` |
//! | this boot is over | 409 `Over` |
//!
//! What an agent answers itself has its own status, with `x-phala-agent`; a refusal has no such header.

use super::{
	bodies::{Bodies, BodyError},
	hex, ServerError,
};
use crate::{
	executor::{Executor, Lane},
	hexadecimal::parse_hash,
};
use axum::{
	body::Body,
	extract::{Request, State},
	http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode},
	response::Response,
	routing::{any, get},
	Json, Router,
};
use phala_machine::{worker::CodeProgress, Answer, Event, MachineError, OpenedCall, Snapshot};
use phala_protocol::{
	agents::{Access, AgentCode, AgentId},
	refusals::Refusal,
	requests::{CallInput, ProvenAnswer},
};
use phala_sandbox::{HttpRequest, HttpResponse};
use serde_json::{json, Value};

const AGENT: HeaderName = HeaderName::from_static("x-phala-agent");
const CODE_HASH: HeaderName = HeaderName::from_static("x-phala-code-hash");
const MANIFEST_HASH: HeaderName = HeaderName::from_static("x-phala-manifest-hash");
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

/// The server's routes.
pub fn router(executor: Executor, bodies: Bodies) -> Router {
	let calls = Router::new()
		.route("/agents/{agent}", any(call))
		.route("/agents/{agent}/", any(call))
		.route("/agents/{agent}/{*path}", any(call))
		.with_state((executor.clone(), bodies));
	Router::new().route("/v1/agents", get(list)).with_state(executor).merge(calls)
}

/// `GET /v1/agents`: which agents answer here.
async fn list(State(executor): State<Executor>) -> Json<Value> {
	let snapshot = executor.snapshot();
	let hosting = if snapshot.has_chain() { "chain" } else { "development" };
	let clusters = snapshot.cluster.iter();
	let agents = clusters
		.flat_map(|cluster| cluster.agents.iter().map(move |(id, agent)| (cluster, id, agent)));
	let agents: Vec<_> = agents
		.map(|(cluster, id, agent)| {
			let lacks = cluster.lacks(agent);
			let record = &agent.snapshot.record;
			let version = agent.state.version;
			json!({
				"id": hex(id),
				"name": agent.program.as_ref().map(|program| &program.name),
				"codeHash": hex(record.code.component),
				"manifestHash": hex(record.code.manifest),
				"hosting": hosting,
				"version": version,
				"committedVersion": record.version,
				"writer": agent.snapshot.lease.map(|lease| lease.worker),
				"ready": lacks.is_none(),
				"lacks": lacks,
				"planned": agent.planned.as_ref().map(planned),
			})
		})
		.collect();
	Json(json!({ "agents": agents }))
}

/// Code that is to run later, and how far it is here: `awaited`, `compiling`, `ready`, or `refused` with
/// a message.
fn planned((code, progress): &(AgentCode, CodeProgress)) -> Value {
	let (progress, message) = match progress {
		CodeProgress::Awaited => ("awaited", None),
		CodeProgress::Compiling => ("compiling", None),
		CodeProgress::Ready => ("ready", None),
		CodeProgress::Refused(why) => ("refused", Some(&**why)),
	};
	json!({
		"codeHash": hex(code.component),
		"manifestHash": hex(code.manifest),
		"progress": progress,
		"message": message,
	})
}

/// An agent, called by nobody in particular.
async fn call(
	State((executor, bodies)): State<(Executor, Bodies)>,
	request: Request,
) -> Result<Response, ServerError> {
	let (id_or_name, path_and_query) = split(&request);
	let (agent, request_bytes_max) = {
		let snapshot = executor.snapshot();
		let agent = find(&snapshot, &id_or_name).ok_or(MachineError::NoSuchAgent)?;
		let view = snapshot.ready(agent, executor.now())?;
		if view.snapshot.record.access != Access::Public {
			return Err(MachineError::CallerNotAllowed.into());
		}
		let program = view.program.as_ref();
		(agent, program.map_or(0, |program| program.request_bytes_max))
	};
	let request = read(&bodies, request, path_and_query, request_bytes_max).await?;
	let proven = |name: &HeaderName| {
		let own = request.headers.iter().find(|(own, _)| own == name.as_str());
		own.map(|(name, value)| (name.clone().into_bytes(), value.clone()))
	};
	let input = CallInput {
		headers: PROVEN_HEADERS.iter().filter_map(proven).collect(),
		method: request.method.into_bytes(),
		path: request.path_and_query.into_bytes(),
		body: request.body,
	};
	let call = executor
		.compute(Lane::Callers, move |_| Box::new(OpenedCall::public(agent, input)))
		.await?;
	let answered = match executor.ask(|reply| Event::Called { reply, call }).await? {
		Answer::Plain(answered) => *answered,
		_ => return Err(ServerError::other_answer()),
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
	let mut said = vec![
		(AGENT, hex(agent)),
		(CODE_HASH, hex(content.code.component)),
		(MANIFEST_HASH, hex(content.code.manifest)),
		(UNPROVEN_INPUTS, content.unproven_inputs.to_string()),
		(STATE_VERSION, content.state_version.to_string()),
	];
	if executor.snapshot().has_chain() {
		said.extend([
			(BLOCK, content.block.to_string()),
			(FRESHNESS, "fresh".to_owned()),
			(ANSWER, hex(proof.id())),
			(SALT, hex(salt)),
		]);
	} else {
		// There is nothing that could prove who signed.
		said.push((FRESHNESS, Refusal::NoChain.name().to_owned()));
	}
	for (name, text) in said {
		if let Ok(value) = HeaderValue::try_from(text) {
			response.headers_mut().insert(name, value);
		}
	}
	Ok(response)
}

/// By its id, or where there is no chain by its name.
fn find(snapshot: &Snapshot, id_or_name: &str) -> Option<AgentId> {
	if let Some(id) = parse_hash(id_or_name) {
		return Some(id);
	}
	let agents = snapshot.cluster.iter().flat_map(|cluster| &cluster.agents);
	let mut named = agents.filter(|(_, agent)| {
		!snapshot.has_chain()
			&& agent.program.as_ref().is_some_and(|program| program.name == id_or_name)
	});
	named.next().map(|(id, _)| *id)
}

/// The agent, and the path as the agent sees it: what stands after its own part, not decoded.
fn split(request: &Request) -> (String, String) {
	let path = request.uri().path();
	let path = path.strip_prefix("/agents/").unwrap_or(path);
	let (agent, rest) = path.split_once('/').unwrap_or((path, ""));
	let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
	(agent.to_owned(), format!("/{rest}{query}"))
}

async fn read(
	bodies: &Bodies,
	request: Request,
	path_and_query: String,
	bytes_max: u64,
) -> Result<HttpRequest, ServerError> {
	let (parts, body) = request.into_parts();
	let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
	let body = bodies.read(body, bytes_max).await.map_err(|refused| match refused {
		BodyError::TooLong(_) => {
			let message =
				format!("the body has more than {bytes_max} bytes, the most for this agent");
			ServerError::new(StatusCode::PAYLOAD_TOO_LARGE, Refusal::RequestBytes, message)
		}
		refused => refused.into(),
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
		body: body.into_bytes(),
	})
}

fn answer(response: HttpResponse) -> Result<Response, ServerError> {
	let refused = |what: &str| {
		let message = format!("the agent's answer was refused: {what}");
		ServerError::from(MachineError::Failed { refusal: Refusal::BadResponse, message })
	};
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
