//! The relay server: SCALE in, SCALE out. Whoever speaks here is trusted with nothing; it should
//! still listen where only the operator's relayer reaches it, since it does work for whoever asks.

use super::{ServerError, Shell};
use crate::limits;
use axum::{
	body::Bytes,
	extract::{DefaultBodyLimit, State},
	routing::{get, post},
	Router,
};
use codec::{DecodeAll, Encode};
use phala_light_client::{decode_genesis_bundle, decode_sync_bundle};
use phala_protocol::refusals::Refusal;
use phala_protocol::relay::{paths, EnclaveStatus};

/// The server's routes.
pub fn router(shell: Shell) -> Router {
	Router::new()
		.route(paths::STATUS, get(status))
		.route(paths::GENESIS, post(genesis))
		.route(paths::SYNC, post(sync))
		.route(paths::REGISTRATION, post(registration))
		.route(paths::ENVELOPES, get(envelopes))
		.layer(DefaultBodyLimit::max(limits::RELAY_BODY_BYTES_MAX))
		.with_state(shell)
}

async fn status(State(shell): State<Shell>) -> Vec<u8> {
	shell.machine().0.status().encode()
}

async fn genesis(State(shell): State<Shell>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	let bundle = decode_genesis_bundle(&body).map_err(crate::machine::MachineError::from)?;
	let mut guard = shell.machine();
	guard.0.accept_genesis(&bundle)?;
	shell.publish(&guard.0);
	tracing::info!("the chain's first authority set is proven; following headers");
	Ok(guard.0.status().encode())
}

async fn sync(State(shell): State<Shell>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	// Hundreds of signatures: not on the threads that answer others.
	let status = tokio::task::spawn_blocking(move || sync_blocking(&shell, &body))
		.await
		.map_err(|error| ServerError::bad_request(Refusal::Interrupted, error))??;
	Ok(status.encode())
}

fn sync_blocking(shell: &Shell, body: &[u8]) -> Result<EnclaveStatus, ServerError> {
	let bundle = decode_sync_bundle(body).map_err(crate::machine::MachineError::from)?;
	let now_ms = shell.now_ms();
	let mut guard = shell.machine();
	let (machine, rng) = &mut *guard;
	let report = match machine.sync(bundle, now_ms, rng) {
		Ok(report) => report,
		Err(refused) => {
			tracing::warn!(error = %refused.refusal(), "refused a bundle: {refused}");
			return Err(refused.into());
		}
	};
	shell.publish(machine);
	if let Some(boot) = report.registered {
		tracing::info!(boot, height = report.height, "the chain registered this boot");
	}
	if report.over {
		tracing::warn!(height = report.height, "this boot is over: restart for a new one");
	}
	for (channel, seq) in &report.unknown {
		tracing::warn!(?channel, seq, "passed over a message of a later version");
	}
	tracing::debug!(height = report.height, messages = report.messages, "synced");
	Ok(machine.status())
}

async fn registration(State(shell): State<Shell>, body: Bytes) -> Result<Vec<u8>, ServerError> {
	let operator = <[u8; 32]>::decode_all(&mut &body[..]).map_err(|_| {
		ServerError::bad_request(
			Refusal::Malformed,
			"the operator's account id, 32 bytes, is expected",
		)
	})?;
	let registration = shell.machine().0.registration(operator, shell.platform())?;
	Ok(registration.encode())
}

async fn envelopes(State(shell): State<Shell>) -> Vec<u8> {
	shell.machine().0.envelopes().encode()
}
