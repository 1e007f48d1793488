//! Clusters, their members and leases.

use crate::{bonding, Call, Chain, ChainClientError, HeaderId, Included, Sender};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentId, Lease},
	bonding::BondId,
	boot::{Boot, BootNumber, WorkerId},
	clusters::{MemberRecord, Opening},
	evidence::{Measurement, MeasurementRule},
	keys::Epoch,
	limits::{ENDPOINT_BYTES_MAX, LIVENESS_BLOCKS},
	mailbox::ClusterId,
	storage_keys, AccountBytes, BlockNumber,
};
use subxt::{ext::scale_decode::DecodeAsType, storage::Address};

const PALLET: &str = "Clusters";

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct ClusterCreated {
	cluster: ClusterId,
}

/// Creates a cluster; its number, and the block.
pub async fn create(owner: &Sender) -> Result<(ClusterId, BlockNumber), ChainClientError> {
	let call = Call { name: "clusters.create", pallet: PALLET, call: "create", arguments: vec![] };
	let included = owner.send(call).await?;
	let ClusterCreated { cluster } = included.event(PALLET, "ClusterCreated")?;
	Ok((cluster, included.block.number))
}

/// Asks for a worker to become a member.
///
/// # Errors
/// [`ChainClientError::EndpointRefused`], before anything is sent.
pub async fn request_join(
	operator: &Sender,
	cluster: ClusterId,
	worker: WorkerId,
	endpoint: &str,
) -> Result<Included, ChainClientError> {
	let arguments = (cluster, worker, checked_endpoint(endpoint)?.as_bytes()).encode();
	let call =
		Call { name: "clusters.request_join", pallet: PALLET, call: "request_join", arguments };
	operator.send(call).await
}

fn checked_endpoint(endpoint: &str) -> Result<&str, ChainClientError> {
	let refused = |why: &dyn std::fmt::Display| ChainClientError::EndpointRefused {
		endpoint: endpoint.to_owned(),
		why: why.to_string(),
	};
	let url: url::Url = endpoint.parse().map_err(|error| refused(&error))?;
	if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
		return Err(refused(&"it is neither http nor https"));
	}
	let endpoint = endpoint.trim_end_matches('/');
	if endpoint.len() > ENDPOINT_BYTES_MAX as usize {
		return Err(refused(&format!("it has {} bytes", endpoint.len())));
	}
	Ok(endpoint)
}

/// A worker that asks to join, as it is now: its owner approves exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
	pub worker: WorkerId,
	pub boot: BootNumber,
	pub measurement: Measurement,
	/// Base URL of its public server, as its operator says.
	pub endpoint: String,
}

/// What the chain knows of a worker that asked to join, at the best block.
///
/// # Errors
/// [`ChainClientError::NotAsked`] when it did not ask this cluster, or has no boot.
pub async fn applicant(
	chain: &Chain,
	cluster: ClusterId,
	worker: WorkerId,
) -> Result<Applicant, ChainClientError> {
	let asked = chain.join_request(worker).await?.filter(|(asked, _)| *asked == cluster);
	match (asked, chain.current_boot(worker).await?) {
		(Some((_, endpoint)), Some(boot)) => Ok(Applicant {
			worker,
			boot: boot.number,
			measurement: boot.measurement,
			endpoint: String::from_utf8_lossy(&endpoint).into_owned(),
		}),
		_ => Err(ChainClientError::NotAsked { cluster, worker }),
	}
}

/// Who owns a cluster, at the best block; `None` when there is no such cluster.
pub async fn owner(
	chain: &Chain,
	cluster: ClusterId,
) -> Result<Option<AccountBytes>, ChainClientError> {
	let at = chain.header(None).await?.0;
	let stored = chain.values(at, &[storage_keys::clusters_cluster(cluster)]).await?;
	let owner = stored.into_iter().flatten().next().map(|stored| {
		AccountBytes::decode(&mut &stored[..]).map_err(|error| ChainClientError::NodeAnswer {
			method: "Clusters.Clusters",
			reason: error.to_string(),
		})
	});
	owner.transpose()
}

/// The same of a cluster that is to be there.
///
/// # Errors
/// [`ChainClientError::UnknownCluster`], with those that there are.
pub async fn known_owner(
	chain: &Chain,
	cluster: ClusterId,
) -> Result<AccountBytes, ChainClientError> {
	match owner(chain, cluster).await? {
		Some(owner) => Ok(owner),
		None => Err(unknown(chain, cluster).await?),
	}
}

