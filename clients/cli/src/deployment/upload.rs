//! An agent's code on the workers of its cluster.

use crate::{
	commands::{build::Built, status::in_time},
	limits,
	presence::{is_silence, while_there, Looks},
	worker_client::{self, CodeProgress, WorkerClient},
};
use anyhow::ensure;
use phala_agent_manifest::Manifest;
use phala_chain_client::{clusters, Chain};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	blake2_256,
	boot::WorkerId,
	mailbox::ClusterId,
	refusals::Refusal,
	H256,
};
use tokio::{task::JoinSet, time::Instant};

/// Which members of a cluster have an agent's code, and which do not, with why.
pub struct Uploaded {
	pub taken: Vec<clusters::Member>,
	pub missing: Vec<Missing>,
}

/// A member that does not have an agent's code.
pub struct Missing {
	pub(super) worker: WorkerId,
	why: String,
	/// It hangs, or is not there, and fetches the code when it is back.
	is_silent: bool,
}

impl Missing {
	pub(super) fn of(worker: WorkerId, error: &anyhow::Error) -> Self {
		let is_silent = is_silence(error) || worker_client::was_never_asked(error);
		Self { worker, why: format!("{error:#}"), is_silent }
	}
}

impl Uploaded {
	/// Refuses code that nobody has, or that no more members have than are there and lack it: who is not there holds
	/// nothing up, as in an upgrade.
	pub(super) fn check_serves(&self) -> anyhow::Result<()> {
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
	pub(super) fn is_majority(&self) -> bool {
		self.taken.len() > self.missing.len()
	}

	pub(super) fn has(&self, worker: WorkerId) -> bool {
		self.taken.iter().any(|member| member.worker == worker)
	}
}

/// Uploads code to every member of a cluster. One that is down gets it from the others when it is back.
pub async fn upload(chain: &Chain, cluster: ClusterId, built: &Built) -> anyhow::Result<Uploaded> {
	upload_to_most(clusters::members(chain, cluster).await?, built, Looks::USUAL).await
}

pub(super) async fn upload_to_most(
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
			(worker, Err(error)) => {
				let is_silent = is_silence(&error) || worker_client::was_never_asked(&error);
				refusals.push((worker, format!("{error:#}"), is_silent));
			}
		}
	}
	refusals.sort();
	let way_out = match refusals.iter().all(|(_, _, is_silent)| *is_silent) {
		true => "none of them is there: their operators have to start one; on a development network `phala network start <worker>` does",
		false => "`phala agent status` says what each of them lacks; the owner's `phala deploy` in the agent's folder uploads the code again",
	};
	let refusals = refusals.iter().map(|(worker, why, _)| format!("\n  worker {worker}: {why}"));
	refuse!(
		"Unanswered",
		"no worker of the cluster gave the agent's manifest {hash:?}:{}\n{way_out}",
		refusals.collect::<String>()
	)
}

#[cfg(test)]
mod tests {
	use super::super::tests::{built, dead, living, LOOKS};
	use super::*;
	use crate::calls::villains::{worker, Villain};
	use axum::{routing::get, Router};

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
		let members = [dead(2), refusing(3).await];
		let refused = super::manifest(&members, hash).await.unwrap_err().to_string();
		assert!(refused.contains("worker 2: ") && refused.contains("phala deploy"), "{refused}");
		// Nobody is there who would take it.
		let refused = super::manifest(&[dead(2)], hash).await.unwrap_err().to_string();
		assert!(refused.contains("none of them is there"), "{refused}");
		assert!(!refused.contains("phala deploy"), "{refused}");
	}
}
