//! What the network's own pallets hold, as Prometheus gauges. docs/grafana.json draws them.
//!
//! A task of the node reads the state of the newest finalized block, at most every [`REFRESH`] and at
//! most [`ENTRIES_MAX`] entries of a map. It reads storage by this release's types: while the chain
//! runs a runtime of another version than this node was built with, all gauges but
//! `phala_metrics_readable` stand still.
//!
//! The node's endpoint puts the chain's id beside every name, as a label.

use crate::service::{Backend, Client};
use futures::{FutureExt, StreamExt};
use pallet_mailbox::Heads;
use phala_protocol::{
	bonding::BondId, mailbox::Channel, requests::RequestState, traits::BootDirectory, Balance,
	BlockNumber,
};
use phala_runtime::{currency::PHA, Hash, Runtime, System, VERSION};
use sc_client_api::{backend::TrieCacheContext, Backend as _, BlockchainEvents};
use sp_blockchain::HeaderBackend;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{Ext, OverlayedChanges};
use std::{sync::Arc, time::Duration};
use substrate_prometheus_endpoint::{
	register, Gauge, GaugeVec, Opts, PrometheusError, Registry, F64, U64,
};

/// Time between two readings, at least.
const REFRESH: Duration = Duration::from_secs(12);

/// Entries of one map that are read at once, at most. Where there are more, figures made of them are
/// too low, and `phala_metrics_truncated` is 1.
const ENTRIES_MAX: usize = 10_000;

/// Kinds of channels, as the label `channel` has them.
const CHANNELS: [&str; 4] = ["system", "gatekeepers", "clusters", "workers"];

/// What one state says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Figures {
	block: BlockNumber,
	workers: u64,
	workers_in_force: u64,
	worker_stake: Balance,
	gatekeeper_candidates: u64,
	key_requests_open: u64,
	master_key_epoch: u64,
	clusters: u64,
	cluster_members: u64,
	agents: u64,
	requests_made: u64,
	requests_open: u64,
	escrow: Balance,
	/// In the order of [`CHANNELS`].
	messages: [u64; 4],
	truncated: bool,
}

/// At most [`ENTRIES_MAX`] entries; notes whether there are more.
fn some<T>(entries: impl Iterator<Item = T>, truncated: &mut bool) -> Vec<T> {
	let mut some: Vec<_> = entries.take(ENTRIES_MAX + 1).collect();
	*truncated |= some.len() > ENTRIES_MAX;
	some.truncate(ENTRIES_MAX);
	some
}

impl Figures {
	/// Of the state that is set as this thread's externalities.
	fn read() -> Self {
		let mut truncated = false;
		let cut = &mut truncated;
		let workers = some(pallet_registry::Workers::<Runtime>::iter_values(), cut);
		let boots = some(pallet_registry::Boots::<Runtime>::iter(), cut);
		let bonds = some(pallet_bonding::Bonds::<Runtime>::iter(), cut);
		let requests = some(pallet_requests::Requests::<Runtime>::iter_values(), cut);
		let open: Vec<_> =
			requests.iter().filter(|request| request.state == RequestState::Open).collect();
		let mut messages = [0u64; CHANNELS.len()];
		for (channel, head) in some(Heads::<Runtime>::iter(), cut) {
			let kind = match channel {
				Channel::System => 0,
				Channel::Gatekeepers => 1,
				Channel::Cluster(_) => 2,
				Channel::Worker(_) => 3,
			};
			messages[kind] = messages[kind].saturating_add(head.next_seq);
		}
		Self {
			block: System::block_number(),
			workers: workers.len() as u64,
			workers_in_force: boots
				.iter()
				.filter(|(worker, boot)| phala_runtime::Registry::is_in_force(*worker, boot))
				.count() as u64,
			worker_stake: bonds
				.iter()
				.filter(|(bond, _)| matches!(bond, BondId::Worker(_)))
				.map(|(_, record)| record.active)
				.sum(),
			gatekeeper_candidates: some(pallet_gatekeepers::Candidates::<Runtime>::iter_keys(), cut)
				.len() as u64,
			key_requests_open: pallet_gatekeepers::OpenRequests::<Runtime>::count().into(),
			master_key_epoch: pallet_gatekeepers::Active::<Runtime>::get()
				.map_or(0, |active| u64::from(active.epoch)),
			clusters: some(pallet_clusters::Clusters::<Runtime>::iter_keys(), cut).len() as u64,
			cluster_members: some(pallet_clusters::MemberOf::<Runtime>::iter_keys(), cut).len()
				as u64,
			agents: some(pallet_agents::Agents::<Runtime>::iter_keys(), cut).len() as u64,
			requests_made: pallet_requests::NextRequest::<Runtime>::get(),
			requests_open: open.len() as u64,
			escrow: open.iter().map(|request| request.held).sum(),
			messages,
			truncated,
		}
	}
}

