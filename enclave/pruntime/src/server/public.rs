//! The public server: what anybody may know of this enclave.

use super::hex;
use crate::executor::Executor;
use axum::{extract::State, routing::get, Json, Router};
use serde_json::{json, Value};

/// The server's routes.
pub fn router(executor: Executor) -> Router {
	Router::new().route("/v1/info", get(info)).with_state(executor)
}

/// `GET /v1/info`: who this is, where it stands and how old its view of the chain can be.
async fn info(State(executor): State<Executor>) -> Json<Value> {
	let (snapshot, now) = (executor.snapshot(), executor.now());
	let (status, fresh) = (&snapshot.status, snapshot.require_fresh(now));
	let cluster = snapshot.cluster.as_ref();
	Json(json!({
		"genesis": hex(status.genesis),
		"worker": status.worker,
		"boot": status.boot,
		"phase": status.phase.name(),
		"height": status.height,
		"queued": status.queued,
		"identity": hex(snapshot.keys.identity),
		"encryption": hex(snapshot.keys.encryption),
		"evidence": executor.platform().describe(),
		"viewAgeMs": snapshot.view_age_ms(now),
		"fresh": fresh.is_ok(),
		"freshness": fresh.err().map(|refused| refused.to_string()),
		"suspended": snapshot.suspended.as_ref().map(|refused| refused.to_string()),
		"cluster": cluster.map(|cluster| cluster.cluster),
		"clusterKeys": cluster.is_some_and(|cluster| cluster.has_keys),
		"agents": cluster.map(|cluster| cluster.agents.len()),
		"agentsReady": cluster.map(|_| snapshot.ready_agents(now)),
		"version": env!("CARGO_PKG_VERSION"),
	}))
}
