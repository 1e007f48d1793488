//! Clusters, and gatekeepers: who may keep agents and keys.

use super::{sender, storage, Sender};
use anyhow::{bail, ensure, Context};
use codec::Encode;
use phala_pherry::{
	chain::Chain,
	header::HeaderId,
	submit::{Call, Included},
};
use phala_protocol::{
	agents::{AgentId, Lease},
	boot::WorkerId,
	limits::ENDPOINT_BYTES_MAX,
	mailbox::ClusterId,
	BlockNumber,
};
use subxt::ext::scale_decode::DecodeAsType;

const CLUSTERS: &str = "Clusters";
const GATEKEEPERS: &str = "Gatekeepers";

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ClusterCreated {
	cluster: ClusterId,
}

/// Creates a cluster; its number, and the block.
///
/// # Errors
/// What the chain refused, and what to do.
pub async fn create(owner: &Sender) -> anyhow::Result<(ClusterId, BlockNumber)> {
	let call =
		Call { name: "clusters.create", pallet: CLUSTERS, call: "create", arguments: vec![] };
	let included = owner.send(call).await?;
	let ClusterCreated { cluster } = sender::event(&included, CLUSTERS, "ClusterCreated")?;
	Ok((cluster, included.block.number))
}

/// Asks for a worker to become a member.
///
/// # Errors
/// What was refused, and what to do.
pub async fn request_join(
	operator: &Sender,
	cluster: ClusterId,
	worker: WorkerId,
	endpoint: &str,
) -> anyhow::Result<Included> {
	let url: url::Url = endpoint
		.parse()
		.with_context(|| format!("{endpoint:?} is no URL, as in http://203.0.113.7:8000"))?;
	ensure!(
		["http", "https"].contains(&url.scheme()) && url.has_host(),
		"{endpoint:?} is neither http nor https"
	);
	let endpoint = endpoint.trim_end_matches('/').as_bytes();
	ensure!(
		endpoint.len() <= ENDPOINT_BYTES_MAX as usize,
		"the URL has {} bytes; at most {ENDPOINT_BYTES_MAX} are taken",
		endpoint.len()
	);
	let arguments = (cluster, worker, endpoint).encode();
	let call =
		Call { name: "clusters.request_join", pallet: CLUSTERS, call: "request_join", arguments };
	operator.send(call).await
}

/// Lets a worker in that asked for it.
pub fn approve_join(cluster: ClusterId, worker: WorkerId) -> Call {
	let arguments = (cluster, worker).encode();
	Call { name: "clusters.approve_join", pallet: CLUSTERS, call: "approve_join", arguments }
}

/// A worker's operator offers it as a gatekeeper.
pub fn apply(worker: WorkerId) -> Call {
	let arguments = worker.encode();
	Call { name: "gatekeepers.apply", pallet: GATEKEEPERS, call: "apply", arguments }
}

/// Root seats candidates.
pub fn seat(workers: &[WorkerId]) -> Call {
	let arguments = workers.encode();
	Call { name: "gatekeepers.seat", pallet: GATEKEEPERS, call: "seat", arguments }
}

/// A member as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
	pub worker: WorkerId,
	/// Base URL of its public server, as its operator says.
	pub endpoint: String,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct StoredMember {
	endpoint: Vec<u8>,
}

/// Who writes an agent; `None` while nobody can.
///
/// # Errors
/// Those of the node.
pub async fn lease(chain: &Chain, at: HeaderId, agent: AgentId) -> anyhow::Result<Option<Lease>> {
	storage::read(chain, at, storage::map(CLUSTERS, "Leases", &agent)).await
}

/// The members of a cluster at the newest finalized block, by worker.
///
/// # Errors
/// Those of the node; when it has no members.
pub async fn members(chain: &Chain, cluster: ClusterId) -> anyhow::Result<Vec<Member>> {
	let at = chain.online().at_current_block().await?;
	let address =
		subxt::dynamic::storage::<(ClusterId, WorkerId), StoredMember>(CLUSTERS, "Members");
	let mut entries = at.storage().iter(address, (cluster,)).await?;
	let mut members = Vec::new();
	while let Some(entry) = entries.next().await {
		let entry = entry?;
		let (_, worker) = entry.key()?.decode()?;
		let endpoint = String::from_utf8_lossy(&entry.value().decode()?.endpoint).into_owned();
		members.push(Member { worker, endpoint });
	}
	members.sort_by_key(|member| member.worker);
	if members.is_empty() {
		bail!("cluster {cluster} has no members: its owner lets one in with `phala cluster approve {cluster} <worker>`");
	}
	Ok(members)
}