/// The gauges, registered.
#[derive(Clone)]
struct Gauges {
	readable: Gauge<U64>,
	truncated: Gauge<U64>,
	block: Gauge<U64>,
	workers: Gauge<U64>,
	workers_in_force: Gauge<U64>,
	worker_stake: Gauge<F64>,
	gatekeeper_candidates: Gauge<U64>,
	key_requests_open: Gauge<U64>,
	master_key_epoch: Gauge<U64>,
	clusters: Gauge<U64>,
	cluster_members: Gauge<U64>,
	agents: Gauge<U64>,
	requests_made: Gauge<U64>,
	requests_open: Gauge<U64>,
	escrow: Gauge<F64>,
	messages: GaugeVec<U64>,
}

impl Gauges {
	fn register(registry: &Registry) -> Result<Self, PrometheusError> {
		let whole = |name, help| register(Gauge::<U64>::new(name, help)?, registry);
		let amount = |name, help| register(Gauge::<F64>::new(name, help)?, registry);
		Ok(Self {
			readable: whole(
				"phala_metrics_readable",
				"1 if this node knows the types of the chain's runtime; else the other gauges stand still",
			)?,
			truncated: whole(
				"phala_metrics_truncated",
				"1 if there are more entries than are counted: figures are too low then",
			)?,
			block: whole("phala_metrics_block", "Finalized block that the gauges are of")?,
			workers: whole("phala_workers", "Registered workers")?,
			workers_in_force: whole(
				"phala_workers_in_force",
				"Workers whose boot counts: evidence not expired, measurement allowed, enough at stake",
			)?,
			worker_stake: amount("phala_worker_stake_pha", "Active stake of all workers, in PHA")?,
			gatekeeper_candidates: whole(
				"phala_gatekeeper_candidates",
				"Workers that stand as gatekeepers",
			)?,
			key_requests_open: whole(
				"phala_key_requests_open",
				"Members that wait for their cluster's secret",
			)?,
			master_key_epoch: whole("phala_master_key_epoch", "Life of the master key")?,
			clusters: whole("phala_clusters", "Clusters")?,
			cluster_members: whole("phala_cluster_members", "Workers that are in a cluster")?,
			agents: whole("phala_agents", "Registered agents")?,
			requests_made: whole("phala_requests_made", "Paid requests since genesis")?,
			requests_open: whole("phala_requests_open", "Paid requests that wait for an answer")?,
			escrow: amount("phala_requests_escrow_pha", "On hold for open requests, in PHA")?,
			messages: register(
				GaugeVec::new(
					Opts::new(
						"phala_mailbox_messages",
						"Messages from the chain since genesis, by kind of channel",
					),
					&["channel"],
				)?,
				registry,
			)?,
		})
	}

	fn show(&self, figures: &Figures) {
		// To the nearest that a gauge holds.
		let pha = |amount: Balance| amount as f64 / PHA as f64;
		self.truncated.set(figures.truncated.into());
		self.block.set(figures.block.into());
		self.workers.set(figures.workers);
		self.workers_in_force.set(figures.workers_in_force);
		self.worker_stake.set(pha(figures.worker_stake));
		self.gatekeeper_candidates.set(figures.gatekeeper_candidates);
		self.key_requests_open.set(figures.key_requests_open);
		self.master_key_epoch.set(figures.master_key_epoch);
		self.clusters.set(figures.clusters);
		self.cluster_members.set(figures.cluster_members);
		self.agents.set(figures.agents);
		self.requests_made.set(figures.requests_made);
		self.requests_open.set(figures.requests_open);
		self.escrow.set(pha(figures.escrow));
		for (channel, messages) in CHANNELS.iter().zip(figures.messages) {
			self.messages.with_label_values(&[channel]).set(messages);
		}
	}
}

/// The figures of one block; `None` while the chain runs another runtime than this node's.
fn read_at(
	client: &Client,
	backend: &Backend,
	block: Hash,
) -> Result<Option<Figures>, sp_blockchain::Error> {
	use sp_api::{Core, ProvideRuntimeApi};

	let version = client.runtime_api().version(block)?;
	if version.spec_version != VERSION.spec_version {
		return Ok(None);
	}
	let state = backend.state_at(block, TrieCacheContext::Untrusted)?;
	let mut changes = OverlayedChanges::<BlakeTwo256>::default();
	let mut externalities = Ext::new(&mut changes, &state, None);
	Ok(Some(sp_externalities::set_and_run_with_externalities(&mut externalities, Figures::read)))
}