async fn unknown(chain: &Chain, cluster: ClusterId) -> Result<ChainClientError, ChainClientError> {
	/// Pallet and item, hashed: what all keys of a map begin with.
	const MAP_BYTES: usize = 32;
	let at = chain.header(None).await?.0;
	let key = storage_keys::clusters_cluster(cluster);
	let keys = chain.keys(at, key.get(..MAP_BYTES).unwrap_or(&key)).await?;
	// Each ends with its number in the clear.
	let numbers = keys.iter().filter_map(|key| key.split_last_chunk::<4>());
	let mut known: Vec<_> = numbers.map(|(_, number)| ClusterId::from_le_bytes(*number)).collect();
	known.sort_unstable();
	Ok(ChainClientError::UnknownCluster { cluster, known })
}

/// Lets a worker in that asked for it, if it still is what it was.
pub fn approve_join(cluster: ClusterId, applicant: &Applicant) -> Call {
	let Applicant { worker, boot, measurement, endpoint } = applicant;
	let arguments = (cluster, worker, boot, measurement, endpoint.as_bytes()).encode();
	Call { name: "clusters.approve_join", pallet: PALLET, call: "approve_join", arguments }
}

/// Says where a member is reached from now on. By its operator.
///
/// # Errors
/// [`ChainClientError::EndpointRefused`], before anything is sent.
pub fn set_endpoint(worker: WorkerId, endpoint: &str) -> Result<Call, ChainClientError> {
	let arguments = (worker, checked_endpoint(endpoint)?.as_bytes()).encode();
	Ok(Call { name: "clusters.set_endpoint", pallet: PALLET, call: "set_endpoint", arguments })
}

/// Takes a worker out of a cluster, or its request to join back. By its operator.
pub fn leave(cluster: ClusterId, worker: WorkerId) -> Call {
	let arguments = (cluster, worker).encode();
	Call { name: "clusters.leave", pallet: PALLET, call: "leave", arguments }
}

/// Takes a worker out of a cluster, or declines its request to join. By the cluster's owner.
pub fn remove_member(cluster: ClusterId, worker: WorkerId) -> Call {
	let arguments = (cluster, worker).encode();
	Call { name: "clusters.remove_member", pallet: PALLET, call: "remove_member", arguments }
}

/// The cluster that a worker is a member of, or else asked to join, at the best block.
///
/// # Errors
/// [`ChainClientError::InNoCluster`].
pub async fn cluster_of(chain: &Chain, worker: WorkerId) -> Result<ClusterId, ChainClientError> {
	let address = subxt::dynamic::storage::<(WorkerId,), ClusterId>(PALLET, "MemberOf");
	if let Some(cluster) = stored(chain, "Clusters.MemberOf", address, (worker,)).await? {
		return Ok(cluster);
	}
	let asked = chain.join_request(worker).await?;
	asked.map(|(cluster, _)| cluster).ok_or(ChainClientError::InNoCluster { worker })
}

/// A value of storage whose key no other program reads, at the best block.
pub(crate) async fn stored<A: Address>(
	chain: &Chain,
	name: &'static str,
	address: A,
	key: A::KeyParts,
) -> Result<Option<A::Value>, ChainClientError> {
	let (at, _) = chain.header(None).await?;
	stored_at(chain, at, name, address, key).await
}

/// The same at a block.
async fn stored_at<A: Address>(
	chain: &Chain,
	at: HeaderId,
	name: &'static str,
	address: A,
	key: A::KeyParts,
) -> Result<Option<A::Value>, ChainClientError> {
	let failed = |error: &dyn std::fmt::Display| ChainClientError::Node {
		method: name,
		reason: error.to_string(),
	};
	let at = chain.online().at_block(at.hash).await.map_err(|error| failed(&error))?;
	let found = at.storage().try_fetch(address, key).await.map_err(|error| failed(&error))?;
	found.map(|value| value.decode()).transpose().map_err(|error| failed(&error))
}

/// The master key that something was made under, or that serves.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct OfEpoch {
	epoch: Epoch,
}

/// Whether the chain has a cluster's keys, and has them only as wrapped under a master key that serves no
/// more, at the best block: a member that has them wraps them anew, and if none has, nobody opens them again.
pub async fn keys_are_overtaken(
	chain: &Chain,
	cluster: ClusterId,
) -> Result<bool, ChainClientError> {
	let address = subxt::dynamic::storage::<(ClusterId,), OfEpoch>(PALLET, "NewestKeys");
	let wrapped = stored(chain, "Clusters.NewestKeys", address, (cluster,)).await?;
	let address = subxt::dynamic::storage::<(), OfEpoch>("Gatekeepers", "Active");
	let serves = stored(chain, "Gatekeepers.Active", address, ()).await?;
	Ok(wrapped.zip(serves).is_some_and(|(wrapped, serves)| wrapped.epoch < serves.epoch))
}

