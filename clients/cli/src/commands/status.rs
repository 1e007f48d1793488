//! `phala status --worker <url>`: what a worker's public server says of it (`GET /v1/info`). Nothing
//! of it is proven: it is what the worker, or whoever answers in its place, claims.

use super::readable;
use crate::{
	calls::silence::stands_still,
	chain::NodeOption,
	failure, limits,
	names::Names,
	output::{
		self,
		operators::{NotReady, WorkerAsked, WorkerStatus},
		ErrorBody,
	},
	presence::UNANSWERED,
	terminal,
	worker_client::WorkerClient,
};
use phala_chain_client::clusters::Member;
use phala_protocol::{BlockNumber, H256};
use std::{future::Future, process::ExitCode, time::Duration};
use tokio::task::JoinSet;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The worker's public server.
	#[arg(long, value_name = "URL", value_parser = url)]
	pub worker: String,

	#[command(flatten)]
	pub node: NodeOption,
}

fn url(text: &str) -> Result<String, String> {
	let is_url = |url: &url::Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
	match text.parse::<url::Url>() {
		Ok(url) if is_url(&url) => Ok(text.to_owned()),
		_ => {
			Err("the URL of a worker's public server is taken, as in http://127.0.0.1:8000".into())
		}
	}
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let (info, mut not_ready) = match with_agents(&arguments.worker).await {
		Ok(said) => said,
		Err(error) => {
			let ErrorBody { code, message } = failure::body(&error);
			refuse!(code, "{message}; a worker's public server is taken, as in http://127.0.0.1:8000: `phala cluster status` shows those of a cluster's members");
		}
	};
	if let Some(genesis) = info.genesis {
		name(&mut not_ready, genesis.0);
	}
	let newest = newest_of(&arguments.node, info.genesis.map(|genesis| genesis.0)).await;
	let max = limits::STANDSTILL_MAX;
	let stands_still = hears_of_no_block(&arguments.worker, &info, newest, max).await;
	let text = text(&info, &not_ready, stands_still.as_deref())?;
	output::tell(json, &WorkerAsked { said: info, stands_still }, text.trim_end())?;
	Ok(ExitCode::SUCCESS)
}

/// The newest final block of the chain that a worker follows, if the node is on it and says so in time.
async fn newest_of(node: &NodeOption, genesis: Option<H256>) -> Option<BlockNumber> {
	let asking = in_time(async {
		let chain = node.connect().await?;
		Ok((chain.genesis_hash(), chain.finalized().await?))
	});
	let (of, newest) = asking.await.ok()?;
	(Some(of) == genesis).then_some(newest)
}

/// What the worker at `url` says of itself.
pub async fn info(url: &str) -> anyhow::Result<WorkerStatus> {
	WorkerClient::new(url)?.info().await
}

/// What a worker says of itself, and which of its cluster's agents do not answer there.
pub type Said = (WorkerStatus, Vec<NotReady>);

/// Gives agents the names that they have on this machine. Without any they are named by their ids.
pub fn name(agents: &mut [NotReady], genesis: H256) {
	let Ok(names) = Names::of_user() else { return };
	for agent in agents {
		let known = || names.name_of(genesis, agent.agent.0).ok().flatten();
		agent.name = agent.name.take().or_else(known);
	}
}

/// What members of a cluster say, asked at once: one that hangs holds up nobody. Of one that hears of no block
/// what it says of itself is not taken: it serves nobody who knows the newest one.
pub async fn of_all(
	members: Vec<Member>,
	newest: Option<BlockNumber>,
) -> Vec<(Member, anyhow::Result<Said>)> {
	let mut asking = JoinSet::new();
	for member in members {
		asking.spawn(async move {
			let said = held_against(&member.endpoint, newest, limits::STANDSTILL_MAX).await;
			(member, said)
		});
	}
	let mut asked = asking.join_all().await;
	asked.sort_by_key(|(member, _)| member.worker);
	asked
}

