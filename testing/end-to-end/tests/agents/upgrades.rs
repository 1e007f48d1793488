//! Code changes, and nobody is refused meanwhile; what is to come is shown; what an agent throws is found
//! at its line.

use crate::Stage;
use anyhow::{ensure, Context};
use nix::sys::signal::Signal;
use phala_end_to_end::{
	cli::Phala,
	cluster::{agent_at, agent_folder, http, Network, DEVELOPER},
	until,
};
use serde_json::Value;
use std::{
	fs,
	future::Future,
	path::PathBuf,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc, Mutex, PoisonError,
	},
};
use tokio::task::JoinSet;

/// Blocks from an announcement on: more than uploading and compiling take.
const NOTICE: &str = "20";

const SOURCE: &str = "src/index.ts";

/// A folder of the callers' with this version of the agent, built.
async fn built(network: &Network, version: &str) -> anyhow::Result<String> {
	let (from, to) = (agent_folder("versions"), network.file(&format!("version-{version}")));
	if !to.exists() {
		fs::create_dir_all(to.join("src"))?;
		fs::copy(from.join("agent.toml"), to.join("agent.toml"))?;
		let source = fs::read_to_string(from.join(SOURCE))?;
		ensure!(source.contains("\"one\""), "the source names its version");
		fs::write(to.join(SOURCE), source.replace("\"one\"", &format!("{version:?}")))?;
		network.phala.ok(&["build", &to.display().to_string()]).await?;
	}
	Ok(to.display().to_string())
}

/// The same manifest, and no component.
async fn broken(network: &Network) -> anyhow::Result<String> {
	let from = PathBuf::from(built(network, "one").await?);
	let to = network.file("version-broken");
	fs::create_dir_all(to.join("dist"))?;
	fs::copy(from.join("dist/manifest.json"), to.join("dist/manifest.json"))?;
	fs::write(to.join("dist/agent.wasm"), "no component")?;
	fs::copy(from.join("agent.toml"), to.join("agent.toml"))?;
	Ok(to.display().to_string())
}

async fn deploy(network: &Network, upgrades: &str) -> anyhow::Result<String> {
	let (folder, cluster) = (built(network, "one").await?, network.cluster.to_string());
	let arguments = ["deploy", &folder, "--no-build", "--new", "--cluster", &cluster];
	let arguments = [&arguments[..], &["--upgrades", upgrades]].concat();
	let deployed = network.phala.of(DEVELOPER).ok(&arguments).await?;
	Ok(deployed["agent"].as_str().context("it has an id")?.to_owned())
}

/// What one caller was answered, in its order.
type Heard = Arc<Mutex<Vec<anyhow::Result<String>>>>;

/// Callers of an agent, each asking again as soon as it is answered.
struct Crowd {
	heard: Vec<(String, Heard)>,
	is_over: Arc<AtomicBool>,
	callers: JoinSet<()>,
}

impl Crowd {
	/// One that reads at each worker and one that writes at the agent's writer, in the clear; one of each by
	/// the command line, sealed.
	async fn gather(stage: &Stage, agent: &str) -> anyhow::Result<Self> {
		let network = &stage.network;
		let status = network.phala.ok(&["agent", "status", agent]).await?;
		let writer = status["lease"]["worker"].as_u64().context("somebody writes it")?;
		let mut crowd =
			Self { heard: Vec::new(), is_over: Arc::default(), callers: JoinSet::new() };
		for worker in network.workers() {
			let (id, url) = (worker.id(), worker.enclave.public_url.clone());
			crowd.join(format!("GET at worker {id}"), plain(url.clone(), agent, "GET"));
			if u64::from(id) == writer {
				crowd.join(format!("POST at worker {id}"), plain(url, agent, "POST"));
			}
		}
		for method in ["GET", "POST"] {
			let asking = sealed(network.phala.clone(), agent, method);
			crowd.join(format!("phala call -X {method}"), asking);
		}
		Ok(crowd)
	}

