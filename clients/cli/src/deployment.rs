//! Gets an agent's code onto the chain and onto every worker of its cluster, and waits for its birth.
//!
//! | module | does |
//! |---|---|
//! | [`register`](mod@register) | registers the agent |
//! | [`upload`](mod@upload) | brings its code to the workers |
//! | [`waiting`] | waits for its birth, and until its workers have it ready |
//! | [`keys`] | says where waiting is no use: the cluster's keys are lost |

mod keys;
mod register;
mod upload;
mod waiting;

pub use keys::{check_keys, lost_keys};
pub use register::{check_somebody_is_there, register};
pub use upload::{compiled, manifest, upload, upload_each, upload_to};
pub use waiting::{born, born_beside, followed, ready, settled};

#[cfg(test)]
mod tests {
	use crate::{calls::villains::crashed, commands::build::Built, presence::Looks};
	use axum::{
		routing::{get, put},
		Json, Router,
	};
	use phala_chain_client::clusters;
	use phala_protocol::{agents::AgentId, boot::WorkerId, H256};
	use serde_json::json;
	use std::time::Duration;

	pub const AGENT: AgentId = H256([7; 32]);

	/// Of a test in which who is there may be slow.
	pub const LOOKS: Looks = Looks { each: Duration::from_secs(60), max: 1 };

	pub fn built() -> Built {
		Built { name: "a".into(), component: vec![1], manifest: vec![2] }
	}

	/// Takes all code, and has the agent ready.
	pub async fn living(worker: WorkerId) -> clusters::Member {
		let code = built().code();
		let listed = json!({ "agents": [{
			"id": format!("{AGENT:?}"), "ready": true,
			"codeHash": format!("{:?}", code.component),
			"manifestHash": format!("{:?}", code.manifest),
		}] });
		let router = Router::new()
			.route("/v1/code/{hash}", put(|| async { Json(json!({})) }))
			.route("/v1/agents", get(move || async { Json(listed) }));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("http://{}", listener.local_addr().unwrap());
		tokio::spawn(async move { axum::serve(listener, router).await });
		clusters::Member { worker, endpoint }
	}

	/// A member that is gone for good.
	pub fn dead(worker: WorkerId) -> clusters::Member {
		crashed(worker).member
	}
}
