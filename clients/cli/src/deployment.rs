//! Gets an agent's code onto the chain and onto every worker of its cluster, and waits for its birth.

use crate::{
	commands::{
		build::Built,
		status::{self, in_time},
	},
	deployed::Deployments,
	limits, terminal,
	worker_client::{self, CodeProgress, WorkerClient},
};
use anyhow::{bail, ensure, Context};
use phala_agent_manifest::Manifest;
use phala_chain_client::{
	agents::{self, Deployment},
	clusters,
	transactions::SignedTransaction,
	Chain, ChainClientError, Sender,
};
use phala_protocol::{
	agents::{AgentCode, AgentId, AgentRecord},
	blake2_256,
	boot::WorkerId,
	mailbox::ClusterId,
	refusals::Refusal,
	BlockNumber, H256,
};
use tokio::task::JoinSet;

/// Registers an agent, and writes that down from before it is submitted.
pub async fn register(
	owner: &Sender,
	deployments: &Deployments,
	deployment: &Deployment,
) -> anyhow::Result<AgentId> {
	let call = agents::register_call(deployment);
	let before = |signed: &SignedTransaction| deployments.before_submission(signed.at);
	let pending = owner.submit_after(call, before).await?;
	let at = pending.at;
	let included = pending.included().await.map_err(|error| match error {
		error @ ChainClientError::NotIncluded { .. } => {
			anyhow::Error::from(error).context("`phala deploy` once more goes on with it")
		}
		error => error.into(),
	})?;
	let agent = agents::registered(&included)?;
	deployments.registered(at, agent)?;
	Ok(agent)
}

/// Which members of a cluster have an agent's code, and which do not, with why.
pub struct Uploaded {
	pub taken: Vec<clusters::Member>,
	pub missing: Vec<(WorkerId, String)>,
}

impl Uploaded {
	/// Refuses code that too few have to commit what the agent does.
	fn check_quorum(&self) -> anyhow::Result<()> {
		let (taken, missing) = (self.taken.len(), self.missing.len());
		ensure!(
			taken > missing,
			"{missing} of {} workers do not have the code, and a majority has to:{}\n`phala deploy` once more uploads it again",
			taken + missing,
			self.missing_lines()
		);
		Ok(())
	}

	/// A line for each member that does not have it.
	pub fn missing_lines(&self) -> String {
		let lines = self.missing.iter().map(|(worker, why)| format!("\n  worker {worker}: {why}"));
		lines.collect()
	}

	fn has(&self, worker: WorkerId) -> bool {
		self.taken.iter().any(|member| member.worker == worker)
	}
}

/// Uploads code to every member of a cluster. One that is down gets it from the others when it is back.
pub async fn upload(chain: &Chain, cluster: ClusterId, built: &Built) -> anyhow::Result<Uploaded> {
	upload_to_most(clusters::members(chain, cluster).await?, built).await
}

async fn upload_to_most(members: Vec<clusters::Member>, built: &Built) -> anyhow::Result<Uploaded> {
	let results = upload_each(&members, built).await?;
	let mut uploaded = Uploaded { taken: Vec::new(), missing: Vec::new() };
	for (member, (worker, result)) in members.into_iter().zip(results) {
		match result {
			Ok(()) => uploaded.taken.push(member),
			Err(error) => uploaded.missing.push((worker, format!("{error:#}"))),
		}
	}
	uploaded.check_quorum()?;
	Ok(uploaded)
}

/// Uploads code to workers, to all at once. A worker takes it when it has seen on chain
/// that an agent wants it, which takes until the block is final and relayed.
/// Those that took it have it, whatever it fails by for others.
pub async fn upload_to(members: &[clusters::Member], built: &Built) -> anyhow::Result<()> {
	let mut refusals = Vec::new();
	for (worker, uploaded) in upload_each(members, built).await? {
		if let Err(error) = uploaded {
			refusals.push(format!("\n  worker {worker}: {error:#}"));
		}
	}
	if !refusals.is_empty() {
		refuse!(
			"CodeNotTaken",
			"{} of {} workers did not take the code:{}\n`phala deploy` once more uploads it again",
			refusals.len(),
			members.len(),
			refusals.concat()
		);
	}
	Ok(())
}

/// The same, with what came of it at each, in their order.
pub async fn upload_each(
	members: &[clusters::Member],
	built: &Built,
) -> anyhow::Result<Vec<(WorkerId, anyhow::Result<()>)>> {
	let code = built.code();
	let uploads: Vec<_> = members
		.iter()
		.map(|member| {
			let client = WorkerClient::new(&member.endpoint);
			let blobs = [
				(code.component, built.component.clone()),
				(code.manifest, built.manifest.clone()),
			];
			let uploading = tokio::spawn(async move {
				let client = client?;
				for (hash, blob) in blobs {
					put(&client, hash, blob).await?;
				}
				anyhow::Ok(())
			});
			(member.worker, uploading)
		})
		.collect();
	let mut uploaded = Vec::new();
	for (worker, uploading) in uploads {
		uploaded.push((worker, uploading.await?));
	}
	Ok(uploaded)
}