	fn join<A>(&mut self, name: String, ask: impl Fn() -> A + Send + 'static)
	where
		A: Future<Output = anyhow::Result<String>> + Send,
	{
		let (heard, is_over) = (Heard::default(), self.is_over.clone());
		self.heard.push((name, heard.clone()));
		self.callers.spawn(async move {
			while !is_over.load(Ordering::Relaxed) {
				let answer = ask().await;
				heard.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
			}
		});
	}

	/// Waits until each of them was answered by this version; fails as soon as one is refused.
	async fn all_hear(&self, version: &str) -> anyhow::Result<()> {
		for (caller, heard) in &self.heard {
			until(&format!("{caller} to be answered by version {version}"), || async {
				let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
				for answer in heard.iter() {
					let answer = answer.as_ref();
					if answer.map_err(|error| anyhow::anyhow!("{caller}: {error:#}"))? == version {
						return Ok(Some(()));
					}
				}
				Ok(None)
			})
			.await?;
		}
		Ok(())
	}

	/// All of them stop; what each heard.
	async fn leave(self) -> anyhow::Result<Vec<(String, Vec<String>)>> {
		self.is_over.store(true, Ordering::Relaxed);
		self.callers.join_all().await;
		let mut all = Vec::new();
		for (caller, heard) in self.heard {
			let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
			let answers: anyhow::Result<Vec<_>> = heard.into_iter().collect();
			let answers = answers.with_context(|| format!("{caller} was refused"))?;
			println!("  {caller}: {} answers", answers.len());
			all.push((caller, answers));
		}
		Ok(all)
	}
}

type Asking = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<String>> + Send>>;

fn plain(url: String, agent: &str, method: &'static str) -> impl Fn() -> Asking + Send + 'static {
	let path = format!("/agents/{agent}/");
	move || {
		let (url, path) = (url.clone(), path.clone());
		Box::pin(async move {
			let answer = http(&url, method, &path, &[]).await?;
			let said = String::from_utf8_lossy(&answer.body).into_owned();
			ensure!(answer.status == 200, "{}: {said}", answer.status);
			version(&serde_json::from_str(&said)?)
		})
	}
}

fn sealed(phala: Phala, agent: &str, method: &'static str) -> impl Fn() -> Asking + Send + 'static {
	let agent = agent.to_owned();
	move || {
		let (phala, agent) = (phala.clone(), agent.clone());
		Box::pin(async move {
			let answer = phala.ok(&["call", &agent, "/", "-X", method]).await?;
			ensure!(answer["verified"] == true, "{answer:#}");
			version(&answer["answer"]["body"])
		})
	}
}

fn version(body: &Value) -> anyhow::Result<String> {
	Ok(body["version"].as_str().with_context(|| format!("{body} has a version"))?.to_owned())
}

/// Nobody was refused, each heard both versions, and who asks one worker heard the old no more after the new.
fn check_heard(heard: &[(String, Vec<String>)]) -> anyhow::Result<()> {
	for (caller, answers) in heard {
		let first_new = answers.iter().position(|version| version == "two");
		let first_new = first_new.with_context(|| format!("{caller} heard the new"))?;
		let (old, new) = answers.split_at(first_new);
		ensure!(!old.is_empty() && old.iter().all(|version| version == "one"), "{caller}");
		ensure!(new.iter().all(|version| version == "two"), "{caller} went back: {answers:?}");
	}
	Ok(())
}

pub async fn nobody_is_refused_at_an_upgrade_without_notice(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let network = &stage.network;
	let developer = network.phala.of(DEVELOPER);
	let agent = deploy(network, "free").await?;
	let crowd = Crowd::gather(stage, &agent).await?;
	crowd.all_hear("one").await?;

	// What workers cannot run is not put in place.
	let broken = broken(network).await?;
	let refused = developer.refused(&["agent", "upgrade", &agent, &broken, "--no-build"]).await?;
	ensure!(refused.contains("was not upgraded"), "{refused}");
	ensure!(refused.contains("it refuses the code"), "{refused}");
	let pending = network.phala.ok(&["agent", "status", &agent]).await?["pending"].clone();
	ensure!(pending["component"].is_string() && pending["runsFrom"].is_null(), "{pending:#}");

	let two = built(network, "two").await?;
	let upgraded = developer.ok(&["agent", "upgrade", &agent, &two, "--no-build"]).await?;
	assert_eq!(upgraded["replaced"], pending, "{upgraded:#}");
	for worker in network.workers() {
		let path = format!("/agents/{agent}/");
		let answer = http(&worker.enclave.public_url, "GET", &path, &[]).await?;
		let answer: Value = serde_json::from_slice(&answer.body)?;
		assert_eq!(version(&answer)?, "two", "it runs when the command returns");
	}
	crowd.all_hear("two").await?;
	check_heard(&crowd.leave().await?)?;
	let status = network.phala.ok(&["agent", "status", &agent]).await?;
	assert_eq!((&status["pending"], &status["component"]), (&Value::Null, &upgraded["component"]));

	// Once more changes nothing.
	let again = developer.ok(&["agent", "upgrade", &agent, &two, "--no-build"]).await?;
	assert_eq!(again["block"], Value::Null, "{again:#}");
	Ok(())
}

pub async fn nobody_is_refused_at_an_upgrade_with_notice_and_what_is_to_come_is_shown(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let network = &stage.network;
	let developer = network.phala.of(DEVELOPER);
	let agent = deploy(network, NOTICE).await?;
	let crowd = Crowd::gather(stage, &agent).await?;
	crowd.all_hear("one").await?;

	let two = built(network, "two").await?;
	let upgraded = developer.ok(&["agent", "upgrade", &agent, &two, "--no-build"]).await?;
	// To callers, and at every worker.
	let status = network.phala.ok(&["agent", "status", &agent]).await?;
	for field in ["component", "manifest", "runsFrom"] {
		assert_eq!(status["pending"][field], upgraded[field], "{status:#}");
	}
	for worker in network.workers() {
		let listed = agent_at(worker, &agent).await?.context("it is listed")?;
		let planned = &listed["planned"];
		assert_eq!(
			(&planned["codeHash"], &planned["progress"]),
			(&upgraded["component"], &"ready".into()),
			"{listed:#}"
		);
	}
	// Another in its place has to be asked for, and the same is not announced twice.
	let one = built(network, "one").await?;
	let refused = developer.refused(&["agent", "upgrade", &agent, &one, "--no-build"]).await?;
	let block = format!("from block {}", upgraded["runsFrom"]);
	ensure!(refused.contains(&block) && refused.contains("--force"), "{refused}");
	let again = developer.ok(&["agent", "upgrade", &agent, &two, "--no-build"]).await?;
	assert_eq!((&again["block"], &again["runsFrom"]), (&Value::Null, &upgraded["runsFrom"]));

	crowd.all_hear("two").await?;
	check_heard(&crowd.leave().await?)?;
	let status = network.phala.ok(&["agent", "status", &agent]).await?;
	assert_eq!((&status["pending"], &status["component"]), (&Value::Null, &upgraded["component"]));
	Ok(())
}

/// Whoever pays waits for another writer than the one that hangs; what they pay for is sealed after it.
pub async fn an_upgrade_while_another_writer_is_waited_for_fails_nothing_that_is_paid(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	/// Blocks that are left of the notice when the writer stops: enough to read the agent as it was, and
	/// fewer than it takes until another one writes.
	const BEFORE: u64 = 4;
	let network = &stage.network;
	let (developer, chain) = (network.phala.of(DEVELOPER), &network.chain);
	let agent = deploy(network, NOTICE).await?;
	let two = built(network, "two").await?;
	let upgraded = developer.ok(&["agent", "upgrade", &agent, &two, "--no-build"]).await?;
	let runs_from = upgraded["runsFrom"].as_u64().context("it is announced")?;
	let status = network.phala.ok(&["agent", "status", &agent]).await?;
	let writer = status["lease"]["worker"].as_u64().context("somebody writes it")?;
	let writer = u32::try_from(writer)?;
	until("the upgrade to be near", || async {
		Ok((chain.newest().await? + BEFORE >= runs_from).then_some(()))
	})
	.await?;

	let from = chain.newest().await?;
	network.devnet.worker(writer)?.enclave.process.signal(Signal::SIGSTOP)?;
	let ask = ["call", &agent, "/", "--on-chain", "--data", "x"];
	let set = ["secrets", "set", &agent, "WORD", "--value-env", "HOME"];
	let (answer, told) = tokio::join!(network.phala.ok(&ask), developer.ok(&set));
	let moved = chain.events(from).await;
	network.devnet.worker(writer)?.enclave.process.signal(Signal::SIGCONT)?;
	ensure!(from < runs_from, "it was asked before the code changed");
	let mut moved = moved?.into_iter().filter(|event| event.name == "Clusters.LeaseMoved");
	let moved = moved.next().context("another writes it")?.block;
	ensure!(moved > runs_from, "the lease moved in block {moved}, the code changed in {runs_from}");
	assert_eq!(version(&answer?["answer"]["body"])?, "two");
	told?;
	let everybody = network.worker_ids();
	network.in_step(&agent, &everybody).await?;
	Ok(())
}

pub async fn what_an_agent_throws_is_found_at_its_line_in_its_owners_log(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let network = &stage.network;
	let agent = deploy(network, "free").await?;
	let refused = network.phala.refused(&["call", &agent, "/throw"]).await?;
	ensure!(refused.contains("phala logs"), "{refused}");
	let source = fs::read_to_string(agent_folder("versions").join(SOURCE))?;
	let line = source.lines().position(|line| line.contains("throw new Error"));
	let place = format!("{SOURCE}:{}", line.context("it throws")? + 1);
	let log = network.phala.of(DEVELOPER).ok(&["logs", &agent]).await?;
	let entries = log["entries"].as_array().context("it has entries")?;
	let thrown = entries
		.iter()
		.filter_map(|entry| entry["message"].as_str())
		.find(|message| message.contains("thrown on purpose"));
	let thrown = thrown.with_context(|| format!("it is in the log: {log:#}"))?;
	ensure!(thrown.contains(&place), "{place} is not in: {thrown}");
	Ok(())
}
