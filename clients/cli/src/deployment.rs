//! Gets an agent's code onto the chain and onto every worker of its cluster, and waits for its birth.

use crate::{
	commands::{
		build::Built,
		status::{self, in_time},
	},
	deployed::Deployments,
	failure::CommandError,
	limits,
	presence::{is_silence, while_there, Looks},
	terminal,
	worker_client::{self, CodeProgress, Standing, WorkerClient},
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
use std::collections::BTreeSet;
use tokio::{task::JoinSet, time::Instant};

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
	let included = match pending.included().await {
		Ok(included) => included,
		Err(error @ ChainClientError::NotIncluded { .. }) => {
			return Err(error).context("`phala deploy` once more goes on with it");
		}
		Err(error) => {
			if matches!(error, ChainClientError::Dispatch { .. }) {
				deployments.forget(at)?;
			}
			return Err(error.into());
		}
	};
	let agent = agents::registered(&included)?;
	deployments.registered(at, agent)?;
	Ok(agent)
}

/// Refuses a cluster of which no member says who it is: nobody would take the code.
pub async fn check_somebody_is_there(
	cluster: ClusterId,
	members: &[clusters::Member],
) -> anyhow::Result<()> {
	let asked = members.iter().map(|member| async move {
		let asking = tokio::time::timeout(limits::STATUS_MAX, status::info(&member.endpoint)).await;
		matches!(asking, Ok(Ok(_)))
	});
	if !futures::future::join_all(asked).await.contains(&true) {
		refuse!(
			"Unanswered",
			"no worker of cluster {cluster} answers: nothing was registered, and nothing was paid. `phala cluster status {cluster}` shows where they should be; try again when one is there"
		);
	}
	Ok(())
}

/// Which members of a cluster have an agent's code, and which do not, with why.
pub struct Uploaded {
	pub taken: Vec<clusters::Member>,
	pub missing: Vec<Missing>,
}

/// A member that does not have an agent's code.
pub struct Missing {
	worker: WorkerId,
	why: String,
	/// It hangs, or is not there, and fetches the code when it is back.
	is_silent: bool,
}

impl Missing {
	fn of(worker: WorkerId, error: &anyhow::Error) -> Self {
		let is_silent = is_silence(error) || worker_client::was_never_asked(error);
		Self { worker, why: format!("{error:#}"), is_silent }
	}
}

impl Uploaded {
	/// Refuses code that nobody has, or that no more members have than are there and lack it: who is not there holds
	/// nothing up, as in an upgrade.
	fn check_serves(&self) -> anyhow::Result<()> {
		let (taken, all) = (self.taken.len(), self.taken.len() + self.missing.len());
		let lacking = self.missing.iter().filter(|missing| !missing.is_silent).count();
		if taken <= lacking {
			let has = if taken == 1 { "has" } else { "have" };
			refuse!(
				"CodeNotTaken",
				"{taken} of {all} workers {has} the agent ready, and more have to than are there without it:{}\nIt is registered: `phala deploy` once more goes on where it was cut, once more of them have it, and no further deposit is held",
				self.missing_lines()
			);
		}
		Ok(())
	}

	/// A line for each member that does not have it.
	pub fn missing_lines(&self) -> String {
		let line = |Missing { worker, why, .. }: &Missing| format!("\n  worker {worker}: {why}");
		self.missing.iter().map(line).collect()
	}

	/// Whether those that have it can commit what an agent does, whoever of the others counts.
	fn is_majority(&self) -> bool {
		self.taken.len() > self.missing.len()
	}

	fn has(&self, worker: WorkerId) -> bool {
		self.taken.iter().any(|member| member.worker == worker)
	}
}

/// Uploads code to every member of a cluster. One that is down gets it from the others when it is back.
pub async fn upload(chain: &Chain, cluster: ClusterId, built: &Built) -> anyhow::Result<Uploaded> {
	upload_to_most(clusters::members(chain, cluster).await?, built, Looks::USUAL).await
}

