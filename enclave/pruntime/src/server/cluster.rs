//! Between members, and code for all: on the public server.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/cluster/bodies` | a lease holder has this member keep an encrypted body |
//! | `GET /v1/cluster/agents/{id}/bodies?from=` | encrypted bodies that the chain committed |
//! | `GET`, `PUT /v1/code/{hash}` | a component or manifest that the chain names |

use super::{bounded, ServerError};
use crate::{
	limits,
	machine::cluster::{CallError, ReplicatedBody},
	worker::{BlobError, Worker},
};
use axum::{
	body::Bytes,
	extract::{DefaultBodyLimit, Path, Query, State},
	http::StatusCode,
	middleware::from_fn_with_state,
	routing::{get, post},
	Router,
};
use codec::{DecodeAll, Encode};
use phala_keys::state::SealedBody;
use phala_protocol::refusals::Refusal;
use phala_protocol::H256;
use serde::Deserialize;

/// The server's routes.
pub fn router(worker: Worker) -> Router {
	let bodies = Router::new()
		.route("/v1/cluster/bodies", post(keep))
		.layer(DefaultBodyLimit::max(limits::PEER_BODY_BYTES_MAX));
	let code = Router::new()
		.route("/v1/code/{hash}", get(code).put(take_code))
		// One more, so that a blob that is too long is refused by its own name.
		.layer(DefaultBodyLimit::max(limits::BLOB_BYTES_MAX + 1));
	Router::new()
		.route("/v1/cluster/agents/{id}/bodies", get(give))
		.merge(bodies)
		.merge(code)
		.layer(from_fn_with_state(worker.clone(), bounded))
		.with_state(worker)
}

async fn keep(State(worker): State<Worker>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	let brought = ReplicatedBody::decode_all(&mut &body[..])
		.map_err(|_| CallError::Malformed { expected: "the SCALE of a replicated body" })?;
	let word = worker.shell().as_member(|member, turn| member.keep(brought, turn))??;
	Ok(word.encode())
}

#[derive(Deserialize)]
struct From {
	from: u64,
}

async fn give(
	State(worker): State<Worker>,
	Path(id): Path<String>,
	Query(From { from }): Query<From>,
) -> Result<Vec<u8>, ServerError> {
	let id = parse_hash(&id)?;
	let bodies: Vec<SealedBody> = worker.shell().as_member(|member, _| {
		let agent = member.agents.get(&id).ok_or(CallError::NoSuchAgent)?;
		let mut bytes = 0;
		Ok::<_, CallError>(
			agent
				.bodies
				.range(from..)
				.take(limits::BODIES_PER_ANSWER_MAX)
				.take_while(|(_, body)| {
					let fits = bytes == 0;
					bytes += body.ciphertext.len();
					fits || bytes < limits::PEER_BODY_BYTES_MAX / 2
				})
				.map(|(_, body)| body.clone())
				.collect(),
		)
	})??;
	Ok(bodies.encode())
}

async fn code(
	State(worker): State<Worker>,
	Path(hash): Path<String>,
) -> Result<Bytes, ServerError> {
	let hash = parse_hash(&hash)?;
	let blob = worker.blobs().get(&hash).ok_or_else(|| {
		ServerError::new(
			StatusCode::NOT_FOUND,
			Refusal::NoSuchCode,
			"this worker does not have this code",
		)
	})?;
	// Not copied: a slow reader holds no memory of its own.
	Ok(Bytes::from_owner(blob))
}

async fn take_code(
	State(worker): State<Worker>,
	Path(hash): Path<String>,
	body: Bytes,
) -> Result<StatusCode, ServerError> {
	let hash = parse_hash(&hash)?;
	worker.blobs().put(hash, body.to_vec()).map_err(|refused| {
		let status = match refused {
			BlobError::CodeNotWanted => StatusCode::CONFLICT,
			BlobError::WrongHash => StatusCode::BAD_REQUEST,
			BlobError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
		};
		ServerError::new(status, refused.refusal(), refused)
	})?;
	worker.shell().nudge();
	Ok(StatusCode::NO_CONTENT)
}

/// 32 bytes in hexadecimal in a path.
pub(super) fn parse_hash(text: &str) -> Result<H256, ServerError> {
	crate::hosting::parse_id(text).map(H256).ok_or_else(|| {
		ServerError::bad_request(
			Refusal::Malformed,
			"32 bytes in hexadecimal are expected in the path",
		)
	})
}
