//! Keys of the chain facts that enclaves and clients read, most of them by storage proof.
//!
//! They are a contract: version 1. The runtime test `storage_keys_match_the_runtime` fails when a
//! pallet or an item is renamed.

use crate::{
	agents::AgentId,
	bonding::BondId,
	boot::WorkerId,
	evidence::{Measurement, PlatformId},
	mailbox::{Channel, ClusterId},
	requests::RequestId,
	BlockNumber,
};
use alloc::vec::Vec;
use codec::Encode;
use sp_crypto_hashing::{blake2_128, twox_128};

/// Raised when any key or value layout below changes.
pub const STORAGE_KEYS_VERSION: u32 = 1;

/// `pallet_grandpa::Authorities`: SCALE `Vec<([u8; 32], u64)>`.
pub fn grandpa_authorities() -> Vec<u8> {
	item("Grandpa", "Authorities")
}

/// `pallet_grandpa::CurrentSetId`: SCALE `u64`; absent means 0.
pub fn grandpa_current_set_id() -> Vec<u8> {
	item("Grandpa", "CurrentSetId")
}

/// `pallet_mailbox::Heads`: SCALE [`crate::mailbox::ChannelHead`]; absent means the default.
pub fn mailbox_head(channel: Channel) -> Vec<u8> {
	blake2_128_concat_entry("Mailbox", "Heads", &channel)
}

/// `pallet_mailbox::NextEnvelope`: SCALE [`crate::mailbox::InboundNext`]; absent means the default.
pub fn mailbox_next_envelope(worker: WorkerId) -> Vec<u8> {
	blake2_128_concat_entry("Mailbox", "NextEnvelope", &worker)
}

/// `pallet_registry::Boots`: SCALE [`crate::boot::Boot`]; absent when the worker has no boot.
pub fn registry_boot(worker: WorkerId) -> Vec<u8> {
	blake2_128_concat_entry("Registry", "Boots", &worker)
}

/// `pallet_registry::Workers`: SCALE [`crate::boot::WorkerRecord`]; absent when no worker has this
/// number.
pub fn registry_worker(worker: WorkerId) -> Vec<u8> {
	blake2_128_concat_entry("Registry", "Workers", &worker)
}

/// What all keys of [`registry_worker`] begin with.
pub fn registry_workers() -> Vec<u8> {
	item("Registry", "Workers")
}

/// `pallet_registry::PlatformWorker`: SCALE [`WorkerId`]; absent when the machine is in no worker.
pub fn registry_platform_worker(platform: PlatformId) -> Vec<u8> {
	blake2_128_concat_entry("Registry", "PlatformWorker", &platform)
}

/// `pallet_registry::BannedPlatforms`: nothing; absent when the machine is not banned.
pub fn registry_banned_platform(platform: PlatformId) -> Vec<u8> {
	blake2_128_concat_entry("Registry", "BannedPlatforms", &platform)
}

/// `pallet_registry::SoftwareRoot`: SCALE `[u8; 32]`; absent where software evidence is refused.
pub fn registry_software_root() -> Vec<u8> {
	item("Registry", "SoftwareRoot")
}

/// `pallet_registry::Measurements`: SCALE [`crate::evidence::MeasurementRule`]; absent when the code
/// was never allowed, or no longer is.
pub fn registry_measurement(measurement: Measurement) -> Vec<u8> {
	blake2_128_concat_entry("Registry", "Measurements", &measurement)
}

/// `pallet_bonding::Bonds`: SCALE [`crate::bonding::Bond`]; absent when nothing is, or was, at stake.
pub fn bonding_bond(bond: BondId) -> Vec<u8> {
	blake2_128_concat_entry("Bonding", "Bonds", &bond)
}

/// `pallet_agents::Agents`: SCALE [`crate::agents::AgentRecord`]; absent when there is no such
/// agent.
pub fn agents_agent(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Agents", "Agents", &agent)
}

/// What the keys of all agents start with: see [`agents_agent`]. The id is a key's last 32 bytes.
pub fn agents_agents() -> Vec<u8> {
	item("Agents", "Agents")
}

/// `pallet_agents::Deposits`: SCALE `Balance`, what is held from its owner.
pub fn agents_deposit(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Agents", "Deposits", &agent)
}

/// `pallet_agents::Callers`: SCALE `Vec<AccountBytes>`; absent means nobody.
pub fn agents_callers(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Agents", "Callers", &agent)
}

/// `pallet_agents::History`: SCALE [`crate::agents::CodeEntry`]; absent when the agent has no code of
/// this version. Versions count from 1.
pub fn agents_history(agent: AgentId, code_version: u32) -> Vec<u8> {
	let mut key = blake2_128_concat_entry("Agents", "History", &agent);
	push_blake2_128_concat(&mut key, &code_version);
	key
}