/// What a worker says, unless it hears of no block.
pub async fn held_against(
	url: &str,
	newest: Option<BlockNumber>,
	standstill_max: Duration,
) -> anyhow::Result<Said> {
	let said = in_time(with_agents(url)).await?;
	match hears_of_no_block(url, &said.0, newest, standstill_max).await {
		None => Ok(said),
		Some(why) => refuse!(UNANSWERED, "{why}"),
	}
}

/// Why a worker is not believed to serve that says so: it is behind the newest final block, and does not move.
pub async fn hears_of_no_block(
	url: &str,
	said: &WorkerStatus,
	newest: Option<BlockNumber>,
	standstill_max: Duration,
) -> Option<String> {
	let again = async || in_time(info(url)).await.ok()?.height;
	let standing = stands_still(said.height, newest, standstill_max, again).await?;
	Some(format!("it hears of no block: {standing}. Is its relayer there?"))
}

/// What the worker at `url` says, of agents only if some are not ready.
pub async fn with_agents(url: &str) -> anyhow::Result<Said> {
	let said = info(url).await?;
	let not_ready = match said.agents_ready < said.agents {
		true => WorkerClient::new(url)?.not_ready().await?,
		false => Vec::new(),
	};
	Ok((said, not_ready))
}

/// What somebody says who is asked beside others.
/// Waits for [`limits::STATUS_MAX`] at most.
pub async fn in_time<T>(asking: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
	let said = tokio::time::timeout(limits::STATUS_MAX, asking).await;
	said.unwrap_or_else(|_| {
		refuse!(
			"Unanswered",
			"it does not answer within {} s: does it hang?",
			limits::STATUS_MAX.as_secs()
		)
	})
}

fn text(
	info: &WorkerStatus,
	not_ready: &[NotReady],
	stands_still: Option<&str>,
) -> anyhow::Result<String> {
	const LINES: [(&str, &str); 18] = [
		("worker", "worker"),
		("boot", "boot"),
		("phase", "phase"),
		("height", "finalized block"),
		("queued", "messages to the chain"),
		("fresh", "view is fresh"),
		("freshness", "why it is not"),
		("suspended", "why it serves no more"),
		("viewAgeMs", "age of its view"),
		("evidence", "evidence"),
		("cluster", "cluster"),
		("clusterKeys", "has the cluster's keys"),
		("agents", "agents of the cluster"),
		("agentsReady", "of them it answers for"),
		("identity", "identity key"),
		("encryption", "encryption key"),
		("genesis", "chain"),
		("version", "version"),
	];
	let info = serde_json::to_value(info)?;
	let mut text = String::new();
	for (key, name) in LINES {
		let is_reason = ["freshness", "suspended"].contains(&key);
		if !is_reason || !info[key].is_null() {
			let value = match info[key].as_u64() {
				Some(age_ms) if key == "viewAgeMs" => view_age(age_ms),
				_ => readable(&info[key]),
			};
			text += &format!("{name:<22} {value}\n");
		}
		if let Some(why) = stands_still.filter(|_| key == "height") {
			text += &format!("{:<22} {}\n", "not believed", terminal::line(why));
		}
		if key == "agentsReady" {
			for agent in not_ready {
				let why =
					agent.lacks.as_ref().map_or_else(String::new, |lacks| format!(": {lacks}"));
				let told = terminal::line(&format!("{}{why}", agent.called()));
				text += &format!("{:<22} {told}\n", "not ready");
			}
		}
	}
	Ok(text)
}

