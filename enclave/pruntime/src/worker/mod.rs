//! What a member of a cluster does outside the machine: it runs agents in the sandbox, has other
//! members keep what they did, fetches what is missing here, and answers callers that wait.
//!
//! The machine decides, this module carries: whatever it brings back is checked there. It can be
//! killed at any line and nothing that was committed is lost: other members have it.

mod blobs;
mod peers;
mod units;

pub use blobs::{BlobError, Blobs};

use crate::{
	hosting::{AgentHost, CalleeAccess, HostedAgent, Installation, OnChainCall, Program, Snapshot},
	limits,
	machine::cluster::{
		state::AgentState,
		work::{Run, RunDone, RunEnd, RunFailed},
		CallError, ReplicatedBody,
	},
	server::Shell,
};
use peers::Peers;
use phala_protocol::{
	agents::{availability_quorum, Access, AgentCode, AgentId, StateVersion},
	caller::Caller,
	clusters::Member,
	refusals::Refusal,
	requests::CallOutput,
	AccountBytes, H256,
};
use phala_sandbox::{BlockRef, HttpRequest, Outcome, RunError, SecretValue};
use std::{
	collections::{BTreeMap, HashMap, HashSet},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::Duration,
};
use tokio::sync::{oneshot, Semaphore};

/// How often the worker looks for work when nothing wakes it, in milliseconds.
const IDLE_MS: u64 = 1_000;

/// A member at work. Cheap to clone.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
	shell: Shell,
	host: Arc<AgentHost>,
	blobs: Blobs,
	peers: Peers,
	compiler: Semaphore,
	request_permits: Semaphore,
	desk: Mutex<Desk>,
}

/// What is under way.
#[derive(Default)]
struct Desk {
	/// Callers that wait for their job.
	waiting: HashMap<u64, oneshot::Sender<Result<Vec<u8>, CallError>>>,
	programs: HashMap<AgentCode, Program>,
	/// Compiled now, or refused by the sandbox.
	compiling: HashSet<AgentCode>,
	/// Blobs and agents that are being fetched.
	fetching: HashSet<H256>,
	/// What the host was last given of each agent.
	installed: HashMap<AgentId, Installed>,
	/// A member's cluster was lost: the host must forget.
	member: bool,
}

impl Worker {
	/// At the machine behind `shell`.
	///
	/// # Errors
	/// When no HTTP client can be made.
	pub fn new(shell: Shell, host: Arc<AgentHost>) -> anyhow::Result<Self> {
		Ok(Self(Arc::new(Inner {
			shell,
			host,
			blobs: Blobs::default(),
			peers: Peers::new()?,
			compiler: Semaphore::new(1),
			request_permits: Semaphore::new(limits::SERVER_REQUESTS_MAX),
			desk: Mutex::default(),
		})))
	}

	/// The machine and what is around it.
	pub fn shell(&self) -> &Shell {
		&self.0.shell
	}

	/// The agents of this worker.
	pub fn host(&self) -> &Arc<AgentHost> {
		&self.0.host
	}

	/// Permits of requests at the servers.
	pub fn request_permits(&self) -> &Semaphore {
		&self.0.request_permits
	}

	/// Components and manifests.
	pub fn blobs(&self) -> &Blobs {
		&self.0.blobs
	}

	/// Works until the process ends.
	pub async fn work(self) {
		loop {
			self.step();
			let idle = Duration::from_millis(IDLE_MS);
			let _ = tokio::time::timeout(idle, self.0.shell.stepped()).await;
		}
	}

	/// Whose end the caller waits for. Registered before the job can end.
	pub fn wait_for(&self, job: u64) -> oneshot::Receiver<Result<Vec<u8>, CallError>> {
		let (sender, receiver) = oneshot::channel();
		self.desk().waiting.insert(job, sender);
		receiver
	}

	/// The code of an agent, if it is compiled.
	pub fn program(&self, code: &AgentCode) -> Option<Program> {
		self.desk().programs.get(code).cloned()
	}