/// Waits until a worker can run code that runs or is to run later.
pub async fn compiled(
	member: &clusters::Member,
	agent: AgentId,
	code: &AgentCode,
) -> anyhow::Result<()> {
	let client = WorkerClient::new(&member.endpoint)?;
	let started = tokio::time::Instant::now();
	loop {
		match client.progress(agent, code).await? {
			CodeProgress::Ready => return Ok(()),
			CodeProgress::Refused(why) => refuse!("CodeNotTaken", "it refuses the code: {why}"),
			CodeProgress::OnItsWay if started.elapsed() < limits::COMPILED_MAX => {
				tokio::time::sleep(limits::POLL).await;
			}
			CodeProgress::OnItsWay => {
				refuse!(
					"CodeNotTaken",
					"it has not compiled the code within {} s",
					limits::COMPILED_MAX.as_secs()
				)
			}
		}
	}
}

async fn put(client: &WorkerClient, hash: H256, blob: Vec<u8>) -> anyhow::Result<()> {
	let started = tokio::time::Instant::now();
	loop {
		let error = match client.put_code(hash, blob.clone()).await {
			Ok(()) => return Ok(()),
			Err(error) => error,
		};
		let waits = worker_client::refusal(&error).is_some_and(|refusal| {
			[Refusal::CodeNotWanted, Refusal::NotReady, Refusal::NotFresh]
				.into_iter()
				.any(|passing| refusal.is(passing))
		});
		if !waits || started.elapsed() >= limits::CODE_WANTED_MAX {
			return Err(error);
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

/// The manifest with this hash, from whichever worker has it.
pub async fn manifest(members: &[clusters::Member], hash: H256) -> anyhow::Result<Manifest> {
	let mut refusals = String::new();
	for member in members {
		let client = WorkerClient::new(&member.endpoint)?;
		// One that hangs holds up nobody: the next one has it as well.
		let given = in_time(client.code(hash)).await;
		let read = given.and_then(|bytes| {
			ensure!(blake2_256(&bytes) == hash, "it gave something else");
			Ok(serde_json::from_slice(&bytes)?)
		});
		match read {
			Ok(manifest) => return Ok(manifest),
			Err(error) => refusals += &format!("\n  worker {}: {error:#}", member.worker),
		}
	}
	refuse!("Unanswered", "no worker of the cluster gave the agent's manifest {hash:?}:{refusals}")
}

/// Waits until workers stand at a block, so that what was changed in it holds for whoever asks them next.
/// One that does not come so far in time is named: it may be down, and what holds is the chain's matter.
pub async fn followed(chain: &Chain, cluster: ClusterId, block: BlockNumber) -> anyhow::Result<()> {
	chain.wait_until_final(block).await?;
	let members = clusters::members(chain, cluster).await?;
	let mut waiting = JoinSet::new();
	for clusters::Member { worker, endpoint } in members {
		waiting.spawn(async move {
			let following = follows(&endpoint, block);
			let followed = tokio::time::timeout(limits::FOLLOW_MAX, following).await;
			(worker, followed.unwrap_or_else(|_| bail!("it does not know of block {block} yet")))
		});
	}
	while let Some(Ok((worker, followed))) = waiting.join_next().await {
		if let Err(why) = followed {
			let why = terminal::line(&format!("{why:#}"));
			say!("  worker {worker} is not waited for: {why}");
		}
	}
	Ok(())
}

/// Waits until a worker stands at a block.
/// One at which nothing listens, or that says nothing for long, is given up: it hears of the block
/// when it is back.
async fn follows(endpoint: &str, block: BlockNumber) -> anyhow::Result<()> {
	let mut unheard = 0;
	loop {
		match in_time(status::info(endpoint)).await {
			Ok(info) if info.height.is_some_and(|height| height >= block) => return Ok(()),
			Ok(_) => unheard = 0,
			Err(error) => {
				unheard += 1;
				if worker_client::was_never_asked(&error) || unheard == limits::UNHEARD_MAX {
					return Err(error);
				}
			}
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

/// Waits until an agent has a key.
pub async fn born(chain: &Chain, agent: AgentId) -> anyhow::Result<AgentRecord> {
	let waiting = async {
		loop {
			let at = chain.finalized_head().await?;
			match agents::record(chain, at, agent).await? {
				Some(record) if record.key.is_some() => return Ok(record),
				_ => tokio::time::sleep(limits::POLL).await,
			}
		}
	};
	tokio::time::timeout(limits::BIRTH_MAX, waiting).await.unwrap_or_else(|_| {
		refuse!("NotBorn", "agent {agent:?} was not born within {} s: `phala cluster status` shows whether its workers are in force, their logs why they do not commit its birth",
			limits::BIRTH_MAX.as_secs())
	})
}

/// Waits until an agent answers on every one of these workers.
pub async fn ready(members: &[clusters::Member], agent: AgentId) -> anyhow::Result<()> {
	for member in members {
		let worker = member.worker;
		ready_at(member, agent).await.with_context(|| format!("worker {worker}"))?;
	}
	Ok(())
}

async fn ready_at(member: &clusters::Member, agent: AgentId) -> anyhow::Result<()> {
	let client = WorkerClient::new(&member.endpoint)?;
	let started = tokio::time::Instant::now();
	while !client.is_ready(agent).await? {
		ensure!(
			started.elapsed() < limits::BIRTH_MAX,
			"agent {agent:?} is registered and born, but not ready there: {}/v1/agents shows how far it is",
			member.endpoint
		);
		tokio::time::sleep(limits::POLL).await;
	}
	Ok(())
}

/// Waits until an agent answers on the workers that took its code, and whoever writes it is one of
/// them. Those that do not have it ready are missing then.
pub async fn settled(
	chain: &Chain,
	agent: AgentId,
	uploaded: Uploaded,
) -> anyhow::Result<Uploaded> {
	let uploaded = ready_at_most(uploaded, agent).await?;
	let started = tokio::time::Instant::now();
	loop {
		let lease = clusters::lease(chain, chain.finalized_head().await?, agent).await?;
		let why = match lease {
			Some(lease) if uploaded.has(lease.worker) => return Ok(uploaded),
			Some(lease) => format!("worker {} writes it", lease.worker),
			None => "no worker writes it".into(),
		};
		ensure!(
			started.elapsed() < limits::FAILOVER_MAX,
			"agent {agent:?} is registered and born, but {why}:{}\n`phala deploy` once more goes on with it",
			uploaded.missing_lines()
		);
		tokio::time::sleep(limits::POLL).await;
	}
}

async fn ready_at_most(uploaded: Uploaded, agent: AgentId) -> anyhow::Result<Uploaded> {
	let Uploaded { taken, missing } = uploaded;
	let mut waiting = JoinSet::new();
	for member in taken {
		waiting.spawn(async move {
			let ready = ready_at(&member, agent).await;
			(member, ready)
		});
	}
	let mut uploaded = Uploaded { taken: Vec::new(), missing };
	for (member, ready) in waiting.join_all().await {
		match ready {
			Ok(()) => uploaded.taken.push(member),
			Err(error) => uploaded.missing.push((member.worker, format!("{error:#}"))),
		}
	}
	uploaded.taken.sort_by_key(|member| member.worker);
	uploaded.missing.sort_by_key(|(worker, _)| *worker);
	uploaded.check_quorum()?;
	Ok(uploaded)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::crashed;
	use axum::{
		routing::{get, put},
		Json, Router,
	};
	use serde_json::json;

	const AGENT: AgentId = H256([7; 32]);

	fn built() -> Built {
		Built { name: "a".into(), component: vec![1], manifest: vec![2] }
	}

	/// Takes all code, and has the agent ready.
	async fn living(worker: WorkerId) -> clusters::Member {
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
	fn dead(worker: WorkerId) -> clusters::Member {
		crashed(worker).member
	}

	#[tokio::test]
	async fn a_dead_member_is_named_and_holds_up_no_deployment_that_a_majority_took() {
		let members = vec![living(1).await, dead(2), living(3).await];
		let uploaded = upload_to_most(members, &built()).await.unwrap();
		assert!(uploaded.has(1) && !uploaded.has(2) && uploaded.has(3));
		let lines = uploaded.missing_lines();
		assert!(lines.starts_with("\n  worker 2: no worker answers at http"), "{lines}");
		let uploaded = ready_at_most(uploaded, AGENT).await.unwrap();
		assert_eq!((uploaded.taken.len(), uploaded.missing.len()), (2, 1));
		// One that died after it took the code.
		let taken = vec![living(1).await, dead(3)];
		let uploaded = Uploaded { taken, missing: vec![] };
		let refused = ready_at_most(uploaded, AGENT).await.err().unwrap().to_string();
		assert!(refused.contains("worker 3: "), "{refused}");
	}

	#[tokio::test]
	async fn who_is_gone_is_not_waited_for_until_it_knows_of_a_block() {
		let gone = dead(2).endpoint;
		let refused = follows(&gone, 7).await.unwrap_err().to_string();
		assert!(refused.contains("no worker answers"), "{refused}");
	}

	#[tokio::test]
	async fn code_that_no_majority_took_is_not_deployed() {
		for members in
			[vec![dead(1)], vec![living(1).await, dead(2)], vec![living(1).await, dead(2), dead(3)]]
		{
			let refused = upload_to_most(members, &built()).await.err().unwrap().to_string();
			assert!(refused.contains("a majority has to"), "{refused}");
			assert!(refused.contains("`phala deploy` once more"), "{refused}");
		}
	}
}
