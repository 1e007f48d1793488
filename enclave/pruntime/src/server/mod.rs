//! HTTP: the relay server for the relayer, the public server for everybody else. Both parse, have
//! verified what came, ask the machine, and answer; what is only read comes from its snapshot.

pub mod agents;
mod bodies;
pub mod cluster;
pub mod connections;
pub mod public;
pub mod relay;
pub mod sealed;
#[cfg(all(test, feature = "software-evidence"))]
mod tests;
#[cfg(test)]
mod villains;

use crate::{
	executor::Executor,
	hexadecimal::{self, hex},
	limits,
	store::CodeError,
};
use axum::{
	extract::State,
	http::StatusCode,
	response::{IntoResponse, Response},
	Json, Router,
};
use bodies::Bodies;
use phala_machine::MachineError;
use phala_protocol::{boot::WorkerId, refusals::Refusal, H256};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// All routes of the public server.
pub fn public_router(executor: Executor) -> Router {
	// Members have their own, so that callers cannot keep a lease holder from its quorum. Whoever
	// brings a member's body waits no longer than a peer does.
	let callers = Bodies::new(limits::CALLER_BODIES_BYTES_MAX, limits::BODY_WAIT_MS_MAX);
	let members = Bodies::new(limits::MEMBER_BODIES_BYTES_MAX, limits::PEER_WAIT_MS_MAX);
	Router::new()
		.merge(public::router(executor.clone()))
		.merge(cluster::router(executor.clone(), members, callers.clone()))
		.merge(sealed::router(executor.clone(), callers.clone()))
		.merge(agents::router(executor, callers))
		.fallback(nothing_here)
		.layer(axum::middleware::map_request(|request: axum::extract::Request| async {
			request.map(bodies::read_out)
		}))
}

async fn nothing_here(request: axum::extract::Request) -> ServerError {
	let (method, path) = (request.method(), request.uri().path());
	let message = format!("there is no {method} {path} here: `GET /v1/info` says who this is, `GET /v1/agents` which agents it has");
	ServerError::new(StatusCode::NOT_FOUND, Refusal::BadRequest, message)
}

/// So many requests at once and no more. For what is answered out of memory or off the pool: never
/// while a body is read, or while a call waits for its commit.
fn places() -> Arc<Semaphore> {
	Arc::new(Semaphore::new(limits::SERVER_REQUESTS_MAX))
}

async fn bounded(
	State(permits): State<Arc<Semaphore>>,
	request: axum::extract::Request,
	next: axum::middleware::Next,
) -> Result<Response, ServerError> {
	let _permit = permits.try_acquire().map_err(|_| {
		let message = format!(
			"this worker works on {} requests at once, the most; try again in a moment",
			limits::SERVER_REQUESTS_MAX
		);
		ServerError::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::TooManyRequests, message)
	})?;
	Ok(next.run(request).await)
}

/// 32 bytes in hexadecimal in a path, `0x` or not.
fn parse_hash(text: &str) -> Result<H256, ServerError> {
	hexadecimal::parse_hash(text).ok_or_else(|| {
		ServerError::bad_request(
			Refusal::Malformed,
			"32 bytes in hexadecimal are expected in the path",
		)
	})
}

/// A refusal as both servers answer it.
pub struct ServerError {
	status: StatusCode,
	refusal: Refusal,
	message: String,
	/// Where to go instead: the worker that writes the agent.
	worker: Option<WorkerId>,
}

impl ServerError {
	fn new(status: StatusCode, refusal: Refusal, message: impl std::fmt::Display) -> Self {
		Self { status, refusal, message: message.to_string(), worker: None }
	}

	fn bad_request(refusal: Refusal, message: impl std::fmt::Display) -> Self {
		Self::new(StatusCode::BAD_REQUEST, refusal, message)
	}

	/// The machine answered something else than was asked: a bug.
	fn other_answer() -> Self {
		let message = "the worker answered something else than was asked; report this";
		Self::new(StatusCode::INTERNAL_SERVER_ERROR, Refusal::Interrupted, message)
	}
}

impl From<MachineError> for ServerError {
	fn from(refused: MachineError) -> Self {
		use MachineError::*;
		let status = match &refused {
			Proof(_) => StatusCode::UNPROCESSABLE_ENTITY,
			WrongPhase { .. }
			| NothingNew { .. }
			| OutboxFull { .. }
			| NoEvidence(_)
			| Over { .. }
			| Suspended { .. } => StatusCode::CONFLICT,
			NoCluster | NoSuchAgent => StatusCode::NOT_FOUND,
			NotReady { .. }
			| NotFresh { .. }
			| TooManyCalls
			| NotCommitted
			| Interrupted
			| TaskFailed { .. }
			| Busy
			| AgentRequests { .. }
			| WaitTime { .. } => StatusCode::SERVICE_UNAVAILABLE,
			Malformed { .. } | Input(_) | QueryTooOld { .. } => StatusCode::BAD_REQUEST,
			BadSignature { .. } => StatusCode::UNAUTHORIZED,
			CallerNotAllowed | NotOwner | NotFromLeaseHolder | CallToWrite => StatusCode::FORBIDDEN,
			State(_) => StatusCode::UNPROCESSABLE_ENTITY,
			Repeated | NotLeaseHolder { .. } | OtherCode => StatusCode::CONFLICT,
			TooLate | MayStillCommit | ReadTime { .. } => StatusCode::GATEWAY_TIMEOUT,
			Failed { refusal, .. } => match refusal {
				Refusal::Uncaught | Refusal::Trapped | Refusal::NoAnswer | Refusal::BadResponse => {
					StatusCode::INTERNAL_SERVER_ERROR
				}
				Refusal::BadRequest => StatusCode::BAD_REQUEST,
				Refusal::RequestBytes => StatusCode::PAYLOAD_TOO_LARGE,
				Refusal::Host => StatusCode::SERVICE_UNAVAILABLE,
				_ => StatusCode::UNPROCESSABLE_ENTITY,
			},
		};
		let worker = match &refused {
			NotLeaseHolder { worker } => *worker,
			_ => None,
		};
		Self { worker, ..Self::new(status, refused.refusal(), refused) }
	}
}

impl From<CodeError> for ServerError {
	fn from(refused: CodeError) -> Self {
		let (status, refusal) = match refused {
			CodeError::NotWanted => (StatusCode::CONFLICT, Refusal::CodeNotWanted),
			CodeError::WrongHash => (StatusCode::BAD_REQUEST, Refusal::WrongHash),
			CodeError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, Refusal::TooLong),
		};
		Self::new(status, refusal, refused)
	}
}

impl IntoResponse for ServerError {
	fn into_response(self) -> Response {
		let mut body = serde_json::json!({ "error": self.refusal.name(), "message": self.message });
		if let (Some(worker), Some(fields)) = (self.worker, body.as_object_mut()) {
			fields.insert("worker".into(), worker.into());
		}
		(self.status, Json(body)).into_response()
	}
}