/// Says on which terms others than the owner may deploy agents; `None`: not at all.
pub fn set_open(cluster: ClusterId, opening: Option<Opening>) -> Call {
	let arguments = (cluster, opening).encode();
	Call { name: "clusters.set_open", pallet: PALLET, call: "set_open", arguments }
}

/// Lets an account deploy as the owner does, or no more.
pub fn admit_developer(cluster: ClusterId, developer: AccountBytes, admitted: bool) -> Call {
	let arguments = (cluster, developer, admitted).encode();
	Call { name: "clusters.admit_developer", pallet: PALLET, call: "admit_developer", arguments }
}

/// Offers a cluster to an account; `None` takes the offer back.
pub fn offer_transfer(cluster: ClusterId, to: Option<AccountBytes>) -> Call {
	let arguments = (cluster, to).encode();
	Call { name: "clusters.offer_transfer", pallet: PALLET, call: "offer_transfer", arguments }
}

/// Takes a cluster over that is offered.
pub fn accept_transfer(cluster: ClusterId) -> Call {
	let arguments = cluster.encode();
	Call { name: "clusters.accept_transfer", pallet: PALLET, call: "accept_transfer", arguments }
}

/// A member as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
	pub worker: WorkerId,
	/// Base URL of its public server, as its operator says.
	pub endpoint: String,
}

/// Who writes an agent; `None` while nobody can.
pub async fn lease(
	chain: &Chain,
	at: HeaderId,
	agent: AgentId,
) -> Result<Option<Lease>, ChainClientError> {
	chain.read(at, storage_keys::clusters_lease(agent)).await
}

/// The members of a cluster at the newest finalized block, by worker.
///
/// # Errors
/// [`ChainClientError::NoMembers`], [`ChainClientError::UnknownCluster`].
pub async fn members(chain: &Chain, cluster: ClusterId) -> Result<Vec<Member>, ChainClientError> {
	let at = chain.finalized_head().await?;
	let members = recorded(chain, at, cluster).await?;
	if !members.is_empty() {
		return Ok(members.into_iter().map(|(member, _)| member).collect());
	}
	known_owner(chain, cluster).await?;
	Err(ChainClientError::NoMembers { cluster })
}

/// A member that counts: the chain takes what a majority of those keeps, be they there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
	pub member: Member,
	/// Without another sign of life it counts no more from this block on.
	pub until: BlockNumber,
}

/// The members of a cluster that count at the newest finalized block, by worker.
pub async fn counted(chain: &Chain, cluster: ClusterId) -> Result<Vec<Counted>, ChainClientError> {
	let at = chain.finalized_head().await?;
	let mut counted = Vec::new();
	let minimum = bonding::minimum(chain, BondId::Worker(0)).await?;
	for (member, record) in recorded(chain, at, cluster).await? {
		let boot: Option<Boot> = chain.read(at, storage_keys::registry_boot(member.worker)).await?;
		let Some(boot) = boot else { continue };
		let rule = storage_keys::registry_measurement(boot.measurement);
		let rule: Option<MeasurementRule> = chain.read(at, rule).await?;
		let bond = bonding::bond(chain, at, BondId::Worker(member.worker)).await?;
		let has_stake = bond.is_some_and(|bond| !bond.closed && bond.active >= minimum);
		if !has_stake || !rule.is_some_and(|rule| rule.allows(at.number)) {
			continue;
		}
		let address =
			subxt::dynamic::storage::<(WorkerId,), BlockNumber>("Registry", "LastHeartbeat");
		let key = (member.worker,);
		let heartbeat = stored_at(chain, at, "Registry.LastHeartbeat", address, key).await?;
		let until = counts_until(&record, &boot, heartbeat, at.number);
		counted.extend(until.map(|until| Counted { member, until }));
	}
	Ok(counted)
}

/// Until when a member counts whose code is allowed and whose stake suffices; `None` if it does not, as the
/// chain decides it.
fn counts_until(
	record: &MemberRecord,
	boot: &Boot,
	heartbeat: Option<BlockNumber>,
	now: BlockNumber,
) -> Option<BlockNumber> {
	let last = heartbeat.unwrap_or_default().max(boot.registered_at);
	let silent_from = last.saturating_add(LIVENESS_BLOCKS).saturating_add(1);
	let is_set_aside = record.set_aside.is_some_and(|block| last <= block);
	let until = silent_from.min(boot.expires_at);
	(now < until && !is_set_aside).then_some(until)
}