	/// Does all that can be started now.
	fn step(&self) {
		let shell = &self.0.shell;
		{
			let now_ms = shell.now_ms();
			let mut guard = shell.machine();
			let (machine, rng) = &mut *guard;
			machine.act(now_ms, rng);
		}
		let Ok(found) = shell.as_member(|member, turn| {
			let agents: Vec<_> = member
				.agents
				.values()
				.map(|agent| {
					let record = &agent.snapshot.record;
					let newest = Installed {
						code: record.code,
						version: agent.state.version,
						access: record.access,
						callers: accounts(&agent.snapshot.callers),
					};
					(agent.id, newest, agent.state.clone())
				})
				.collect();
			let own = turn.config.worker;
			Found {
				ended: member.take_ended(),
				replications: member.take_replications(turn),
				missing: member.missing(),
				wanted: member.wanted_blobs(),
				others: member
					.members
					.values()
					.filter(|member| member.worker != own)
					.cloned()
					.collect(),
				agents,
			}
		}) else {
			if std::mem::take(&mut self.desk().member) {
				// Thrown out, or the boot is over: nothing of the cluster stays.
				self.0.host.forget_installed();
				*self.desk() = Desk::default();
			}
			return;
		};
		self.desk().member = true;
		let Found { ended, replications, missing, wanted, others, agents } = found;
		for end in ended {
			if let Some(waiting) = self.desk().waiting.remove(&end.job) {
				// A caller that went away does not need its answer.
				let _ = waiting.send(end.result);
			}
		}
		for (body, members) in replications {
			tokio::spawn(self.clone().replicate(body, members));
		}
		for (agent, first, last) in missing {
			if self.desk().fetching.insert(agent) {
				tokio::spawn(self.clone().fetch_bodies(agent, first, last, others.clone()));
			}
		}
		self.0.blobs.want(&wanted);
		for hash in wanted {
			if !self.0.blobs.has(&hash) && self.desk().fetching.insert(hash) {
				tokio::spawn(self.clone().fetch_blob(hash, others.clone()));
			}
		}
		let named: HashSet<AgentCode> = agents.iter().map(|(_, newest, _)| newest.code).collect();
		self.desk().programs.retain(|code, _| named.contains(code));
		for (agent, newest, state) in agents {
			self.install(agent, newest, state);
		}
		self.start_runs();
	}

	fn start_runs(&self) {
		let block_hash = self.0.shell.view().finalized.map(|(_, hash)| hash).unwrap_or_default();
		let compiled: HashSet<AgentCode> = self.desk().programs.keys().copied().collect();
		loop {
			let run = self.0.shell.as_member(|member, turn| {
				member.next_run(block_hash, |code| compiled.contains(code), turn)
			});
			let Ok(Some(run)) = run else { return };
			tokio::spawn(self.clone().run(run));
		}
	}

	async fn run(self, run: Run) {
		let (agent, job) = (run.agent, run.job);
		let result = self.execute(run).await;
		let done =
			self.0.shell.as_member(|member, turn| member.finish_run(agent, job, result, turn));
		if let Err(refused) = done {
			tracing::warn!("a run ended that nobody needs: {refused}");
		}
		self.0.shell.nudge();
	}

	async fn execute(&self, run: Run) -> Result<RunDone, RunEnd> {
		let failed = |refusal: Refusal, message: String| {
			RunEnd::Failed(RunFailed { refusal, message, units: 1 })
		};
		// Between an upgrade and its installation the host has other code than the run is for.
		let hosted = self.installed_with(run.agent, &run.code).ok_or(RunEnd::NotRun)?;
		let (number, hash) = run.block;
		let call = OnChainCall {
			request: http_request(&run.input).ok_or_else(|| {
				failed(Refusal::BadRequest, "method and path of the call are not text".into())
			})?,
			caller: run.caller.and_then(|caller| caller.account().copied()),
			block: BlockRef { number: number.into(), hash: hash.0 },
			writable: true,
			snapshot: Snapshot::of(run.state.entries.clone(), run.state.entry_bytes),
			request_id: run.request.0,
			attempt: run.attempt,
			entropy: run.entropy,
			secrets: Some(secrets_of(&run.state)),
		};
		match self.0.host.run_on_chain(&hosted, call).await {
			Ok(outcome) => {
				let units = units::units(&outcome.usage);
				let unproven_inputs =
					u32::try_from(outcome.unproven_inputs.len()).unwrap_or(u32::MAX);
				let Outcome { response, writes, .. } = outcome;
				let output = call_output(response);
				Ok(RunDone { output, writes, units, unproven_inputs })
			}
			Err(failure) if matches!(failure.error, RunError::Busy) => Err(RunEnd::NotRun),
			Err(failure) => {
				let units = units::units(&failure.usage);
				let refused = crate::hosting::AgentRunError::Run(failure.error);
				let (refusal, message) = (refused.refusal(), refused.to_string());
				Err(RunEnd::Failed(RunFailed { refusal, message, units }))
			}
		}
	}