/// Keeps the gauges of `registry`, for as long as the node runs. Reads from disk: for a thread of its
/// own.
pub async fn keep(
	client: Arc<Client>,
	backend: Arc<Backend>,
	registry: Registry,
) -> Result<(), PrometheusError> {
	let gauges = Gauges::register(&registry)?;
	let show = |block| match read_at(&client, &backend, block) {
		Ok(Some(figures)) => {
			gauges.readable.set(1);
			gauges.show(&figures);
		}
		Ok(None) => gauges.readable.set(0),
		Err(error) => {
			// As while a warp sync has no state yet.
			tracing::debug!(target: "phala-metrics", "block {block:?} cannot be read: {error}");
			gauges.readable.set(0);
		}
	};
	let mut finalized = client.finality_notification_stream();
	show(client.info().finalized_hash);
	while let Some(mut newest) = finalized.next().await {
		while let Some(Some(newer)) = finalized.next().now_or_never() {
			newest = newer;
		}
		// Its state is there for as long as the notification is.
		show(newest.hash);
		drop(newest);
		tokio::time::sleep(REFRESH).await;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{
		bonding::UnbondingChunk,
		boot::{Boot, BootKeys},
		evidence::{EvidenceKind, MeasurementRule},
		requests::{Request, RequestKind},
		H256,
	};

	const MEASUREMENT: H256 = H256::repeat_byte(0xc0);

	fn worker(number: u32, expires_at: BlockNumber) {
		let keys = BootKeys { identity: [1; 32], encryption: [2; 32] };
		let boot = Boot {
			number: 1,
			keys,
			evidence: EvidenceKind::Software,
			measurement: MEASUREMENT,
			registered_at: 1,
			expires_at,
		};
		pallet_registry::Boots::<Runtime>::insert(number, boot);
		pallet_registry::Workers::<Runtime>::insert(
			number,
			pallet_registry::Worker {
				operator: [number as u8; 32].into(),
				platform: None,
				boots: 1,
			},
		);
	}

	fn bond(bond: BondId, active: Balance) {
		let account = [7; 32].into();
		let leaving = UnbondingChunk { amount: 50 * PHA, until: 90 };
		let unbonding = vec![leaving].try_into().expect("one is not too many");
		let record = pallet_bonding::BondRecord { account, active, unbonding, closed: false };
		pallet_bonding::Bonds::<Runtime>::insert(bond, record);
	}

	fn request(number: u8, state: RequestState) {
		let request = Request {
			agent: H256::repeat_byte(1),
			caller: [7; 32].into(),
			kind: RequestKind::Call,
			held: 3 * PHA / 2,
			unit_price: 1,
			units_max: 1,
			deadline: 20,
			worker: 0,
			boot: 1,
			state,
		};
		pallet_requests::Requests::<Runtime>::insert(H256::repeat_byte(number), request);
	}

	#[test]
	fn the_gauges_say_what_the_pallets_hold() {
		let mut state = sp_io::TestExternalities::default();
		state.execute_with(|| {
			System::set_block_number(10);
			let rule = MeasurementRule { until: None };
			pallet_registry::Measurements::<Runtime>::insert(MEASUREMENT, rule);
			worker(0, 100);
			worker(1, 100);
			// Its evidence has just expired.
			worker(2, 10);
			// Too little of its stake is left.
			worker(3, 100);
			(0..3).for_each(|worker| bond(BondId::Worker(worker), 1_000 * PHA));
			bond(BondId::Worker(3), 800 * PHA);
			bond(BondId::Gatekeeper(0), 10_000 * PHA);
			request(1, RequestState::Open);
			request(2, RequestState::Open);
			request(3, RequestState::Settled { fee: 1, failed: false, block: 9 });
			pallet_requests::NextRequest::<Runtime>::put(3);
			for (channel, next_seq) in
				[(Channel::System, 4), (Channel::Worker(0), 2), (Channel::Worker(1), 3)]
			{
				let head = phala_protocol::mailbox::ChannelHead { next_seq, hash: H256::zero() };
				Heads::<Runtime>::insert(channel, head);
			}
		});
		let figures = state.execute_with(Figures::read);
		let expected = Figures {
			block: 10,
			workers: 4,
			workers_in_force: 2,
			worker_stake: 3_800 * PHA,
			requests_made: 3,
			requests_open: 2,
			escrow: 3 * PHA,
			messages: [4, 0, 0, 5],
			..Figures::default()
		};
		assert_eq!(figures, expected);

		let registry = Registry::new();
		let gauges = Gauges::register(&registry).unwrap();
		gauges.show(&figures);
		let exported = |name: &str| {
			let families = registry.gather();
			let family = families.iter().find(|family| family.get_name() == name).unwrap();
			family.get_metric().iter().map(|one| one.get_gauge().get_value()).collect::<Vec<_>>()
		};
		assert_eq!(exported("phala_workers_in_force"), [2.0]);
		assert_eq!(exported("phala_requests_escrow_pha"), [3.0]);
		assert_eq!(exported("phala_mailbox_messages").iter().sum::<f64>(), 9.0);
	}

	#[test]
	fn more_entries_than_are_counted_are_cut_and_said() {
		let mut truncated = false;
		assert_eq!(some(0..ENTRIES_MAX, &mut truncated).len(), ENTRIES_MAX);
		assert!(!truncated);
		assert_eq!(some(0..ENTRIES_MAX + 1, &mut truncated).len(), ENTRIES_MAX);
		assert!(truncated);
	}
}
