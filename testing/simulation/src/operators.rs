//! Those who run the network: governance, operators of workers, the owner of the cluster, the developer
//! of the agent. After each block they look at the chain and do what is missing, so that they set the
//! network up, and set it up again whatever happened to it.

use crate::{account::Account, limits, simulation::Simulation};
use phala_machine::Event;
use phala_protocol::{
	agents::{Access, AgentCode, AgentId, UpgradePolicy},
	boot::{Boot, WorkerId},
	evidence::Measurement,
	mailbox::ClusterId,
	traits::BootDirectory,
	BlockNumber, H256,
};
use phala_runtime::{currency, Registry, Runtime, RuntimeCall};
use std::collections::BTreeMap;

/// What processes say they run that are of this release, counted from 0.
fn measurement(release: u64) -> Measurement {
	H256::from_low_u64_be(0xc0de_0000 + release)
}

/// Whose keys it holds, and nobody's members.
pub const GATEKEEPER: WorkerId = 0;

pub const CLUSTER: ClusterId = 0;

/// What the agent is.
pub const CODE: AgentCode =
	AgentCode { component: H256::repeat_byte(0xc1), manifest: H256::repeat_byte(0xc2) };

/// See the module's text.
pub struct Operators {
	/// Governance, and the cluster's owner.
	pub root: Account,
	workers: Vec<Account>,
	pub developer: Account,
	/// The newest that there is, and when the one before it leaves the list.
	release: u64,
	delist_at_ms: u64,
	/// When each thing was done last.
	done: BTreeMap<(&'static str, WorkerId), BlockNumber>,
}

impl Default for Operators {
	fn default() -> Self {
		let workers = ["//Bob", "//Charlie", "//Dave", "//Eve"];
		Self {
			root: Account::development("//Alice"),
			workers: workers.into_iter().map(Account::development).collect(),
			developer: Account::development("//Ferdie"),
			release: 0,
			delist_at_ms: 0,
			done: BTreeMap::new(),
		}
	}
}

impl Operators {
	pub fn of(&self, worker: WorkerId) -> Account {
		self.workers[worker as usize % self.workers.len()].clone()
	}

	/// What a process says it runs that starts now.
	pub fn measurement(&self) -> Measurement {
		measurement(self.release)
	}

	/// There is a release; the one before it leaves the list at that time.
	pub fn release(&mut self, delist_at_ms: u64) {
		self.release += 1;
		self.delist_at_ms = delist_at_ms;
	}

	/// Whether it is time to do something, again.
	fn is_due(&mut self, what: &'static str, of: WorkerId, now: BlockNumber) -> bool {
		let done = self.done.get(&(what, of)).copied();
		let is_due = done.is_none_or(|at| now >= at + limits::OPERATOR_PATIENCE_BLOCKS);
		if is_due {
			self.done.insert((what, of), now);
		}
		is_due
	}
}

/// What is to be seen of the network.
struct Seen {
	/// The newest release is, for as long as there is none after it.
	is_allowed: bool,
	/// Releases before it that are still allowed.
	to_delist: Vec<Measurement>,
	workers: WorkerId,
	in_force: BTreeMap<WorkerId, Boot>,
	is_candidate: bool,
	has_seat: bool,
	has_cluster: bool,
	is_admitted: bool,
	members: Vec<WorkerId>,
	asking: Vec<WorkerId>,
	agents: Vec<AgentId>,
}

impl Seen {
	fn now(operators: &Operators) -> Self {
		let boot = |worker| Some((worker, Registry::boot_in_force(worker)?));
		let rule = |release| pallet_registry::Measurements::<Runtime>::get(measurement(release));
		let stays = |release| rule(release).is_some_and(|rule| rule.until.is_none());
		let release = operators.release;
		Self {
			is_allowed: stays(release),
			to_delist: (0..release).filter(|release| stays(*release)).map(measurement).collect(),
			workers: pallet_registry::NextWorker::<Runtime>::get(),
			in_force: (0..limits::WORKERS).filter_map(boot).collect(),
			is_candidate: pallet_gatekeepers::Candidates::<Runtime>::contains_key(GATEKEEPER),
			has_seat: pallet_gatekeepers::Ceremony::<Runtime>::exists()
				|| pallet_gatekeepers::Active::<Runtime>::get()
					.is_some_and(|active| !active.seats.is_empty()),
			has_cluster: pallet_clusters::Clusters::<Runtime>::contains_key(CLUSTER),
			is_admitted: !pallet_clusters::AdmittedDevelopers::<Runtime>::get(CLUSTER).is_empty(),
			members: pallet_clusters::Members::<Runtime>::iter_key_prefix(CLUSTER).collect(),
			asking: pallet_clusters::JoinRequests::<Runtime>::iter_keys().collect(),
			agents: pallet_agents::Agents::<Runtime>::iter()
				.filter(|(_, record)| record.owner == operators.developer.bytes())
				.map(|(agent, _)| agent)
				.collect(),
		}
	}
}

impl Simulation {
	/// The base URL of a worker's public server.
	fn endpoint(worker: WorkerId) -> Vec<u8> {
		format!("http://worker-{worker}").into_bytes()
	}

	fn send_as(&mut self, by: &Account, call: impl Into<RuntimeCall>) {
		// What is refused is tried again when it is due.
		let _ = self.chain.sign(by, call);
	}

	pub(crate) fn command(&mut self, call: impl Into<RuntimeCall>) {
		let (root, call) = (self.operators.root.clone(), Box::new(call.into()));
		self.send_as(&root, pallet_sudo::Call::sudo { call });
	}