	/// An agent, if what the host has of it runs this code.
	pub fn installed_with(&self, agent: AgentId, code: &AgentCode) -> Option<Arc<HostedAgent>> {
		let desk = self.desk();
		let installed = desk.installed.get(&agent)?;
		(installed.code == *code).then(|| self.0.host.installed(&agent.0)).flatten()
	}

	/// Gives the host what it needs to read an agent, when something of it is new.
	fn install(&self, agent: AgentId, newest: Installed, state: AgentState) {
		let Some(program) = self.program(&newest.code) else {
			self.compile(newest.code);
			return;
		};
		let access = match newest.access {
			Access::Public => CalleeAccess::Everybody,
			Access::Listed => CalleeAccess::Listed(newest.callers.clone()),
		};
		// Under one lock: whoever finds it on the desk finds the same in the host.
		let mut desk = self.desk();
		if desk.installed.get(&agent) == Some(&newest) {
			return;
		}
		let secrets = secrets_of(&state);
		let snapshot = Snapshot::of(state.entries, state.entry_bytes);
		self.0.host.install(agent.0, Installation { program, secrets, snapshot, access });
		desk.installed.insert(agent, newest);
	}

	fn compile(&self, code: AgentCode) {
		let (Some(component), Some(manifest)) =
			(self.0.blobs.get(&code.component), self.0.blobs.get(&code.manifest))
		else {
			return;
		};
		if !self.desk().compiling.insert(code) {
			return;
		}
		let worker = self.clone();
		tokio::spawn(async move {
			// One at a time: who upgrades without end must not take every core.
			let Ok(_turn) = worker.0.compiler.acquire().await else { return };
			let host = worker.0.host.clone();
			let compiling =
				tokio::task::spawn_blocking(move || host.compile(&component, &manifest));
			match compiling.await {
				Ok(Ok(program)) => {
					tracing::info!("agent {} is compiled", program.name());
					let mut desk = worker.desk();
					desk.programs.insert(code, program);
					desk.compiling.remove(&code);
				}
				// Stays in `compiling`: the same bytes would be refused again.
				Ok(Err(refused)) => {
					tracing::warn!(component = ?code.component, "refused code: {refused}");
				}
				Err(error) => tracing::warn!(component = ?code.component, "not compiled: {error}"),
			}
			worker.0.shell.nudge();
		});
	}

	/// Has the other members keep a body, and tells the machine who does. A member that is a block
	/// behind, or just restarts, is asked again until a majority has said yes.
	async fn replicate(self, body: ReplicatedBody, members: Vec<Member>) {
		let all = u32::try_from(members.len()).unwrap_or(u32::MAX).saturating_add(1);
		let mut silent = members;
		for attempt in 1..=limits::REPLICATION_ATTEMPTS_MAX {
			let asking = silent.into_iter().map(|member| {
				let (worker, body) = (self.clone(), body.clone());
				tokio::spawn(async move {
					match worker.0.peers.keep(&member, &body).await {
						Ok(word) => {
							let _ = worker
								.0
								.shell
								.as_member(|own, turn| own.available(&body, word, turn));
							None
						}
						Err(error) => {
							tracing::debug!(
								worker = member.worker,
								"does not keep a body: {error:#}"
							);
							Some(member)
						}
					}
				})
			});
			silent = Vec::new();
			for asked in asking.collect::<Vec<_>>() {
				silent.extend(asked.await.ok().flatten());
			}
			let kept = all.saturating_sub(u32::try_from(silent.len()).unwrap_or(u32::MAX));
			if kept >= availability_quorum(all) || attempt == limits::REPLICATION_ATTEMPTS_MAX {
				break;
			}
			tokio::time::sleep(Duration::from_millis(IDLE_MS)).await;
		}
		for member in &silent {
			tracing::warn!(worker = member.worker, "does not keep what an agent wrote");
		}
		let hash = H256(body.body.hash());
		let _ = self.0.shell.as_member(|own, turn| own.replicated(body.agent, hash, turn));
	}

