//! Where the relayer stands, for people and monitors.

use axum::{extract::State, routing::get, Json, Router};
use phala_protocol::relay::EnclaveStatus;
use serde::Serialize;
use std::{
	sync::{Arc, Mutex, PoisonError},
	time::{SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpListener;

/// Path of the JSON of [`Standing`].
pub const STATUS_PATH: &str = "/v1/status";

/// Where the relayer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
	/// Whether the node answers.
	pub node_connected: bool,
	/// Whether the enclave answers.
	pub enclave_connected: bool,
	/// What the enclave waits for.
	pub phase: Option<&'static str>,
	/// The enclave's worker.
	pub worker: Option<u32>,
	/// The enclave's boot number, once registered.
	pub boot: Option<u32>,
	/// The enclave's newest finalized block.
	pub height: Option<u32>,
	/// The chain's newest finalized block.
	pub finalized: Option<u32>,
	/// How many blocks the enclave is behind.
	pub lag: Option<u32>,
	/// Envelopes that the enclave knows not to be consumed.
	pub queued: Option<u32>,
	/// What failed last; stays until something else fails.
	pub last_error: Option<String>,
	/// When that was, the last time it did; in seconds since 1970.
	pub last_error_at: Option<u64>,
}

/// A [`Standing`] that is shared, and logged when it changes.
#[derive(Clone, Debug, Default)]
pub struct SharedStatus(Arc<Mutex<Standing>>);

impl SharedStatus {
	/// Where the relayer stands now.
	pub fn standing(&self) -> Standing {
		self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
	}

	fn change(&self, change: impl FnOnce(&mut Standing)) -> (Standing, Standing) {
		let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
		let before = standing.clone();
		change(&mut standing);
		standing.lag = standing
			.finalized
			.zip(standing.height)
			.map(|(finalized, height)| finalized.saturating_sub(height));
		(before, standing.clone())
	}

	pub(crate) fn node_connected(&self, connected: bool) {
		let (before, _) = self.change(|standing| standing.node_connected = connected);
		match (before.node_connected, connected) {
			(false, true) => tracing::info!("connected to the node"),
			(true, false) => tracing::warn!("lost the node"),
			_ => (),
		}
	}

	pub(crate) fn finalized(&self, finalized: u32) {
		self.change(|standing| standing.finalized = standing.finalized.max(Some(finalized)));
	}

	pub(crate) fn enclave_lost(&self) {
		let (before, _) = self.change(|standing| standing.enclave_connected = false);
		if before.enclave_connected {
			tracing::warn!("lost the enclave");
		}
	}

	pub(crate) fn enclave(&self, status: &EnclaveStatus) {
		let (before, after) = self.change(|standing| {
			standing.enclave_connected = true;
			standing.phase = Some(status.phase.name());
			standing.worker = Some(status.worker);
			standing.boot = status.boot;
			standing.height = Some(status.height);
			standing.queued = Some(status.queued);
		});
		if !before.enclave_connected {
			tracing::info!(worker = status.worker, "connected to the enclave");
		}
		if (before.phase, before.boot) != (after.phase, after.boot) {
			let phase = status.phase.name();
			tracing::info!(phase, boot = ?status.boot, height = status.height, "the enclave's phase");
		}
	}

	/// Logs an error once, however often it comes.
	pub(crate) fn error(&self, error: &crate::RelayError) {
		let text = error.to_string();
		let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).ok();
		let (before, _) = self.change(|standing| {
			standing.last_error = Some(text.clone());
			standing.last_error_at = since_1970.map(|time| time.as_secs());
		});
		if before.last_error.as_ref() != Some(&text) {
			tracing::warn!("{text}");
		} else {
			tracing::debug!("{text}");
		}
	}
}

/// Serves [`STATUS_PATH`] until the process ends.
pub async fn serve(listener: TcpListener, shared_status: SharedStatus) -> std::io::Result<()> {
	let standing =
		|State(shared_status): State<SharedStatus>| async move { Json(shared_status.standing()) };
	let router = Router::new().route(STATUS_PATH, get(standing)).with_state(shared_status);
	axum::serve(listener, router).await
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn lag_is_how_far_the_enclave_is_behind_the_chain() {
		let shared_status = SharedStatus::default();
		shared_status.finalized(12);
		assert_eq!(shared_status.standing().lag, None);
		shared_status.change(|standing| standing.height = Some(9));
		assert_eq!(shared_status.standing().lag, Some(3));
		shared_status.finalized(8);
		assert_eq!(shared_status.standing().finalized, Some(12), "finality does not go back");
	}
}