	/// Does what is missing.
	pub(crate) fn operate(&mut self) {
		let now = self.chain.height();
		let seen = self.chain.read(|| Seen::now(&self.operators));
		let newest = self.operators.measurement();
		if !seen.is_allowed && self.operators.is_due("allow", 0, now) {
			self.command(pallet_registry::Call::allow_measurement { measurement: newest });
		}
		let is_time = seen.is_allowed && self.now_ms() >= self.operators.delist_at_ms;
		if is_time && !seen.to_delist.is_empty() && self.operators.is_due("delist", 0, now) {
			for measurement in &seen.to_delist {
				let (measurement, until, successor) = (*measurement, now, newest);
				let call =
					pallet_registry::Call::delist_measurement { measurement, until, successor };
				self.command(call);
			}
		}
		if seen.workers < limits::WORKERS {
			// One after the other, so that each has its number.
			if self.operators.is_due("register", seen.workers, now) {
				let operator = self.operators.of(seen.workers);
				self.send_as(&operator, pallet_registry::Call::register_worker {});
			}
			return;
		}
		for worker in 0..limits::WORKERS {
			if !self.lives.contains_key(&worker) {
				let ms = self.random.shells.within(limits::START_MS);
				self.start_after(worker, ms);
			}
		}
		self.care_for_gatekeeper(&seen, now);
		self.care_for_cluster(&seen, now);
		self.care_for_agent(&seen, now);
	}

	fn care_for_gatekeeper(&mut self, seen: &Seen, now: BlockNumber) {
		if !seen.in_force.contains_key(&GATEKEEPER) {
			return;
		}
		let operator = self.operators.of(GATEKEEPER);
		if !seen.is_candidate {
			if self.operators.is_due("apply", GATEKEEPER, now) {
				let worker = GATEKEEPER;
				self.send_as(&operator, pallet_gatekeepers::Call::apply { worker });
			}
		} else if !seen.has_seat && self.operators.is_due("seat", GATEKEEPER, now) {
			self.command(pallet_gatekeepers::Call::seat { workers: vec![GATEKEEPER] });
		}
	}

	fn care_for_cluster(&mut self, seen: &Seen, now: BlockNumber) {
		let root = self.operators.root.clone();
		if !seen.has_cluster {
			if self.operators.is_due("create", 0, now) {
				self.send_as(&root, pallet_clusters::Call::create {});
			}
			return;
		}
		if !seen.is_admitted && self.operators.is_due("admit", 0, now) {
			let developer = self.operators.developer.id.clone();
			let (cluster, admitted) = (CLUSTER, true);
			let call = pallet_clusters::Call::admit_developer { cluster, developer, admitted };
			self.send_as(&root, call);
		}
		for worker in GATEKEEPER + 1..limits::WORKERS {
			let Some(boot) = seen.in_force.get(&worker) else { continue };
			if seen.members.contains(&worker) {
				continue;
			}
			let (cluster, endpoint) = (CLUSTER, Self::endpoint(worker));
			if seen.asking.contains(&worker) {
				if self.operators.is_due("approve", worker, now) {
					let (boot, measurement) = (boot.number, boot.measurement);
					let call = pallet_clusters::Call::approve_join {
						cluster,
						worker,
						boot,
						measurement,
						endpoint,
					};
					self.send_as(&root, call);
				}
			} else if self.operators.is_due("join", worker, now) {
				let operator = self.operators.of(worker);
				let call = pallet_clusters::Call::request_join { cluster, worker, endpoint };
				self.send_as(&operator, call);
			}
		}
	}

	fn care_for_agent(&mut self, seen: &Seen, now: BlockNumber) {
		let developer = self.operators.developer.clone();
		let everybody = limits::WORKERS as usize - 1;
		if seen.agents.is_empty() {
			// Not before everybody is there who may hold it.
			if seen.is_admitted
				&& seen.members.len() == everybody
				&& self.operators.is_due("deploy", 0, now)
			{
				let call = pallet_agents::Call::register {
					cluster: CLUSTER,
					code: CODE,
					unit_price: currency::MILLIS,
					timeout: limits::AGENT_TIMEOUT,
					access: Access::Public,
					upgrades: UpgradePolicy::Immutable,
				};
				self.send_as(&developer, call);
			}
			return;
		}
		self.users.agent = seen.agents.first().copied();
		self.upload_code(now);
	}

	/// The developer gives its code to the first member that wants it, where none has it; the others
	/// fetch it from there.
	fn upload_code(&mut self, now: BlockNumber) {
		for hash in [CODE.component, CODE.manifest] {
			let listening: Vec<_> = self.listening.values().copied().collect();
			let wants = |id: &crate::host::HostId| {
				let cluster = self.hosts.get(id)?.snapshot.cluster.as_ref()?;
				cluster.wanted_code.contains(&hash).then_some(*id)
			};
			let has = |id: &crate::host::HostId| {
				self.hosts.get(id).is_some_and(|host| host.code.contains(&hash))
			};
			if listening.iter().any(has) {
				continue;
			}
			let Some(id) = listening.iter().find_map(wants) else { continue };
			let is_component = WorkerId::from(hash == CODE.component);
			if !self.operators.is_due("upload", is_component, now) {
				continue;
			}
			if let Some(host) = self.hosts.get_mut(&id) {
				host.code.insert(hash);
			}
			self.tell(id, Event::CodeStored { hash });
		}
	}
}