async fn upload_to_most(
	members: Vec<clusters::Member>,
	built: &Built,
	looks: Looks,
) -> anyhow::Result<Uploaded> {
	let results = upload_each(&members, built, looks).await?;
	let mut uploaded = Uploaded { taken: Vec::new(), missing: Vec::new() };
	for (member, (worker, result)) in members.into_iter().zip(results) {
		match result {
			Ok(()) => uploaded.taken.push(member),
			Err(error) => uploaded.missing.push(Missing::of(worker, &error)),
		}
	}
	uploaded.check_serves()?;
	Ok(uploaded)
}

/// Uploads code to workers, to all at once. A worker takes it when it has seen on chain
/// that an agent wants it, which takes until the block is final and relayed.
/// Those that took it have it, whatever it fails by for others.
pub async fn upload_to(members: &[clusters::Member], built: &Built) -> anyhow::Result<()> {
	let mut refusals = Vec::new();
	for (worker, uploaded) in upload_each(members, built, Looks::OF_A_START).await? {
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

/// The same, with what came of it at each, in their order. One that hangs is named, and given up.
pub async fn upload_each(
	members: &[clusters::Member],
	built: &Built,
	looks: Looks,
) -> anyhow::Result<Vec<(WorkerId, anyhow::Result<()>)>> {
	let code = built.code();
	let uploads: Vec<_> = members
		.iter()
		.map(|member| {
			let (member, worker) = (member.clone(), member.worker);
			let blobs = [
				(code.component, built.component.clone()),
				(code.manifest, built.manifest.clone()),
			];
			let uploading = tokio::spawn(async move {
				let client = WorkerClient::new(&member.endpoint)?;
				let putting = async {
					for (hash, blob) in blobs {
						put(&client, hash, blob).await?;
					}
					Ok(())
				};
				while_there(&member, looks, putting).await
			});
			(worker, uploading)
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
	let started = Instant::now();
	let compiling = async {
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
	};
	while_there(member, Looks::USUAL, compiling).await
}

async fn put(client: &WorkerClient, hash: H256, blob: Vec<u8>) -> anyhow::Result<()> {
	let started = Instant::now();
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

/// The manifest with this hash, from whichever worker has it. All are asked at once: one that hangs holds up
/// nobody.
pub async fn manifest(members: &[clusters::Member], hash: H256) -> anyhow::Result<Manifest> {
	let mut asking = JoinSet::new();
	for clusters::Member { worker, endpoint } in members.iter().cloned() {
		asking.spawn(async move {
			let read = async {
				let bytes = WorkerClient::new(&endpoint)?.code(hash).await?;
				ensure!(blake2_256(&bytes) == hash, "it gave something else");
				Ok(serde_json::from_slice(&bytes)?)
			};
			(worker, in_time(read).await)
		});
	}
	let mut refusals = Vec::new();
	while let Some(asked) = asking.join_next().await {
		match asked? {
			(_, Ok(manifest)) => return Ok(manifest),
			(worker, Err(error)) => refusals.push((worker, format!("{error:#}"))),
		}
	}
	refusals.sort();
	let refusals = refusals.iter().map(|(worker, why)| format!("\n  worker {worker}: {why}"));
	refuse!(
		"Unanswered",
		"no worker of the cluster gave the agent's manifest {hash:?}:{}\n`phala agent status` says what each of them lacks; the owner's `phala deploy` in the agent's folder uploads the code again",
		refusals.collect::<String>()
	)
}

/// Refuses what nobody will ever carry out: see [`lost_keys`].
pub async fn check_keys(chain: &Chain, cluster: ClusterId) -> anyhow::Result<()> {
	lost_keys(chain, cluster).await?.map_or(Ok(()), Err)
}

/// Waits until workers stand at a block, so that what was changed in it holds for whoever asks them next.
/// One that does not come so far in time is named: it may be down, and what holds is the chain's matter. Those
/// that are known to be silent are not asked.
pub async fn followed(
	chain: &Chain,
	cluster: ClusterId,
	block: BlockNumber,
	silent: BTreeSet<WorkerId>,
) -> anyhow::Result<()> {
	chain.wait_until_final(block).await?;
	let members = clusters::members(chain, cluster).await?;
	let mut waiting = JoinSet::new();
	for member in members.into_iter().filter(|member| !silent.contains(&member.worker)) {
		waiting.spawn(async move {
			let following = follows(&member, block, Looks::USUAL);
			let followed = tokio::time::timeout(limits::FOLLOW_MAX, following).await;
			let late = |_| bail!("it does not know of block {block} yet");
			(member.worker, followed.unwrap_or_else(late))
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
async fn follows(
	member: &clusters::Member,
	block: BlockNumber,
	looks: Looks,
) -> anyhow::Result<()> {
	let started = Instant::now();
	let mut is_told = false;
	let following = async {
		loop {
			match in_time(status::info(&member.endpoint)).await {
				Ok(info) if info.height.is_some_and(|height| height >= block) => return Ok(()),
				Ok(info) if !is_told && started.elapsed() >= limits::PROGRESS_EVERY => {
					is_told = true;
					let at = info.height.map_or("no block yet".into(), |at| format!("block {at}"));
					say!(
						"  waiting for worker {}, which knows of {at}, not of {block}",
						member.worker
					);
				}
				Err(error) if worker_client::was_never_asked(&error) => return Err(error),
				Ok(_) | Err(_) => {}
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	while_there(member, looks, following).await
}

/// Waits until an agent has a key.
pub async fn born(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
) -> anyhow::Result<AgentRecord> {
	let waiting = async {
		loop {
			let at = chain.finalized_head().await?;
			match agents::record(chain, at, agent).await? {
				Some(record) if record.key.is_some() => return Ok(record),
				_ => tokio::time::sleep(limits::POLL).await,
			}
		}
	};
	let in_time = tokio::select! {
		biased;
		in_time = tokio::time::timeout(limits::BIRTH_MAX, waiting) => in_time,
		lost = keys_lost(chain, cluster) => return Err(lost),
	};
	in_time.unwrap_or_else(|_| {
		refuse!("NotBorn", "agent {agent:?} was not born within {} s: `phala cluster status {cluster}` shows whether its workers are in force, their logs why they do not commit its birth; `phala deploy` once more goes on waiting",
			limits::BIRTH_MAX.as_secs())
	})
}

/// The same of one whose code these have. Too few of them do not commit its birth while the others count, be
/// they there or not: the chain sets aside who does not write, or has given no sign of life for minutes.
pub async fn born_beside(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
	uploaded: &Uploaded,
) -> anyhow::Result<AgentRecord> {
	let birth = born(chain, cluster, agent);
	if uploaded.is_majority() {
		return birth.await;
	}
	let born = tokio::time::timeout(limits::FAILOVER_WAIT_MAX, birth).await;
	born.unwrap_or_else(|_| Err(unborn(agent, uploaded).into()))
}

fn unborn(agent: AgentId, uploaded: &Uploaded) -> CommandError {
	let (taken, all) = (uploaded.taken.len(), uploaded.taken.len() + uploaded.missing.len());
	let message = format!(
		"agent {agent:?} is registered, and waits for its birth: {taken} of {all} workers have its code, and a majority of those that count keeps what an agent writes. These do not answer, and count for up to ten minutes:{}\n`phala deploy` once more goes on with it, once they answer or count no more; no further deposit is held",
		uploaded.missing_lines()
	);
	CommandError::new("NotBorn", message)
}

/// Waits until an agent answers on every one of these workers.
pub async fn ready(members: &[clusters::Member], agent: AgentId) -> anyhow::Result<()> {
	for member in members {
		let worker = member.worker;
		ready_at(member, agent, Looks::OF_A_START)
			.await
			.with_context(|| format!("worker {worker}"))?;
	}
	Ok(())
}

async fn ready_at(member: &clusters::Member, agent: AgentId, looks: Looks) -> anyhow::Result<()> {
	let client = WorkerClient::new(&member.endpoint)?;
	let started = Instant::now();
	let mut told = String::new();
	let waiting = async {
		loop {
			let lacks = match client.standing(agent).await? {
				Standing::Ready => return Ok(()),
				Standing::Lacks(lacks) => lacks,
			};
			if started.elapsed() >= limits::BIRTH_MAX {
				refuse!("NotReady", "it does not answer for the agent: {lacks}");
			}
			if started.elapsed() >= limits::PROGRESS_EVERY && told != lacks {
				say!("  waiting for worker {}: {}", member.worker, terminal::line(&lacks));
				told = lacks;
			}
			tokio::time::sleep(limits::POLL).await;
		}
	};
	while_there(member, looks, waiting).await
}

/// Waits until an agent answers on the workers that took its code, and whoever writes it is one of
/// them. Those that do not have it ready are missing then.
pub async fn settled(
	chain: &Chain,
	cluster: ClusterId,
	agent: AgentId,
	uploaded: Uploaded,
) -> anyhow::Result<Uploaded> {
	let uploaded = tokio::select! {
		biased;
		ready = ready_at_most(uploaded, agent, Looks::USUAL) => ready?,
		lost = keys_lost(chain, cluster) => return Err(lost),
	};
	let started = Instant::now();
	let mut is_told = false;
	loop {
		let lease = clusters::lease(chain, chain.finalized_head().await?, agent).await?;
		let why = match lease {
			Some(lease) if uploaded.has(lease.worker) => return Ok(uploaded),
			Some(lease) => {
				format!("worker {} writes it, which does not have it ready", lease.worker)
			}
			None => "no worker writes it".into(),
		};
		if started.elapsed() >= limits::PROGRESS_EVERY && !is_told {
			is_told = true;
			say!("  {why}; waiting for another writer, as the chain gives it one");
		}
		if started.elapsed() >= limits::FAILOVER_MAX {
			refuse!(
				"NotReady",
				"agent {agent:?} is registered and born, but {why}:{}\n`phala deploy` once more goes on with it; a worker that is not where the chain says is moved there by its operator, with `phala cluster endpoint <worker> <url>`",
				uploaded.missing_lines()
			);
		}
		tokio::time::sleep(limits::POLL).await;
	}
}

async fn ready_at_most(
	uploaded: Uploaded,
	agent: AgentId,
	looks: Looks,
) -> anyhow::Result<Uploaded> {
	let Uploaded { taken, missing } = uploaded;
	let mut waiting = JoinSet::new();
	for member in taken {
		waiting.spawn(async move {
			let ready = ready_at(&member, agent, looks).await;
			(member, ready)
		});
	}
	let mut uploaded = Uploaded { taken: Vec::new(), missing };
	for (member, ready) in waiting.join_all().await {
		match ready {
			Ok(()) => uploaded.taken.push(member),
			Err(error) => uploaded.missing.push(Missing::of(member.worker, &error)),
		}
	}
	uploaded.taken.sort_by_key(|member| member.worker);
	uploaded.missing.sort_by_key(|missing| missing.worker);
	uploaded.check_serves()?;
	Ok(uploaded)
}

/// Ends when nobody will ever read the state of a cluster's agents again, with what is left to do.
async fn keys_lost(chain: &Chain, cluster: ClusterId) -> anyhow::Error {
	loop {
		if let Ok(Some(lost)) = lost_keys(chain, cluster).await {
			return lost;
		}
		tokio::time::sleep(limits::PROGRESS_EVERY).await;
	}
}

/// Why no agent of a cluster that had a state answers any more, if that is for good: every member says that
/// it has none of the cluster's keys, and the master key under which the chain has them serves no more.
pub async fn lost_keys(chain: &Chain, cluster: ClusterId) -> anyhow::Result<Option<anyhow::Error>> {
	if !clusters::keys_are_overtaken(chain, cluster).await? {
		return Ok(None);
	}
	// Where nothing was written yet members make others.
	let agents = agents::all(chain, chain.finalized_head().await?).await?;
	if !agents.iter().any(|(_, record)| record.cluster == cluster && record.version > 0) {
		return Ok(None);
	}
	let said = status::of_all(clusters::members(chain, cluster).await?, None).await;
	Ok(has_nobody_keys(said.iter().map(|(_, said)| said)).then(|| {
		let message = format!(
			"the keys of cluster {cluster} are lost, and with them the state of its agents, for good: all of its members and the gatekeeper started anew at once. Each owner gives its agent up with `phala agent retire`; once none is left the members make new keys, within some four minutes, so that `phala deploy` may have to be run twice. On a development network, start `phala network up` again"
		);
		CommandError::new("KeysLost", message).into()
	}))
}

/// Who does not answer may have them.
fn has_nobody_keys<'a>(mut said: impl Iterator<Item = &'a anyhow::Result<status::Said>>) -> bool {
	said.all(|said| said.as_ref().is_ok_and(|(info, _)| info.cluster_keys == Some(false)))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::calls::villains::{crashed, worker, Villain};
	use axum::{
		routing::{get, put},
		Json, Router,
	};
	use serde_json::json;
	use std::time::Duration;

	const AGENT: AgentId = H256([7; 32]);

	/// Of a test in which who is there may be slow.
	const LOOKS: Looks = Looks { each: Duration::from_secs(60), max: 1 };

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
	async fn a_dead_member_is_named_and_holds_up_no_deployment() {
		let members = vec![living(1).await, dead(2), living(3).await];
		let uploaded = upload_to_most(members, &built(), LOOKS).await.unwrap();
		assert!(uploaded.has(1) && !uploaded.has(2) && uploaded.has(3));
		let lines = uploaded.missing_lines();
		assert!(lines.starts_with("\n  worker 2: no worker answers at http"), "{lines}");
		let uploaded = ready_at_most(uploaded, AGENT, LOOKS).await.unwrap();
		assert_eq!((uploaded.taken.len(), uploaded.missing.len()), (2, 1));
		// One that died after it took the code.
		let taken = vec![living(1).await, dead(3)];
		let uploaded = Uploaded { taken, missing: vec![] };
		let lines = ready_at_most(uploaded, AGENT, LOOKS).await.unwrap().missing_lines();
		assert!(lines.starts_with("\n  worker 3: "), "{lines}");
	}

	#[tokio::test]
	async fn who_is_gone_is_not_waited_for_until_it_knows_of_a_block() {
		let refused = follows(&dead(2), 7, LOOKS).await.unwrap_err().to_string();
		assert!(refused.contains("no worker answers"), "{refused}");
	}

	/// Is there, and takes no code.
	async fn refusing(id: WorkerId) -> clusters::Member {
		worker(id, Villain::Answers).await.member
	}

	#[tokio::test]
	async fn code_that_nobody_took_or_more_refused_is_not_deployed() {
		for (members, has) in [
			(vec![dead(1)], "0 of 1 workers have"),
			(vec![living(1).await, refusing(2).await], "1 of 2 workers has"),
			(vec![living(1).await, refusing(2).await, refusing(3).await], "1 of 3 workers has"),
		] {
			let refused = upload_to_most(members, &built(), LOOKS).await.err().unwrap().to_string();
			for part in [has, "It is registered: `phala deploy` once more", "no further deposit"] {
				assert!(refused.contains(part), "{part}: {refused}");
			}
		}
	}

	#[tokio::test]
	async fn who_is_not_there_holds_no_deployment_up_where_another_has_the_code() {
		let hung = worker(3, Villain::Hangs).await.member;
		let looks = Looks { each: Duration::from_secs(2), max: 1 };
		for gone in [dead(2), hung] {
			let members = vec![living(1).await, gone];
			let uploaded = upload_to_most(members, &built(), looks).await.unwrap();
			assert!(uploaded.has(1) && uploaded.missing.len() == 1);
			ready_at_most(uploaded, AGENT, looks).await.unwrap();
		}
	}

	#[tokio::test]
	async fn a_birth_that_too_few_can_commit_is_told_with_who_is_missed_and_what_goes_on() {
		let uploaded =
			upload_to_most(vec![living(1).await, dead(2)], &built(), LOOKS).await.unwrap();
		assert!(!uploaded.is_majority());
		let told = unborn(AGENT, &uploaded);
		assert_eq!(told.code, "NotBorn");
		for part in
			["1 of 2 workers have its code", "worker 2: no worker", "`phala deploy` once more"]
		{
			assert!(told.message.contains(part), "{part}: {}", told.message);
		}
		let members = vec![living(1).await, dead(2), living(3).await];
		assert!(upload_to_most(members, &built(), LOOKS).await.unwrap().is_majority());
	}

	#[test]
	fn keys_are_lost_where_each_member_says_that_it_has_none() {
		let said = |keys: Option<bool>| {
			let info = json!({ "phase": "serving", "clusterKeys": keys });
			Ok((serde_json::from_value(info).unwrap(), Vec::new()))
		};
		let lost = |all: &[anyhow::Result<status::Said>]| has_nobody_keys(all.iter());
		assert!(lost(&[said(Some(false)), said(Some(false))]));
		for other in [said(Some(true)), said(None), Err(anyhow::anyhow!("it hangs"))] {
			assert!(!lost(&[said(Some(false)), other]));
		}
	}

	#[tokio::test]
	async fn a_member_that_hangs_is_named_and_holds_up_no_deployment() {
		let hung = worker(2, Villain::Hangs).await;
		let looks = Looks { each: Duration::from_secs(2), max: 1 };
		let members = vec![living(1).await, hung.member.clone(), living(3).await];
		let uploaded = upload_to_most(members, &built(), looks).await.unwrap();
		assert!(uploaded.has(1) && !uploaded.has(2) && uploaded.has(3));
		let lines = uploaded.missing_lines();
		assert!(
			lines.contains("worker 2: it does not answer within 2 s: does it hang?"),
			"{lines}"
		);
		// It took the code, and was stopped then.
		let taken = vec![living(1).await, hung.member.clone(), living(3).await];
		let settled = ready_at_most(Uploaded { taken, missing: vec![] }, AGENT, looks).await;
		let missing = settled.unwrap().missing;
		assert_eq!(missing.iter().map(|missing| missing.worker).collect::<Vec<_>>(), [2]);
		let refused = follows(&hung.member, 7, looks).await.unwrap_err();
		assert!(crate::presence::is_silence(&refused), "{refused:#}");
	}

	#[tokio::test]
	async fn a_manifest_comes_from_whoever_has_it_and_one_that_hangs_is_not_waited_for() {
		let manifest = br#"{"name":"riddle"}"#.to_vec();
		let hash = blake2_256(&manifest);
		let router = Router::new().route("/v1/code/{hash}", get(move || async { manifest }));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("http://{}", listener.local_addr().unwrap());
		tokio::spawn(async move { axum::serve(listener, router).await });
		let has = clusters::Member { worker: 3, endpoint };
		let hung = worker(1, Villain::Hangs).await.member;
		let members = vec![hung, dead(2), has];
		let found = super::manifest(&members, hash).await.unwrap();
		assert_eq!(found.name, "riddle");
		let refused = super::manifest(&[dead(2)], hash).await.unwrap_err().to_string();
		assert!(refused.contains("worker 2: ") && refused.contains("phala deploy"), "{refused}");
	}
}