/// `pallet_agents::Planned`: SCALE [`crate::agents::PlannedUpgrade`]; absent when nothing is announced.
pub fn agents_planned(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Agents", "Planned", &agent)
}

/// `pallet_agents::Prepared`: SCALE [`crate::agents::AgentCode`]; absent when nothing is prepared.
pub fn agents_prepared(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Agents", "Prepared", &agent)
}

/// `pallet_clusters::Clusters`: a SCALE struct that begins with its owner, an [`crate::AccountBytes`]; absent
/// when there is no such cluster.
pub fn clusters_cluster(cluster: ClusterId) -> Vec<u8> {
	blake2_128_concat_entry("Clusters", "Clusters", &cluster)
}

/// What the keys of all members of a cluster start with: see [`clusters_member`].
pub fn clusters_members(cluster: ClusterId) -> Vec<u8> {
	blake2_128_concat_entry("Clusters", "Members", &cluster)
}

/// `pallet_clusters::Members`: SCALE [`crate::clusters::MemberRecord`]; absent when the worker is
/// no member. The worker is the key's last four bytes.
pub fn clusters_member(cluster: ClusterId, worker: WorkerId) -> Vec<u8> {
	let mut key = clusters_members(cluster);
	push_blake2_128_concat(&mut key, &worker);
	key
}

/// `pallet_clusters::JoinRequests`: SCALE of the cluster and the endpoint; absent when the worker asked
/// for nothing.
pub fn clusters_join_request(worker: WorkerId) -> Vec<u8> {
	blake2_128_concat_entry("Clusters", "JoinRequests", &worker)
}

/// `pallet_clusters::Openings`: SCALE [`crate::clusters::Opening`]; absent while the cluster takes agents
/// of its owner, and of those that it admitted, alone.
pub fn clusters_opening(cluster: ClusterId) -> Vec<u8> {
	blake2_128_concat_entry("Clusters", "Openings", &cluster)
}

/// `pallet_clusters::Leases`: SCALE [`crate::agents::Lease`]; absent while nobody can write.
pub fn clusters_lease(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Clusters", "Leases", &agent)
}

/// `pallet_requests::Requests`: SCALE [`crate::requests::Request`]; absent when there is none, or
/// it was closed long ago.
pub fn requests_request(request: RequestId) -> Vec<u8> {
	blake2_128_concat_entry("Requests", "Requests", &request)
}

/// `pallet_requests::Responses`: SCALE of the SCALE of a [`crate::requests::RequestOutcome`].
pub fn requests_response(request: RequestId) -> Vec<u8> {
	blake2_128_concat_entry("Requests", "Responses", &request)
}

/// `pallet_requests::OpenOfAgent`: SCALE `u32`; absent means none.
pub fn requests_open_of_agent(agent: AgentId) -> Vec<u8> {
	blake2_128_concat_entry("Requests", "OpenOfAgent", &agent)
}

/// `pallet_requests::OpenOfWorker`: SCALE `u32`; absent means none.
pub fn requests_open_of_worker(worker: WorkerId) -> Vec<u8> {
	blake2_128_concat_entry("Requests", "OpenOfWorker", &worker)
}

/// `pallet_requests::Due`: SCALE `Vec<RequestId>`; absent means none.
pub fn requests_due(deadline: BlockNumber) -> Vec<u8> {
	blake2_128_concat_entry("Requests", "Due", &deadline)
}

/// `pallet_mailbox::Bodies`, read by relayers: SCALE [`crate::mailbox::StoredMessage`]; absent when
/// pruned.
pub fn mailbox_body(channel: Channel, seq: u64) -> Vec<u8> {
	let mut key = blake2_128_concat_entry("Mailbox", "Bodies", &channel);
	push_blake2_128_concat(&mut key, &seq);
	key
}

fn item(pallet: &str, item: &str) -> Vec<u8> {
	let mut key = Vec::with_capacity(32);
	key.extend(twox_128(pallet.as_bytes()));
	key.extend(twox_128(item.as_bytes()));
	key
}

fn blake2_128_concat_entry(pallet: &str, name: &str, key_value: &impl Encode) -> Vec<u8> {
	let mut key = item(pallet, name);
	push_blake2_128_concat(&mut key, key_value);
	key
}

fn push_blake2_128_concat(key: &mut Vec<u8>, value: &impl Encode) {
	let encoded = value.encode();
	key.extend(blake2_128(&encoded));
	key.extend(encoded);
}
