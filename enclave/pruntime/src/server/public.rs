//! The public server: what anybody may know of this enclave.

use super::Shell;
use axum::{extract::State, routing::get, Json, Router};
use serde_json::{json, Value};

/// The server's routes.
pub fn router(shell: Shell) -> Router {
	Router::new().route("/v1/info", get(info)).with_state(shell)
}

/// `GET /v1/info`: who this is, where it stands and how old its view of the chain can be.
async fn info(State(shell): State<Shell>) -> Json<Value> {
	let now_ms = shell.now_ms();
	let (status, keys, view_age_ms, fresh, cluster) = {
		let guard = shell.machine();
		let machine = &guard.0;
		(
			machine.status(),
			machine.public_keys(),
			machine.view_age_ms(now_ms),
			machine.require_fresh(now_ms),
			machine.cluster(),
		)
	};
	Json(json!({
		"genesis": hex(status.genesis.as_bytes()),
		"worker": status.worker,
		"boot": status.boot,
		"phase": format!("{:?}", status.phase),
		"height": status.height,
		"queued": status.queued,
		"identity": hex(&keys.identity),
		"encryption": hex(&keys.encryption),
		"evidence": shell.platform().describe(),
		"viewAgeMs": view_age_ms,
		"fresh": fresh.is_ok(),
		"freshness": fresh.err().map(|refused| refused.to_string()),
		"cluster": cluster.map(|(cluster, _)| cluster),
		"clusterKeys": cluster.is_some_and(|(_, ready)| ready),
		"version": env!("CARGO_PKG_VERSION"),
	}))
}

fn hex(bytes: &[u8]) -> String {
	format!("0x{}", hex::encode(bytes))
}