	async fn fetch_bodies(
		self,
		agent: AgentId,
		first: StateVersion,
		last: StateVersion,
		members: Vec<Member>,
	) {
		for member in members {
			match self.0.peers.bodies(&member, agent, first, last).await {
				Ok(bodies) => {
					let taken = self
						.0
						.shell
						.as_member(|member, turn| member.supply(agent, first, bodies, turn));
					if taken == Ok(true) {
						tracing::info!(
							?agent,
							last,
							worker = member.worker,
							"caught up with an agent's state"
						);
						break;
					}
				}
				Err(error) => tracing::debug!(worker = member.worker, "gives no bodies: {error:#}"),
			}
		}
		// Not at once again: what nobody has now may be there in a moment.
		tokio::time::sleep(Duration::from_millis(IDLE_MS)).await;
		self.desk().fetching.remove(&agent);
		self.0.shell.nudge();
	}

	async fn fetch_blob(self, hash: H256, members: Vec<Member>) {
		for member in members {
			match self.0.peers.blob(&member, hash).await {
				Ok(blob) => {
					if self.0.blobs.put(hash, blob).is_ok() {
						tracing::info!(?hash, worker = member.worker, "fetched code");
						break;
					}
				}
				Err(error) => tracing::debug!(worker = member.worker, "has no code: {error:#}"),
			}
		}
		tokio::time::sleep(Duration::from_millis(IDLE_MS)).await;
		self.desk().fetching.remove(&hash);
		self.0.shell.nudge();
	}

	fn desk(&self) -> MutexGuard<'_, Desk> {
		self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// What the host was given of an agent.
#[derive(Clone, PartialEq, Eq)]
struct Installed {
	code: AgentCode,
	version: StateVersion,
	access: Access,
	callers: Vec<AccountBytes>,
}

fn secrets_of(state: &AgentState) -> BTreeMap<String, SecretValue> {
	state
		.secrets
		.iter()
		.filter_map(|(name, value)| {
			let value = String::from_utf8(value.expose().to_vec()).ok()?;
			Some((name.clone(), SecretValue(value)))
		})
		.collect()
}

struct Found {
	ended: Vec<crate::machine::cluster::JobEnd>,
	replications: Vec<(ReplicatedBody, Vec<Member>)>,
	missing: Vec<(AgentId, StateVersion, StateVersion)>,
	wanted: std::collections::BTreeSet<H256>,
	others: Vec<Member>,
	agents: Vec<(AgentId, Installed, AgentState)>,
}

/// A call as the sandbox takes it; `None` if its method, path or a header's name is no text.
pub fn http_request(input: &phala_protocol::requests::CallInput) -> Option<HttpRequest> {
	let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
	let headers = input
		.headers
		.iter()
		.map(|(name, value)| Some((text(name)?, value.clone())))
		.collect::<Option<_>>()?;
	Some(HttpRequest {
		method: text(&input.method)?,
		path_and_query: text(&input.path)?,
		headers,
		body: input.body.clone(),
	})
}

/// An answer as it is proven.
pub fn call_output(response: phala_sandbox::HttpResponse) -> CallOutput {
	let phala_sandbox::HttpResponse { status, headers, body } = response;
	let headers = headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
	CallOutput { status, headers, body }
}

/// Those of callers that are accounts: agents and tokens do not come in as callees' callers yet.
fn accounts(callers: &[Caller]) -> Vec<AccountBytes> {
	callers.iter().filter_map(|caller| caller.account().copied()).collect()
}

/// The longest that a direct caller waits for its write to be committed, in milliseconds.
pub const COMMIT_WAIT_MS_MAX: u64 = 120_000;

const _: () = assert!(limits::PEER_WAIT_MS_MAX < COMMIT_WAIT_MS_MAX);