/// By worker.
async fn recorded(
	chain: &Chain,
	at: HeaderId,
	cluster: ClusterId,
) -> Result<Vec<(Member, MemberRecord)>, ChainClientError> {
	let keys = chain.keys(at, &storage_keys::clusters_members(cluster)).await?;
	let values = chain.values(at, &keys).await?;
	let mut members = Vec::new();
	for (key, value) in keys.iter().zip(values) {
		let Some(value) = value else { continue };
		members.push(member(key, &value)?);
	}
	members.sort_by_key(|(member, _)| member.worker);
	Ok(members)
}

fn member(key: &[u8], value: &[u8]) -> Result<(Member, MemberRecord), ChainClientError> {
	const WHAT: &str = "Clusters.Members";
	// The key ends with the worker in the clear.
	let worker = key.len().checked_sub(size_of::<WorkerId>()).and_then(|at| key.get(at..));
	let worker = worker.and_then(|mut bytes| WorkerId::decode(&mut bytes).ok());
	let worker = worker.ok_or_else(|| ChainClientError::NodeAnswer {
		method: WHAT,
		reason: "a key is too short".into(),
	})?;
	let record: MemberRecord = crate::chain::decode(WHAT, value)?;
	let endpoint = String::from_utf8_lossy(&record.endpoint).into_owned();
	Ok((Member { worker, endpoint }, record))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_member_is_read_of_its_key_and_its_record() {
		let key = storage_keys::clusters_member(3, 0x01_02_03_04);
		assert!(key.starts_with(&storage_keys::clusters_members(3)));
		let stored = MemberRecord { endpoint: b"http://a".to_vec(), set_aside: Some(9) };
		let record = stored.encode();
		let expected = Member { worker: 0x01_02_03_04, endpoint: "http://a".into() };
		assert_eq!(member(&key, &record).expect("it is one"), (expected, stored));
		assert!(member(&key[..3], &record).is_err());
		assert!(member(&key, &record[1..]).is_err());
	}

	#[test]
	fn a_member_counts_until_it_was_silent_too_long_its_evidence_expires_or_it_is_set_aside() {
		use phala_protocol::{boot::BootKeys, evidence::EvidenceKind, H256};
		const REGISTERED: BlockNumber = 10;
		const SILENT: BlockNumber = REGISTERED + LIVENESS_BLOCKS + 1;
		let boot = |expires_at| Boot {
			number: 1,
			keys: BootKeys { identity: [1; 32], encryption: [2; 32] },
			evidence: EvidenceKind::Software,
			measurement: H256::zero(),
			registered_at: REGISTERED,
			expires_at,
		};
		let until = |set_aside, heartbeat, now, expires_at| {
			let record = MemberRecord { endpoint: Vec::new(), set_aside };
			counts_until(&record, &boot(expires_at), heartbeat, now)
		};
		const LATE: BlockNumber = 100_000;
		assert_eq!(until(None, None, SILENT - 1, LATE), Some(SILENT));
		assert_eq!(until(None, None, SILENT, LATE), None);
		assert_eq!(until(None, Some(20), SILENT, LATE), Some(SILENT + 10));
		assert_eq!(until(None, None, 49, 50), Some(50));
		assert_eq!(until(None, None, 50, 50), None);
		// After a sign of life it counts again.
		assert_eq!(until(Some(30), Some(30), 40, LATE), None);
		assert_eq!(until(Some(30), Some(31), 40, LATE), Some(SILENT + 21));
	}

	#[test]
	fn an_endpoint_is_moved_to_where_others_reach_it_alone() {
		let moved = set_endpoint(7, "https://a.b/").expect("a URL");
		assert_eq!(moved.arguments, (7u32, b"https://a.b".to_vec()).encode());
		let refused = set_endpoint(7, "a.b").map(drop).expect_err("it is no URL");
		assert_eq!(refused.name(), "EndpointRefused");
		assert_eq!(leave(3, 7).arguments, (3u32, 7u32).encode());
		assert_eq!(remove_member(3, 7).arguments, (3u32, 7u32).encode());
	}

	#[test]
	fn an_endpoint_is_http_or_https_and_as_long_as_the_chain_takes_and_no_longer() {
		let long = |bytes: usize| format!("http://{}", "a".repeat(bytes - "http://".len()));
		let bytes_max = ENDPOINT_BYTES_MAX as usize;
		assert_eq!(checked_endpoint("https://a.b/").expect("a URL"), "https://a.b");
		for refused in ["", "a", "ftp://a", "http://", &long(bytes_max + 1)] {
			let error = checked_endpoint(refused).expect_err(refused).to_string();
			assert!(error.contains("http or https"), "{error}");
		}
		assert!(checked_endpoint(&long(bytes_max)).is_ok());
	}
}