/// An enclave follows each block, and can prove how old its view is by its own marks alone.
fn view_age(age_ms: u64) -> String {
	format!("at most {} s, by its last mark in a block", age_ms.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		calls::villains::{worker, Villain, HEIGHT},
		output::operators::Phase,
	};
	use serde_json::json;

	#[test]
	fn what_a_worker_says_is_a_line_each_and_what_it_does_not_know_a_dash() {
		let said = json!({ "worker": 3, "boot": null, "phase": "serving", "viewAgeMs": 113_493, "of a later": "release" });
		let (agent, lacks) = (H256::repeat_byte(7), Some("its code".to_owned()));
		let not_ready = NotReady { agent: agent.into(), name: None, lacks };
		let said = serde_json::from_value(said).unwrap();
		let still = "it hears of no block: it stands at block 753, 759 is final";
		let text = text(&said, &[not_ready], Some(still)).unwrap();
		assert!(text.contains(&format!("not believed           {still}\n")), "{text}");
		assert!(text.contains(&format!("not ready              {agent:?}: its code\n")), "{text}");
		assert!(text.contains("phase                  serving\n"), "{text}");
		assert!(text.contains("worker                 3\n"), "{text}");
		assert!(text.contains("age of its view        at most 114 s, by its last mark"), "{text}");
		assert!(text.contains("boot                   -\n"), "{text}");
		assert!(!text.contains("why it is not"), "{text}");
	}

	#[test]
	fn a_worker_is_named_by_a_url() {
		assert!(url("http://127.0.0.1:8000").is_ok() && url("https://a.b/").is_ok());
		for none in ["", "foo", "worker-1", "127.0.0.1:8000", "ws://127.0.0.1:9944"] {
			assert!(url(none).unwrap_err().contains("http://127.0.0.1:8000"), "{none}");
		}
	}

	#[test]
	fn a_phase_of_a_later_release_is_unknown_and_what_says_none_is_no_worker() {
		let read = |said| serde_json::from_value::<WorkerStatus>(said);
		assert_eq!(read(json!({ "phase": "dreaming" })).unwrap().phase, Phase::Unknown);
		assert!(read(json!({})).is_err());
	}

	/// Listens, takes what is asked and says nothing, as a process that was stopped.
	struct Hanging(tokio::net::TcpListener);

	impl Hanging {
		async fn member(worker: u32) -> (Self, Member) {
			let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
			let endpoint = format!("http://{}", listener.local_addr().unwrap());
			(Self(listener), Member { worker, endpoint })
		}
	}

	#[tokio::test]
	async fn a_worker_that_hangs_is_named_and_holds_nobody_up() {
		let (hanging, first) = Hanging::member(1).await;
		let (other, second) = Hanging::member(2).await;
		let living = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let endpoint = format!("http://{}", living.local_addr().unwrap());
		let router = axum::Router::new().route(
			"/v1/info",
			axum::routing::get(|| async { axum::Json(json!({ "phase": "serving" })) }),
		);
		tokio::spawn(async move { axum::serve(living, router).await });
		let third = Member { worker: 3, endpoint };
		let asked = of_all(vec![third, second, first], None).await;
		let said: Vec<_> =
			asked.iter().map(|(member, said)| (member.worker, said.is_ok())).collect();
		assert_eq!(said, [(1, false), (2, false), (3, true)]);
		let error = asked[0].1.as_ref().err().unwrap().to_string();
		assert!(error.contains("does not answer within 3 s"), "{error}");
		drop((hanging.0, other.0));
	}

	#[tokio::test]
	async fn a_worker_that_hears_of_no_block_is_not_believed_to_serve() {
		const SHORT: Duration = Duration::from_millis(10);
		let held = async |height, newest| {
			let one = worker(1, Villain::IsCutOff { height, fresh: true }).await;
			held_against(&one.member.endpoint, newest, SHORT).await
		};
		let edge = HEIGHT - limits::BEHIND_BLOCKS_USUAL;
		assert!(held(edge, Some(HEIGHT)).await.is_ok());
		// As little behind as this, if it does not move; and far behind.
		for cut_off in [edge - 1, 1] {
			let refused = held(cut_off, Some(HEIGHT)).await.err().unwrap();
			assert_eq!(failure::body(&refused).code, UNANSWERED);
			assert!(refused.to_string().contains("100 is final"), "{refused}");
		}
		assert!(held(1, None).await.is_ok(), "nobody knows");
	}

	#[tokio::test]
	async fn a_worker_that_is_not_there_is_named() {
		let gone = crate::calls::villains::nobody();
		let error = info(&gone).await.unwrap_err();
		assert!(error.to_string().contains(&gone), "{error}");
	}
}
